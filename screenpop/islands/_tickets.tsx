// Open and recent tickets; the one that this call opened or asked for stands out.
import { at, atExactly, dayName, ticketNumber } from "./_format";
import { count, t, word } from "./_page";
import { Chip, Icon } from "./_parts";
import { prose } from "./_plain";
import type { Card, Ticket } from "./_protocol";
import { now_ms } from "./_store";

export function Tickets({ card }: { card: Card }) {
  if (!card.tickets.length) return null;
  return (
    <section class="block" aria-labelledby="tickets-title">
      <h3 id="tickets-title">{t("tickets.title")}</h3>
      <ul class="tickets">
        {card.tickets.map((ticket) => (
          <Row key={ticket.number} ticket={ticket} arrived_at={card.arrived_at} />
        ))}
      </ul>
    </section>
  );
}

function Row({ ticket, arrived_at }: { ticket: Ticket; arrived_at: string }) {
  const opened_now = Date.parse(ticket.opened_at) >= Date.parse(arrived_at);
  return (
    <li class={`ticket${ticket.this_call ? " is-this-call" : ticket.state === "open" ? " is-open" : ""}`} data-ticket={ticket.number}>
      <Icon name="ticket" />
      <div>
        <p>
          <strong class="tabular">{ticketNumber(ticket.number)}</strong> <span>{word("matter", ticket.matter)}</span>{" "}
          <Chip tone={ticket.state === "open" ? "tone-offered" : ""}>{word("ticket_state", ticket.state)}</Chip>{" "}
          {ticket.this_call && (
            <Chip tone="tone-talking" icon="check">
              {t(opened_now ? "tickets.opened_now" : "tickets.asked_now")}
            </Chip>
          )}
        </p>
        <p class="muted">
          <time dateTime={ticket.opened_at} title={atExactly(ticket.opened_at)}>
            {dayName(ticket.opened_at, now_ms.value)} {at(ticket.opened_at)}
          </time>
          {ticket.contacts > 1 && ` · ${count("tickets.contacts", ticket.contacts)}`}
        </p>
        {ticket.text && <p class="prose">{prose(ticket.text)}</p>}
      </div>
    </li>
  );
}
