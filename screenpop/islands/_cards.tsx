// The list at the left: what rings, talks, waits for its wrap-up, or was missed.
import { useRef } from "preact/hooks";
import { howSure, numberOf, who } from "./_caller";
import { at, span } from "./_format";
import { waited_s } from "./_headline";
import { t, word } from "./_page";
import { Icon, Name, Nothing } from "./_parts";
import type { Card } from "./_protocol";
import { useShown } from "./_shown";
import { isPending, now_ms, seat, selected, send } from "./_store";

const ICONS: Record<string, string> = { offered: "phone-in", talking: "phone", wrap_up: "pen", withdrawn: "phone-missed" };

export function Cards() {
  const cards = seat.value?.cards;
  if (!cards) return <Loading />;
  if (!cards.length) return <Nothing title="cards.none" hint="cards.none_hint" />;
  return (
    <ul class="cards">
      {cards.map((card) => (
        <Row key={card.id} card={card} />
      ))}
    </ul>
  );
}

function Row({ card }: { card: Card }) {
  const ref = useRef<HTMLLIElement>(null);
  useShown(ref, card);
  const current = selected.value === card.id;
  return (
    <li ref={ref} class={`card is-${card.state}${current ? " is-selected" : ""}`} data-card={card.id} data-state={card.state} data-offer={card.offer}>
      <button type="button" class="card-main" aria-current={current ? "true" : undefined} onClick={() => (selected.value = card.id)}>
        <span class="card-state">
          <Icon name={ICONS[card.state] ?? "phone"} />
          <span>{stateText(card)}</span>
          <span class="tabular card-time">{timer(card)}</span>
        </span>
        <span class="card-who">
          <Name text={who(card)} />
        </span>
        <span class="card-more">
          <bdi class="tabular">{numberOf(card)}</bdi>
          {howSure(card) && <span> · {howSure(card)}</span>}
          {card.queue && <span> · {word("queue", card.queue)}</span>}
        </span>
      </button>
      {card.state === "withdrawn" && <Dismiss card={card} />}
    </li>
  );
}

export function Dismiss({ card }: { card: Card }) {
  return (
    <button
      type="button"
      class="quiet card-dismiss"
      disabled={isPending("dismiss", card.id)}
      onClick={() => dismiss(card)}
      aria-label={t("cards.dismiss_named", { who: numberOf(card) })}
      title={t("cards.dismiss")}
    >
      <Icon name="x" />
    </button>
  );
}

export function dismiss(card: Card): void {
  if (card.state === "withdrawn" && !isPending("dismiss", card.id)) send("dismiss", { conversation: card.id, value: card.offer });
}

export function stateText(card: Card): string {
  return card.state === "withdrawn" ? word("reason", card.reason) : word("state", card.state);
}

/** What counts in each state: waiting, talking, wrapping up; for a missed one, when it was. */
export function timer(card: Card): string {
  const since = (iso: string | null) => span((now_ms.value - Date.parse(iso ?? card.offered_at)) / 1000);
  if (card.state === "offered") return span(waited_s(card));
  if (card.state === "talking") return since(card.answered_at);
  if (card.state === "wrap_up") return since(card.cleared_at);
  return at(card.offered_at);
}

function Loading() {
  return (
    <div class="loading" role="status">
      <span class="visually-hidden">{t("desk.loading")}</span>
      <span class="bone" />
      <span class="bone" />
      <span class="bone" />
    </div>
  );
}
