// Words for who a card is about: for the list, the headline, the title and the announcement. Never a bare name: how sure we are
// stands with it.
import { percent } from "./_format";
import { count, t, word } from "./_page";
import { plain } from "./_plain";
import type { Candidate, Card } from "./_protocol";

/** The confirmed candidate, or the likeliest of a number that leads to one customer. */
export function likely({ identity }: Card): Candidate | undefined {
  const confirmed = identity.candidates.find((it) => identity.confirmed !== null && it.party === identity.confirmed);
  if (confirmed) return confirmed;
  return identity.outcome === "unique" ? identity.candidates[0] : undefined;
}

export function who(card: Card): string {
  const candidate = likely(card);
  if (candidate) return candidate.name;
  if (card.identity.outcome === "ambiguous") return count("who.several", card.identity.candidates.length);
  return word("who", card.identity.outcome);
}

/** "owner, 62 %", "confirmed", or "" where the words of `who` say all. */
export function howSure(card: Card): string {
  const candidate = likely(card);
  if (!candidate) return "";
  if (candidate.party !== null && candidate.party === card.identity.confirmed) return t("who.confirmed");
  if (candidate.link_state === "disputed") return word("link", "disputed"); // by somebody else, while it rings or they talk
  return `${word("role", candidate.role)}, ${percent.format(candidate.percent / 100)}`;
}

export function numberOf(card: Card): string {
  if (card.number) return plain(card.number);
  return word("number", card.number_kind);
}

/** The records could not be asked: all that is known is the number, and nothing can be written about the call yet. */
export function isUnwritten(card: Card): boolean {
  return card.identity.outcome === "unwritten";
}
