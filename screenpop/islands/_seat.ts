// Pure: what a seat is after some changes. Worker and tabs use the same function, so they cannot drift apart.
import type { Card, Change, Seat } from "./_protocol";

export function applied(seat: Seat, changes: Change[]): Seat {
  return changes.reduce(one, seat);
}

function one(seat: Seat, change: Change): Seat {
  switch (change.part) {
    case "seat":
      return change.seat;
    case "card":
      return { ...seat, cards: withCard(seat.cards, change.card) };
    case "card_gone":
      return { ...seat, cards: seat.cards.filter((card) => card.id !== change.id) };
    case "agent":
      return { ...seat, agent: change.agent };
    case "lists":
      return { ...seat, dispositions: change.dispositions, channels: change.channels, lists: change.lists };
  }
}

/** A card replaces the one of the same id. Newest offer first, as in a snapshot. */
function withCard(cards: Card[], fresh: Card): Card[] {
  const rest = cards.filter((card) => card.id !== fresh.id);
  return [...rest, fresh].sort(newestFirst);
}

function newestFirst(a: Card, b: Card): number {
  if (a.offered_at !== b.offered_at) return a.offered_at < b.offered_at ? 1 : -1;
  return a.id < b.id ? 1 : a.id > b.id ? -1 : 0;
}
