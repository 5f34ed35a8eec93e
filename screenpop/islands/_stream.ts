// The one socket of this browser: keeps the seat, resumes after a break, and says so to all tabs. Runs in the SharedWorker, or in
// the page where there is none. It knows nothing of what is drawn.
import { type Arrivals, type FromStream, instant, type Line, type ToStream } from "./_messages";
import { Outbox } from "./_outbox";
import {
  BAD_MESSAGE,
  type Card,
  type Change,
  type FromServer,
  NOT_SIGNED_IN,
  type Proved,
  type Seat,
  SUBPROTOCOL,
  type ToServer,
  type Trouble,
  VERSION,
} from "./_protocol";
import { applied } from "./_seat";

const WAIT_FIRST_MS = 200;
const WAIT_SOON_MS = 800; // a node that died is mostly replaced within seconds: until then we ask often
const SOON_MS = 15_000;
const WAIT_MAX_MS = 10_000;
const WATCH_MS = 500;
const OPEN_WITHIN_MS = 3_000; // else this address leads nowhere now
const DOUBT_AFTER_MS = 5_000; // the server pings every 2 s
const DEAD_AFTER_MS = 8_000;
const CALM_MS = 2_000; // a move to another node is no reason for alarm, as long as it takes no longer
const COMING_BACK = 4000; // close code: neither of us is going
const GONE = 1000;
const ARRIVALS_MAX = 100;

export class Stream {
  private socket: WebSocket | null = null;
  private url = "";
  private language = "";
  private seat: Seat | null = null;
  private epoch: string | null = null;
  private seq: number | null = null;
  private synced = false; // a snapshot or "resumed" came on the present socket
  private doubtful = false;
  private stopped = false;
  private attempt = 0;
  private lostAt = 0; // when the socket broke that was live last
  private calmUntil = 0;
  private moving: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0; // the last message, on whichever socket
  private quietSince = 0; // the last message on this socket, or its opening
  private timer: ReturnType<typeof setTimeout> | undefined;
  private line: Line = { state: "connecting", heard_at: 0 };
  private arrivals: Arrivals = {};
  private ahead_ms = 0;
  private degraded: string[] = [];
  private leader = false;
  private readonly browser = crypto.getRandomValues(new Uint32Array(4)).join("-"); // so that the server knows its older socket
  private readonly outbox = new Outbox();

  /** `tell` reaches every tab. */
  constructor(private readonly tell: (message: FromStream) => void) {
    setInterval(() => this.watch(), WATCH_MS);
  }

  /** What a tab asks. `answer` reaches that tab only. */
  hear(message: ToStream, answer: (message: FromStream) => void): void {
    switch (message.kind) {
      case "join":
        return this.join(message.url, message.language, answer);
      case "command":
        this.outbox.add(message.command);
        this.tellPending();
        return this.flush();
      case "painted":
        this.outbox.acknowledge({ type: "painted", offer: message.offer, ms: message.ms });
        return this.flush();
      case "seen":
        this.outbox.acknowledge({ type: "seen", offer: message.offer });
        return this.flush();
      case "online":
        return this.hint(message.online);
      case "drop":
        return this.lost();
      case "leave":
        return this.signedOut();
      case "bye":
        return this.goodbye();
      case "visible":
        return; // the worker's business
    }
  }

  private join(url: string, language: string, answer: (message: FromStream) => void): void {
    answer({ kind: "line", line: this.line });
    answer({ kind: "clock", ahead_ms: this.ahead_ms });
    answer({ kind: "state", degraded: this.degraded, leader: this.leader });
    answer({ kind: "pending", commands: this.outbox.pending() });
    if (this.seat && language === this.language) answer({ kind: "seat", seat: this.seat, arrivals: this.arrivals });
    const fresh = this.socket !== null && language !== this.language;
    this.url = url;
    this.language = language;
    this.stopped = false;
    if (fresh) this.startOver();
    else if (!this.socket && this.timer === undefined) this.open();
  }

  private open(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    this.socket = socket;
    this.synced = false;
    this.quietSince = instant();
    socket.onopen = () => this.send(this.hello());
    socket.onmessage = (event) => this.heard(JSON.parse(String(event.data)) as FromServer);
    socket.onclose = (event) => this.closed(event.code);
  }

  private hello(): ToServer {
    const have = this.seat && Object.fromEntries(this.seat.cards.map((card) => [card.id, card.etag]));
    const known = this.epoch === null ? null : have;
    const { epoch, seq, language, browser } = this;
    return { type: "hello", v: VERSION, epoch, seq, language, have: known, lists: this.seat?.lists ?? "", browser };
  }

  private heard(message: FromServer): void {
    this.heardAt = this.quietSince = instant();
    this.doubtful = false;
    switch (message.type) {
      case "snapshot":
        this.epoch = message.epoch;
        this.seq = message.seq;
        this.seat = message.seat;
        this.arrived(message.seat.cards);
        this.tell({ kind: "seat", seat: message.seat, arrivals: this.arrivals });
        return this.live(message.leader);
      case "resumed":
        if (!this.seat || (message.epoch !== this.epoch && !message.changes.length)) return this.startOver();
        if (message.changes.length) this.continued(message.epoch, message.seq, message.changes);
        return this.live(message.leader);
      case "state":
        return this.became(message.degraded, message.leader);
      case "move":
        return this.move(message.after_ms);
      case "event":
        return this.changed(message.seq, message.changes);
      case "ping":
        this.ahead_ms = message.at_ms - Date.now();
        this.tell({ kind: "clock", ahead_ms: this.ahead_ms });
        this.send({ type: "pong", seq: this.seq ?? 0 });
        return this.tellLine();
      case "result":
        return message.ok ? this.settled(message.key, null, message.value) : this.settled(message.key, message.error);
    }
  }

