// The SharedWorker: one stream for all tabs of this browser.
import type { FromStream, ToStream } from "./_messages";
import { Stream } from "./_stream";

const tabs = new Set<MessagePort>();
const stream = new Stream((message) => tabs.forEach((tab) => tab.postMessage(message)));

const scope = globalThis as unknown as { onconnect: ((event: MessageEvent) => void) | null };
scope.onconnect = (event) => {
  const tab = event.ports[0];
  if (!tab) return;
  const answer = (message: FromStream) => tab.postMessage(message);
  tab.onmessage = ({ data }: MessageEvent<ToStream>) => {
    if (data.kind === "join") tabs.add(tab);
    if (data.kind === "bye") tabs.delete(tab);
    stream.hear(data, answer);
  };
};
