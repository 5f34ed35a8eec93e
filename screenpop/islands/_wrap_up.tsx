// After the call: a reason must be chosen; the note goes with it.
import { signal } from "@preact/signals";
import { drafts, hold } from "./_draft";
import { span } from "./_format";
import { page, t } from "./_page";
import { Icon, Keys } from "./_parts";
import type { Card, Disposition } from "./_protocol";
import { isPending, now_ms, seat, send } from "./_store";

const chosen = signal<Record<string, string>>({});
const missing = signal(""); // the conversation whose save was tried without a reason

export function WrapUp({ card }: { card: Card }) {
  const waiting = isPending("wrap_up", card.id);
  const error = missing.value === card.id;
  return (
    <form
      class="wrap-up"
      data-wrap-up={card.id}
      onSubmit={(event) => {
        event.preventDefault();
        save(card);
      }}
    >
      <fieldset aria-describedby={error ? "wrap-up-error" : undefined}>
        <legend>
          {t("wrap_up.title")} <Keys of="F9" />
        </legend>
        {seat.value?.dispositions.length === 0 && <p class="error">{t("wrap_up.none")}</p>}
        <div class="dispositions">
          {seat.value?.dispositions.map((it, index) => (
            <Choice key={it.id} of={it} number={index + 1} card={card} />
          ))}
        </div>
        {error && (
          <p class="error" id="wrap-up-error" role="alert">
            <Icon name="alert" /> {t("wrap_up.missing")}
          </p>
        )}
      </fieldset>
      <div class="wrap-up-end">
        <Left card={card} />
        <button type="submit" class="primary" disabled={waiting}>
          {t(waiting ? "wrap_up.saving" : "wrap_up.save")} <Keys of="Ctrl+Enter" />
        </button>
      </div>
    </form>
  );
}

function Choice({ of, number, card }: { of: Disposition; number: number; card: Card }) {
  return (
    <label class="disposition">
      <input type="radio" name="disposition" value={of.id} checked={chosen.value[card.id] === of.id} onChange={() => choose(card, of.id)} />
      <span>{of.name}</span>
      {number <= 9 && <Keys of={String(number)} />}
    </label>
  );
}

function Left({ card }: { card: Card }) {
  const gone_s = (now_ms.value - Date.parse(card.cleared_at ?? card.offered_at)) / 1000;
  const left_s = page.wrap_up_max_s - gone_s;
  const late = page.wrap_up_max_s > 0 && left_s < 15;
  return (
    <p class={`tabular ${late ? "is-late" : "muted"}`}>
      <Icon name="clock" /> {page.wrap_up_max_s > 0 ? t("wrap_up.left", { time: span(left_s) }) : span(gone_s)}
    </p>
  );
}

function choose(card: Card, disposition: string): void {
  chosen.value = { ...chosen.value, [card.id]: disposition };
  if (missing.value === card.id) missing.value = "";
}

/** The number keys: 1 is the first reason. */
export function chooseNumber(card: Card, number: number): void {
  const disposition = seat.value?.dispositions[number - 1];
  if (!disposition) return;
  choose(card, disposition.id);
  document.querySelector<HTMLInputElement>(`.disposition input[value="${CSS.escape(disposition.id)}"]`)?.focus();
}

export function save(card: Card): void {
  if (card.state !== "wrap_up" || isPending("wrap_up", card.id)) return;
  const disposition = chosen.value[card.id];
  if (!disposition) {
    missing.value = card.id;
    document.querySelector<HTMLInputElement>(".disposition input")?.focus();
    return;
  }
  hold(card.id); // the note travels with the wrap-up
  send("wrap_up", { conversation: card.id, value: disposition, text: drafts.value[card.id]?.text ?? card.note });
}
