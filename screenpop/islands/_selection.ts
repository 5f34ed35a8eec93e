// Pure: which card this tab shows after a change. A ringing call may take the middle only from somebody who neither types nor talks.
import type { Card, Seat } from "./_protocol";

const RANK = ["talking", "offered", "wrap_up", "withdrawn"];

export function chosen(before: Seat | null, after: Seat, selected: string, typing: boolean): string {
  const present = after.cards.find((card) => card.id === selected);
  if (!present) return mostUrgent(after.cards)?.id ?? "";
  if (typing || present.state === "talking") return selected;
  const talking = after.cards.find((card) => card.state === "talking" && stateOf(before, card) !== "talking");
  const ringing = after.cards.find((card) => card.state === "offered" && !knew(before, card));
  return (talking ?? ringing ?? present).id;
}

export function mostUrgent(cards: Card[]): Card | undefined {
  return RANK.map((state) => cards.find((card) => card.state === state)).find((card) => card !== undefined);
}

const knew = (seat: Seat | null, card: Card) => seat?.cards.some((it) => it.offer === card.offer) ?? false;
const stateOf = (seat: Seat | null, card: Card) => seat?.cards.find((it) => it.id === card.id)?.state;
