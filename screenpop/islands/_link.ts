// This tab's end of the stream: through the SharedWorker, or with a stream of its own where there is none.
import type { FromStream, ToStream } from "./_messages";
import { page } from "./_page";

type Listener = (message: FromStream) => void;

export interface Link {
  post(message: ToStream): void;
}

export function link(listen: Listener): Link {
  const url = new URL(page.stream, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const join: ToStream = { kind: "join", url: url.href, language: page.language };
  const made = typeof SharedWorker === "undefined" ? alone(listen) : shared(listen, () => made.post(join));
  const sayVisible = () => made.post({ kind: "visible", visible: document.visibilityState === "visible" });
  made.post(join);
  sayVisible();
  addEventListener("visibilitychange", sayVisible);
  addEventListener("online", () => made.post({ kind: "online", online: true }));
  addEventListener("offline", () => made.post({ kind: "online", online: false }));
  addEventListener("pagehide", () => made.post({ kind: "bye" }));
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    made.post(join);
    sayVisible();
  });
  return made;
}

function shared(listen: Listener, rejoin: () => void): Link {
  // Another user of the same browser gets a worker of his own.
  const worker = new SharedWorker(page.worker, { name: `santral ${page.user}` });
  let through: Link = { post: (message) => worker.port.postMessage(message) };
  worker.port.onmessage = ({ data }: MessageEvent<FromStream>) => listen(data);
  worker.onerror = () => {
    worker.port.onmessage = null;
    through = alone(listen);
    rejoin();
  };
  return { post: (message) => through.post(message) };
}

/** Fetched only where it is needed. What is said before it is there waits. */
function alone(listen: Listener): Link {
  listen({ kind: "elected", elected: true });
  const stream = import("./_stream").then(({ Stream }) => new Stream(listen));
  return { post: (message) => void stream.then((it) => it.hear(message, listen)) };
}
