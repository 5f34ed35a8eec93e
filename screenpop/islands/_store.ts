// What this tab knows, as signals, and the only place that hears the stream.
import { batch, computed, signal } from "@preact/signals";
import { type Link, link } from "./_link";
import type { Arrivals, FromStream, Line } from "./_messages";
import { page } from "./_page";
import type { Card, Command, Proved, Seat, Trouble } from "./_protocol";
import { applied } from "./_seat";
import { chosen } from "./_selection";

const UNREACHABLE = "unreachable"; // cti/records/presence.py
const STALE_AFTER_MS = 5_000;
const CLOCK_ERROR_MS = 2_000; // a browser's clock that is wrong by less is believed

export interface Failure {
  command: Command;
  error: Trouble;
}

export const seat = signal<Seat | null>(null);
export const line = signal<Line>({ state: "connecting", heard_at: 0 });
export const pending = signal<Command[]>([]);
export const failures = signal<Failure[]>([]);
export const selected = signal("");
export const ahead_ms = signal(believable(page.now_ms - Date.now()));
export const now_ms = signal(Date.now() + ahead_ms.peek());
export const arrivals = signal<Arrivals>({});
export const degraded = signal<string[]>([]); // parts of the server that are away
export const wasUnreachable = signal(false); // calls passed this agent by, because no page of his answered
const leader = signal(false);
const elected = signal(false);
export const leads = computed(() => leader.value && elected.value); // of all tabs of all browsers this one rings

export const card = computed<Card | null>(() => seat.value?.cards.find((it) => it.id === selected.value) ?? null);
export const stale = computed(() => {
  const { state, heard_at } = line.value;
  return state !== "connected" && heard_at > 0 && now_ms.value - ahead_ms.value - heard_at > STALE_AFTER_MS;
});

type Settled = (command: Command, error: Trouble | null, value: Proved | null) => void;
const settledListeners = new Set<Settled>();
let stream: Link;

export function start(): void {
  stream = link(heard);
  setInterval(() => (now_ms.value = Date.now() + ahead_ms.peek()), 1000);
}

export const post: Link["post"] = (message) => stream.post(message);

type Fields = Partial<Pick<Command, "conversation" | "text" | "value">>;

/** Sends a command and returns its key. It is pending until its result comes, over any number of reconnects. */
export function send(name: Command["name"], fields: Fields = {}): string {
  const command: Command = { type: "command", key: newKey(), name, conversation: "", text: "", value: "", ...fields };
  pending.value = [...pending.value, command];
  stream.post({ kind: "command", command });
  return command.key;
}

/** The failed one keeps its first answer under its key, so a new try needs a new key. */
export function retry({ command }: Failure): void {
  forget(command.key);
  send(command.name, command);
}

export function forget(key: string): void {
  failures.value = failures.value.filter((failure) => failure.command.key !== key);
}

export function onSettled(listener: Settled): void {
  settledListeners.add(listener);
}

export function isPending(name: Command["name"], conversation = ""): boolean {
  return pending.value.some((command) => command.name === name && command.conversation === conversation);
}

function heard(message: FromStream): void {
  batch(() => {
    switch (message.kind) {
      case "seat":
        return became(message.seat, message.arrivals);
      case "changes":
        if (seat.value) became(applied(seat.value, message.changes), message.arrivals);
        return;
      case "line":
        line.value = message.line;
        return;
      case "pending":
        pending.value = message.commands;
        return;
      case "result":
        return settled(message.command, message.error, message.value);
      case "clock":
        ahead_ms.value = believable(message.ahead_ms);
        return;
      case "state":
        degraded.value = message.degraded;
        leader.value = message.leader;
        return;
      case "elected":
        elected.value = message.elected;
        return;
      case "signed_out":
        location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
    }
  });
}

function became(fresh: Seat, arrived: Arrivals): void {
  const before = seat.value;
  arrivals.value = arrived;
  if (fresh.agent.pause_reason === UNREACHABLE) wasUnreachable.value = true;
  seat.value = fresh;
  selected.value = chosen(before, fresh, selected.value, isTyping());
}

function settled(command: Command, error: Trouble | null, value: Proved | null): void {
  // A failed note is said beside its field, which holds a newer text than the command.
  if (error && command.name !== "note") failures.value = [...failures.value, { command, error }];
  for (const listener of settledListeners) listener(command, error, value);
}

function isTyping(): boolean {
  const focus = document.activeElement;
  return focus instanceof HTMLTextAreaElement || (focus instanceof HTMLInputElement && focus.type !== "radio" && focus.type !== "checkbox");
}

function believable(ahead: number): number {
  return Math.abs(ahead) < CLOCK_ERROR_MS ? 0 : ahead;
}

/** crypto.randomUUID is missing on plain http to another machine. */
function newKey(): string {
  if ("randomUUID" in crypto) return crypto.randomUUID();
  const bytes = (crypto as Crypto).getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
