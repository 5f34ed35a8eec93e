// What the browser still owes the server: commands until their result came, and the acknowledgements of offers, once each.
import type { Command, Painted, Seen } from "./_protocol";

const KNOWN_MAX = 500; // offers remembered, so that a second tab does not acknowledge again

export class Outbox {
  private readonly commands = new Map<string, Command>();
  private readonly sent = new Set<string>(); // keys that went out on the present socket
  private readonly known = new Set<string>();
  private acknowledgements: (Painted | Seen)[] = [];

  add(command: Command): void {
    for (const older of this.commands.values()) {
      // Of a note only the newest text matters, as long as the older one has not left.
      if (superseded(older, command) && !this.sent.has(older.key)) this.commands.delete(older.key);
    }
    this.commands.set(command.key, command);
  }

  acknowledge(message: Painted | Seen): void {
    const mark = `${message.type} ${message.offer}`;
    if (this.known.has(mark)) return;
    this.known.add(mark);
    for (const oldest of this.known) {
      if (this.known.size <= KNOWN_MAX) break;
      this.known.delete(oldest);
    }
    this.acknowledgements.push(message);
  }

  /** Everything that has not left on the present socket, in order. */
  take(): (Command | Painted | Seen)[] {
    const commands = [...this.commands.values()].filter((command) => !this.sent.has(command.key));
    for (const command of commands) this.sent.add(command.key);
    const due = [...this.acknowledgements, ...commands];
    this.acknowledgements = [];
    return due;
  }

  /** The socket is gone: what has no result goes out again on the next one, with the same key. */
  again(): void {
    this.sent.clear();
  }

  settle(key: string): Command | undefined {
    const command = this.commands.get(key);
    this.commands.delete(key);
    this.sent.delete(key);
    return command;
  }

  pending(): Command[] {
    return [...this.commands.values()];
  }

  unanswered(): Command[] {
    return this.pending().filter((command) => this.sent.has(command.key));
  }
}

function superseded(older: Command, newer: Command): boolean {
  return older.name === "note" && newer.name === "note" && older.conversation === newer.conversation;
}
