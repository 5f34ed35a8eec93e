// What tabs and the stream (in the worker) say to each other.
import type { Change, Command, Proved, Seat, Trouble } from "./_protocol";

/** When the message that first carried an offer came: milliseconds since 1970, on the browser's monotonic clock. */
export type Arrivals = Record<string, number>;

/** `connected`; or not, and since when nothing has been heard (0: never). */
export interface Line {
  state: "connecting" | "connected" | "reconnecting";
  heard_at: number;
}

export type ToStream =
  | { kind: "join"; url: string; language: string }
  | { kind: "command"; command: Command }
  | { kind: "painted"; offer: string; ms: number }
  | { kind: "seen"; offer: string }
  | { kind: "online"; online: boolean }
  | { kind: "visible"; visible: boolean } // is this tab before somebody's eyes?
  | { kind: "drop" } // for tests: as if the network had failed
  | { kind: "leave" } // signed out
  | { kind: "bye" }; // this tab goes away

export type FromStream =
  | { kind: "seat"; seat: Seat; arrivals: Arrivals }
  | { kind: "changes"; changes: Change[]; arrivals: Arrivals }
  | { kind: "line"; line: Line }
  | { kind: "pending"; commands: Command[] }
  | { kind: "result"; command: Command; error: Trouble | null; value: Proved | null }
  | { kind: "clock"; ahead_ms: number }
  | { kind: "state"; degraded: string[]; leader: boolean } // what of the server is away; is this browser the one that rings?
  | { kind: "elected"; elected: boolean } // is this tab the one of this browser that rings?
  | { kind: "signed_out" };

/** Wall-clock milliseconds that do not jump: tabs and workers can compare them. */
export function instant(): number {
  return performance.timeOrigin + performance.now();
}
