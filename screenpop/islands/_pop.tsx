// The middle: the selected card. Reading it top to bottom is the order in which an agent needs it before speaking.
import { useRef } from "preact/hooks";
import { Candidates } from "./_candidates";
import { isUnwritten, numberOf } from "./_caller";
import { dismiss, stateText, timer } from "./_cards";
import { at } from "./_format";
import { Headline } from "./_headline";
import { Note } from "./_note";
import { t, word } from "./_page";
import { Chip, Icon, Keys, Name, Nothing } from "./_parts";
import { Path } from "./_path";
import { plain } from "./_plain";
import type { Card } from "./_protocol";
import { Player } from "./_recording";
import { useShown } from "./_shown";
import { Sure } from "./_sure";
import { card, isPending, seat, send, stale } from "./_store";
import { Tickets } from "./_tickets";
import { WrapUp } from "./_wrap_up";

export function Pop() {
  const current = card.value;
  if (current) return <Shown key={current.id} card={current} />;
  if (!seat.value) return <div class="pop" aria-hidden="true" />;
  const paused = seat.value.agent.paused;
  return <Nothing title={paused ? "pop.paused" : "pop.none"} hint={paused ? "pop.paused_hint" : "pop.none_hint"} />;
}

function Shown({ card }: { card: Card }) {
  const ref = useRef<HTMLElement>(null);
  useShown(ref, card);
  return (
    <article ref={ref} class={`pop is-${card.state}`} data-pop data-offer={card.offer} data-state={card.state} data-conversation={card.id}>
      <Head card={card} />
      <div class="pop-body" tabIndex={0} role="region" aria-label={t("pop.details")}>
        {card.state === "withdrawn" && <p class="banner is-quiet">{t("pop.missed_hint")}</p>}
        <Sure card={card} />
        <Outages card={card} />
        <Tickets card={card} />
        <div class="pop-columns">
          <Candidates card={card} />
          {card.state !== "withdrawn" && !isUnwritten(card) && <Path card={card} />}
        </div>
        <Player card={card} />
      </div>
      <footer class="pop-foot">
        {card.state === "wrap_up" && <WrapUp card={card} />}
        {card.state !== "withdrawn" && !isUnwritten(card) && <Note card={card} />}
      </footer>
    </article>
  );
}

function Head({ card }: { card: Card }) {
  return (
    <header class="pop-head">
      <div class="pop-state">
        <Chip tone={`tone-${card.state}`} icon="phone">
          {stateText(card)} <span class="tabular">{timer(card)}</span>
        </Chip>
        {card.state === "talking" && !isUnwritten(card) && <HangUp card={card} />}
        {card.state === "withdrawn" && <PutAway card={card} />}
      </div>
      <Headline card={card} />
      <p class="big-number tabular">
        <bdi>{numberOf(card)}</bdi>
      </p>
      <p class="chips">
        <Chip tone={`outcome-${card.identity.outcome}`} icon={OUTCOME_ICONS[card.identity.outcome] ?? "question"}>
          {word("outcome", card.identity.outcome)}
        </Chip>
        {card.state === "withdrawn" && <Chip icon={card.identity.level >= 2 ? "shield" : "eye"}>{t(`level.${card.identity.level}`)}</Chip>}
        {card.language && <Chip icon="globe">{word("language", card.language)}</Chip>}
      </p>
      <Facts card={card} />
    </header>
  );
}

const OUTCOME_ICONS: Record<string, string> = { unique: "user", ambiguous: "users", none: "question", withheld: "eye-off", malformed: "alert", unwritten: "alert" };

function Facts({ card }: { card: Card }) {
  return (
    <dl class="facts">
      <Fact name="fact.queue" value={card.queue && word("queue", card.queue)} />
      <Fact name="fact.intent" value={card.intent && word("intent", card.intent)} />
      <Fact name="fact.did" value={card.did} />
      <Evidence card={card} />
      {card.caller_name && (
        <div>
          <dt>{t("fact.caller_name")}</dt>
          <dd class="untrusted">
            <Name text={card.caller_name} />
          </dd>
        </div>
      )}
    </dl>
  );
}

/** What the trunk said beside the number: the number it vouches for, who sent the call on, how sure the caller's carrier is. */
function Evidence({ card }: { card: Card }) {
  const said = card.identity.evidence;
  if (!said) return null;
  return (
    <>
      <Fact name="fact.asserted" value={said.asserted} />
      <Fact name="fact.diverted_from" value={said.diverted_from} />
      <Fact name="fact.attestation" value={said.attestation && word("attestation", said.attestation)} />
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  if (!value) return null;
  return (
    <div>
      <dt>{t(name)}</dt>
      <dd>
        <bdi>{plain(value)}</bdi>
      </dd>
    </div>
  );
}

function HangUp({ card }: { card: Card }) {
  const waiting = isPending("hang_up", card.id);
  return (
    <button type="button" class="danger" disabled={waiting || stale.value} onClick={() => hangUp(card)}>
      <Icon name="phone-down" />
      {t(waiting ? "pop.hanging_up" : "pop.hang_up")} <Keys of="Shift+F9" />
    </button>
  );
}

function PutAway({ card }: { card: Card }) {
  return (
    <button type="button" disabled={isPending("dismiss", card.id)} onClick={() => dismiss(card)}>
      {t("cards.dismiss")} <Keys of="Delete" />
    </button>
  );
}

/** Not while the page may be showing yesterday's call: this one cannot be taken back, so it does not wait in the outbox. */
export function hangUp(card: Card): void {
  if (card.state === "talking" && !isUnwritten(card) && !stale.peek() && !isPending("hang_up", card.id)) send("hang_up", { conversation: card.id });
}

function Outages({ card }: { card: Card }) {
  return (
    <>
      {card.outages.map((outage) => (
        <p class="banner" key={`${outage.area} ${outage.started_at}`}>
          <Icon name="alert" />
          <span>
            <strong>{t("outage.title", { area: outage.area })}</strong> {outage.kind && word("service", outage.kind)} ·{" "}
            {t("outage.since", { at: at(outage.started_at) })} ·{" "}
            {outage.estimate_at ? t("outage.until", { at: at(outage.estimate_at) }) : t("outage.no_estimate")}
          </span>
        </p>
      ))}
    </>
  );
}
