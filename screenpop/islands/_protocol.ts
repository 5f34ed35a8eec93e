// The messages and cards of screenpop/protocol.py, field by field. tests/screenpop/test_pages.py holds the two together.

export const VERSION = 1;
export const SUBPROTOCOL = "santral.v1.json";
export const NOT_SIGNED_IN = 4401;
export const BAD_MESSAGE = 4400;

export interface Subscription {
  id: string;
  number: string;
  kind: string;
  area: string;
  line: string;
  depends_on: string | null;
}

export interface Candidate {
  party: string | null;
  name: string;
  role: string;
  percent: number;
  reasons: string[];
  household: string;
  subscriptions: Subscription[];
  customer_no: string;
  tags: string[];
  link: string | null;
  link_state: string;
}

export interface Proposal {
  id: string;
  role: string;
  reason: string;
  whom: string;
  state: string;
}

export interface Question {
  factor: string;
  text: string;
}

export interface Evidence {
  asserted: string;
  diverted_from: string;
  attestation: string;
}

export interface Identity {
  outcome: string;
  level: number;
  method: string;
  candidates: Candidate[];
  confirmed: string | null;
  proof: string[];
  proposal: Proposal | null;
  evidence: Evidence | null;
  questions: Question[];
  withheld: string[];
}

export interface Ticket {
  number: string;
  matter: string;
  state: string;
  opened_at: string;
  contacts: number;
  text: string;
  this_call: boolean;
}

export interface Step {
  at: string;
  node: string;
  label: string;
  heard: string;
  digits: string;
}

export interface Outage {
  area: string;
  kind: string;
  started_at: string;
  estimate_at: string | null;
}

export interface Entry {
  id: string;
  kind: string;
  channel: string;
  direction: string;
  at: string;
  subject: string;
  text: string;
  contact: string;
  author: string;
  ticket: string;
  party: string | null;
  party_name: string;
}

export interface Recording {
  id: string;
  state: string;
  duration_s: number | null;
}

export interface Card {
  id: string;
  version: number;
  offer: string;
  state: string;
  reason: string;
  number: string;
  number_kind: string;
  caller_name: string;
  did: string;
  language: string;
  queue: string;
  intent: string;
  waited_s: number;
  arrived_at: string;
  offered_at: string;
  answered_at: string | null;
  cleared_at: string | null;
  identity: Identity;
  tickets: Ticket[];
  outages: Outage[];
  path: Step[];
  timeline: Entry[];
  note: string;
  recording: Recording | null;
  etag: string;
}

export interface Disposition {
  id: string;
  name: string;
}

export interface Channel {
  id: string;
  name: string;
  icon: string;
}

export interface Agent {
  user: string;
  name: string;
  agent: string;
  phone: string;
  paused: boolean;
  pause_reason: string;
}

export interface Seat {
  agent: Agent;
  cards: Card[];
  dispositions: Disposition[];
  channels: Channel[];
  lists: string;
}

// --- server -> browser

export type Change =
  | { part: "seat"; seat: Seat }
  | { part: "card"; card: Card }
  | { part: "card_gone"; id: string }
  | { part: "agent"; agent: Agent }
  | { part: "lists"; dispositions: Disposition[]; channels: Channel[]; lists: string };

export interface Proved {
  right: boolean;
  slowed: boolean;
  level: number;
}

export interface Trouble {
  code: string;
  text: string;
}

export type FromServer =
  | { type: "snapshot"; v: number; epoch: string; seq: number; leader: boolean; seat: Seat }
  | { type: "event"; seq: number; changes: Change[] }
  | { type: "resumed"; epoch: string; seq: number; leader: boolean; changes: Change[] }
  | { type: "state"; degraded: string[]; leader: boolean }
  | { type: "move"; after_ms: number }
  | { type: "ping"; at_ms: number }
  | { type: "result"; key: string; ok: true; value?: Proved }
  | { type: "result"; key: string; ok: false; error: Trouble };

// --- browser -> server

export interface Hello {
  type: "hello";
  v: number;
  epoch: string | null;
  seq: number | null;
  language: string;
  have: Record<string, string> | null;
  lists: string;
  browser: string;
}

export interface Pong {
  type: "pong";
  seq: number;
}

export interface Bye {
  type: "bye";
}

export interface Painted {
  type: "painted";
  offer: string;
  ms: number;
}

export interface Seen {
  type: "seen";
  offer: string;
}

export interface Command {
  type: "command";
  key: string;
  name: "note" | "wrap_up" | "dismiss" | "confirm_party" | "link" | "refuse_link" | "dispute" | "prove" | "pause" | "ready" | "hang_up";
  conversation: string;
  text: string;
  value: string;
}

export type ToServer = Hello | Pong | Bye | Painted | Seen | Command;
