// Notes that are being written. A keystroke is in localStorage before anything else happens, goes to the server within two seconds,
// and is forgotten only when the server has confirmed exactly that text.
import { signal } from "@preact/signals";
import { page } from "./_page";
import { onSettled, seat, send } from "./_store";

const QUIET_MS = 700; // after the last keystroke
const BUSY_MS = 3000; // the database is behind: try again after this
const LATEST_MS = 1800; // after the first one that is not sent

export interface Draft {
  text: string;
  state: "typing" | "sending" | "saved" | "failed" | "restored";
  key: string; // of the command that carries this text
}

export const drafts = signal<Record<string, Draft>>({});
const timers = new Map<string, { quiet: number; latest: number }>();
const storageKey = (conversation: string) => `santral.note.${page.user}.${conversation}`;

export function type(conversation: string, text: string): void {
  keep(conversation, text);
  put(conversation, { text, state: "typing", key: "" });
  const running = timers.get(conversation);
  clearTimeout(running?.quiet);
  const save = () => flush(conversation);
  timers.set(conversation, { quiet: setTimeout(save, QUIET_MS), latest: running?.latest ?? setTimeout(save, LATEST_MS) });
}

/** Sends what is not sent. Also called when the field loses the focus and when the page is hidden. */
export function flush(conversation: string): void {
  stopTimers(conversation);
  const draft = drafts.peek()[conversation];
  if (!draft || draft.state === "sending" || draft.state === "saved" || !answered(conversation)) return;
  put(conversation, { ...draft, state: "sending", key: send("note", { conversation, text: draft.text }) });
}

/** The server takes notes of answered calls; what is written while it still rings waits here. */
function answered(conversation: string): boolean {
  const state = seat.peek()?.cards.find((card) => card.id === conversation)?.state;
  return state === "talking" || state === "wrap_up";
}

/** What a crash or reload left behind, if anything. It is sent at once, for it was never confirmed. */
export function restore(conversation: string, server: string): void {
  if (drafts.peek()[conversation]) return;
  const text = recall(conversation);
  if (text === null) return;
  if (text === server) return forgetKept(conversation);
  put(conversation, { text, state: "restored", key: "" });
  timers.set(conversation, { quiet: setTimeout(() => flush(conversation), QUIET_MS), latest: 0 });
}

/** The text went out with the wrap-up instead, or nobody needs it any more. */
export function discard(conversation: string): void {
  stopTimers(conversation);
  forgetKept(conversation);
  const { [conversation]: _, ...rest } = drafts.peek();
  drafts.value = rest;
}

export function hold(conversation: string): void {
  stopTimers(conversation);
}

onSettled((command, error) => {
  if (command.name === "wrap_up" && !error) return discard(command.conversation);
  const draft = drafts.peek()[command.conversation];
  if (command.name !== "note" || draft?.key !== command.key) return; // typed on since: the next one will tell
  put(command.conversation, { ...draft, state: error ? "failed" : "saved" });
  if (!error) forgetKept(command.conversation);
  else if (error.code === "busy") timers.set(command.conversation, { quiet: setTimeout(() => flush(command.conversation), BUSY_MS), latest: 0 });
});

addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") Object.keys(drafts.peek()).forEach(flush);
});

function put(conversation: string, draft: Draft): void {
  drafts.value = { ...drafts.peek(), [conversation]: draft };
}

function stopTimers(conversation: string): void {
  const running = timers.get(conversation);
  clearTimeout(running?.quiet);
  clearTimeout(running?.latest);
  timers.delete(conversation);
}

// A full or forbidden localStorage must not stop the agent from typing; the server still gets the text.
function keep(conversation: string, text: string): void {
  try {
    localStorage.setItem(storageKey(conversation), text);
  } catch {
    return;
  }
}

function recall(conversation: string): string | null {
  try {
    return localStorage.getItem(storageKey(conversation));
  } catch {
    return null;
  }
}

function forgetKept(conversation: string): void {
  try {
    localStorage.removeItem(storageKey(conversation));
  } catch {
    return;
  }
}
