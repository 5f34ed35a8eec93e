// What an agent decides about who calls. The server takes it from whoever answered the call, and from nobody else.
import { isUnwritten } from "./_caller";
import type { Card } from "./_protocol";
import { isPending, send } from "./_store";

export const KEYS_OF_CANDIDATES = 6; // snapshot sends no more of them
const TAKE_KEY = 7;
const LEAVE_KEY = 8;

export function mayDecide(card: Card): boolean {
  return (card.state === "talking" || card.state === "wrap_up") && !isUnwritten(card);
}

export function confirm(card: Card, party: string): void {
  if (mayDecide(card) && party !== card.identity.confirmed && !isPending("confirm_party", card.id)) send("confirm_party", { conversation: card.id, value: party });
}

export function settleLink(card: Card, take: boolean): void {
  const { proposal } = card.identity;
  if (!mayDecide(card) || proposal?.state !== "open" || isPending("link", card.id) || isPending("refuse_link", card.id)) return;
  send(take ? "link" : "refuse_link", { conversation: card.id, value: proposal.id });
}

export function dispute(card: Card, link: string): void {
  if (mayDecide(card) && !isPending("dispute", card.id)) send("dispute", { conversation: card.id, value: link, text: "not_theirs" });
}

/** The number keys while somebody talks: the first ones choose the caller, the next two settle the link. */
export function decideByNumber(card: Card, number: number): (() => void) | undefined {
  if (number === TAKE_KEY || number === LEAVE_KEY) return () => settleLink(card, number === TAKE_KEY);
  const party = card.identity.candidates[number - 1]?.party;
  return party && number <= KEYS_OF_CANDIDATES ? () => confirm(card, party) : undefined;
}
