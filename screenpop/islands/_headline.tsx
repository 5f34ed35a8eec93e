// One breath: who · what happened · how long they waited. Each clause is a field of the card.
import { howSure, who } from "./_caller";
import { span, ticketNumber } from "./_format";
import { t, word } from "./_page";
import { Name } from "./_parts";
import type { Card } from "./_protocol";
import { now_ms } from "./_store";

export function Headline({ card }: { card: Card }) {
  const sure = howSure(card);
  return (
    <h2 class="headline" data-headline>
      <span class="who">
        <Name text={who(card)} />
        {sure && <span class="sure"> ({sure})</span>}
      </span>
      {matter(card) && <span> · {matter(card)}</span>}
      <span>
        {" "}
        · {t("headline.waited")} <span class="tabular">{span(waited_s(card))}</span>
      </span>
    </h2>
  );
}

/** The one thing to know first: a ticket of this call beats an outage, which beats an older ticket and what was keyed. */
function matter(card: Card): string {
  const ticket = card.tickets.find((it) => it.this_call) ?? (card.outages.length ? undefined : card.tickets.find((it) => it.state === "open"));
  if (ticket) {
    const values = { matter: word("matter", ticket.matter), number: ticketNumber(ticket.number) };
    const now = ticket.this_call && Date.parse(ticket.opened_at) >= Date.parse(card.arrived_at);
    return t(now ? "headline.ticket_now" : ticket.this_call ? "headline.ticket_asked" : "headline.ticket_open", values);
  }
  const outage = card.outages[0];
  if (outage) return t("headline.outage", { area: outage.area });
  return card.intent && card.intent !== "unknown" ? word("intent", card.intent) : "";
}

/** `waited_s` is as of the offer; it grows until somebody answers. */
export function waited_s(card: Card): number {
  const end_ms = card.answered_at ? Date.parse(card.answered_at) : card.state === "offered" ? now_ms.value : Date.parse(card.offered_at);
  return card.waited_s + Math.max(0, end_ms - Date.parse(card.offered_at)) / 1000;
}
