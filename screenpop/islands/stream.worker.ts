// The SharedWorker: one stream for all tabs of this browser. Of these one is elected, and only that one rings.
import type { FromStream, ToStream } from "./_messages";
import { Stream } from "./_stream";

const tabs = new Map<MessagePort, { visible: boolean }>(); // in the order in which they came
const stream = new Stream((message) => [...tabs.keys()].forEach((tab) => tab.postMessage(message)));
let elected: MessagePort | undefined;

const scope = globalThis as unknown as { onconnect: ((event: MessageEvent) => void) | null };
scope.onconnect = (event) => {
  const tab = event.ports[0];
  if (!tab) return;
  tab.onmessage = ({ data }: MessageEvent<ToStream>) => heard(tab, data);
  tab.addEventListener("close", () => gone(tab)); // a tab that crashed says no bye; not every browser tells
};

function heard(tab: MessagePort, message: ToStream): void {
  if (message.kind === "bye") return gone(tab);
  if (message.kind === "join") tabs.set(tab, { visible: tabs.get(tab)?.visible ?? false });
  const known = tabs.get(tab);
  if (message.kind === "visible" && known) known.visible = message.visible;
  elect();
  stream.hear(message, (answer: FromStream) => tab.postMessage(answer));
}

function gone(tab: MessagePort): void {
  if (!tabs.delete(tab)) return;
  elect();
  if (!tabs.size) stream.hear({ kind: "bye" }, () => undefined);
}

/** The one that rings stays as long as it can be seen, or none can; then a visible one, else the first. */
function elect(): void {
  const all = [...tabs].map(([tab, { visible }]) => ({ tab, visible }));
  const visible = all.filter((it) => it.visible);
  const among = visible.length ? visible : all;
  const next = (among.find((it) => it.tab === elected) ?? among[0])?.tab;
  if (next === elected) return;
  elected?.postMessage({ kind: "elected", elected: false } satisfies FromStream);
  elected = next;
  elected?.postMessage({ kind: "elected", elected: true } satisfies FromStream);
}