  private changed(seq: number, changes: Change[]): void {
    if (!this.seat || this.seq === null) return this.startOver();
    if (seq <= this.seq) return; // said before the break, and again after it
    if (seq > this.seq + 1) return this.startOver();
    this.seq = seq;
    this.apply(this.seat, changes);
    this.tellLine();
  }

  /** Another node, or one that no longer has what we missed, sent what differs from what we show. */
  private continued(epoch: string, seq: number, changes: Change[]): void {
    this.epoch = epoch;
    this.seq = seq;
    if (this.seat) this.apply(this.seat, changes);
  }

  private apply(seat: Seat, changes: Change[]): void {
    this.seat = applied(seat, changes);
    this.arrived(this.seat.cards);
    this.tell({ kind: "changes", changes, arrivals: this.arrivals });
  }

  private became(degraded: string[], leader: boolean): void {
    this.degraded = degraded;
    this.leader = leader;
    this.tell({ kind: "state", degraded, leader });
  }

  /** This node is about to end. What is shown stays; a balancer leads the next socket to another one. */
  private move(after_ms: number): void {
    clearTimeout(this.moving);
    this.moving = setTimeout(() => {
      if (!this.synced) return; // already on the way
      this.calmUntil = instant() + CALM_MS;
      this.let_go();
      this.open();
    }, after_ms);
  }

  private arrived(cards: Card[]): void {
    const fresh = cards.filter((card) => !(card.offer in this.arrivals)).map((card) => [card.offer, this.heardAt] as const);
    this.arrivals = Object.fromEntries([...Object.entries(this.arrivals), ...fresh].slice(-ARRIVALS_MAX));
  }

  private live(leader: boolean): void {
    this.synced = true;
    this.attempt = this.lostAt = this.calmUntil = 0;
    this.became([], leader); // what is away is said next, if anything is
    this.tellLine();
    this.flush();
  }

  private settled(key: string, error: Trouble | null, value: Proved | null = null): void {
    const command = this.outbox.settle(key);
    if (command) this.tell({ kind: "result", command, error, value });
    this.tellPending();
  }

  private flush(): void {
    if (!this.synced || this.socket?.readyState !== WebSocket.OPEN) return;
    for (const message of this.outbox.take()) this.send(message);
  }

  private send(message: ToServer): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private closed(code: number): void {
    if (code === NOT_SIGNED_IN) return this.signedOut();
    if (code === BAD_MESSAGE) this.refused();
    this.lost();
  }

  /** The server could not read us. Sending the same again would end the same, so those commands fail. */
  private refused(): void {
    for (const { key } of this.outbox.unanswered()) this.settled(key, { code: "bad_message", text: "" });
    this.epoch = this.seq = null;
  }

  /** Comes back after a while: exponential, with full jitter, so that a thousand browsers do not come in one wave. */
  private lost(): void {
    this.let_go();
    this.lostAt ||= instant();
    const ceiling = instant() - this.lostAt < SOON_MS ? WAIT_SOON_MS : WAIT_MAX_MS;
    const most = Math.min(ceiling, WAIT_FIRST_MS * 2 ** this.attempt++);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), Math.random() * most);
    this.tellLine();
  }

  private let_go(code = COMING_BACK): void {
    this.synced = false;
    clearTimeout(this.moving);
    this.outbox.again();
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  /** The last tab was closed on purpose. The server hears it in words, for a close code tells less and sometimes does not arrive. */
  private goodbye(): void {
    this.send({ type: "bye" });
    this.let_go(GONE);
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** Our picture cannot be continued: take a whole one. */
  private startOver(): void {
    this.epoch = this.seq = null;
    this.lost();
  }

  private signedOut(): void {
    this.goodbye();
    this.stopped = true;
    this.seat = this.epoch = this.seq = null;
    this.tell({ kind: "signed_out" });
  }

  private hint(online: boolean): void {
    if (this.stopped) return;
    if (!online) {
      this.doubtful = true; // only a doubt: a server on this very machine still answers, and its next ping says so
      this.tellLine();
    } else if (this.timer !== undefined) {
      this.attempt = 0;
      this.open();
    }
  }

  private watch(): void {
    this.tellLine();
    if (!this.socket) return;
    const silent_ms = instant() - this.quietSince;
    const most = this.socket.readyState === WebSocket.CONNECTING ? OPEN_WITHIN_MS : DEAD_AFTER_MS;
    if (silent_ms > most) return this.lost();
    if (silent_ms > DOUBT_AFTER_MS && !this.doubtful) {
      this.doubtful = true;
      this.tellLine();
    }
  }

  private tellLine(): void {
    const up = this.synced || (this.line.state === "connected" && instant() < this.calmUntil);
    const state = up && !this.doubtful ? "connected" : this.seat ? "reconnecting" : "connecting";
    const changed = state !== this.line.state;
    this.line = { state, heard_at: this.seat ? this.heardAt : 0 };
    if (changed) this.tell({ kind: "line", line: this.line });
  }

  private tellPending(): void {
    this.tell({ kind: "pending", commands: this.outbox.pending() });
  }
}
