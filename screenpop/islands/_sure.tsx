// How sure we are of who calls, in a box that keeps its size whatever comes: the level and what was proved, whether the number is known,
// and a question to ask. Whether an answer was right is all that anybody hears of it.
import { Ask } from "./_ask";
import { isUnwritten } from "./_caller";
import { mayDecide, settleLink } from "./_decide";
import { t, word } from "./_page";
import { Chip, Icon, Keys } from "./_parts";
import { plain } from "./_plain";
import type { Card, Identity, Proposal } from "./_protocol";
import { isPending } from "./_store";

const LEVELS = [1, 2, 3, 4];

export function Sure({ card }: { card: Card }) {
  if (card.state === "withdrawn" || isUnwritten(card)) return null;
  return (
    <section class="block sure-box" aria-labelledby="sure-title" data-level={card.identity.level}>
      <h3 id="sure-title" class="visually-hidden">
        {t("sure.title")}
      </h3>
      <div class="sure-known">
        <Level of={card.identity} />
        <Whose card={card} />
      </div>
      <Ask card={card} />
    </section>
  );
}

function Level({ of }: { of: Identity }) {
  return (
    <div role="status">
      <p class="sure-level">
        <Meter of={of.level} />
        <strong>{t(`level.${of.level}`)}</strong>
      </p>
      <p class="chips sure-proof" data-proof={of.proof.join(" ")}>
        {of.proof.map((factor) => (
          <Chip key={factor} tone="tone-talking" icon="check">
            {word("factor", factor)}
          </Chip>
        ))}
        {of.proof.length === 0 && <span class="muted">{t("sure.nothing_proved")}</span>}
      </p>
      <p class="sure-withheld muted" data-withheld={of.withheld.join(" ")}>
        {of.withheld.length > 0 && t("sure.withheld", { what: of.withheld.map((what) => word("may", what)).join(", ") })}
      </p>
    </div>
  );
}

function Meter({ of }: { of: number }) {
  return (
    <svg class="meter" aria-hidden="true" viewBox="0 0 46 10">
      {LEVELS.map((level) => (
        <rect key={level} class={level <= of ? "meter-full" : "meter-empty"} x={(level - 1) * 12} width="10" height="10" rx="2" />
      ))}
    </svg>
  );
}

/** Whether the number from which somebody calls is known to be his; and when it is proposed, the one click that makes it so. */
function Whose({ card }: { card: Card }) {
  const { proposal } = card.identity;
  if (proposal?.state === "open") return <Offer card={card} proposal={proposal} />;
  const said = proposal?.state === "accepted" || proposal?.state === "refused";
  return (
    <p class="sure-number" role="status" data-proposal={proposal?.state ?? ""}>
      <Icon name={proposal?.state === "accepted" ? "check" : "phone"} />
      <span>{said ? t(`link.${proposal.state}_for`, { whom: plain(proposal.whom) }) : t(`sure.number.${standing(card)}`)}</span>
    </p>
  );
}

/** The best that the links of the number say. */
function standing({ number_kind, identity }: Card): string {
  if (number_kind !== "e164") return "no_number";
  const states = identity.candidates.map((it) => it.link_state);
  return ["verified", "unverified", "disputed"].find((it) => states.includes(it)) ?? "unlinked";
}

function Offer({ card, proposal }: { card: Card; proposal: Proposal }) {
  const waiting = isPending("link", card.id) || isPending("refuse_link", card.id);
  const keys = card.state === "talking";
  return (
    <div class="sure-number is-offer" role="group" aria-label={t("link.title")} data-proposal="open">
      <p>{t("link.offer", { whom: plain(proposal.whom) })}</p>
      <span class="sure-buttons">
        <button type="button" class="primary" disabled={waiting || !mayDecide(card)} data-link onClick={() => settleLink(card, true)}>
          {t("link.take")} {keys && <Keys of="7" />}
        </button>
        <button type="button" disabled={waiting || !mayDecide(card)} data-refuse-link onClick={() => settleLink(card, false)}>
          {t("link.leave")} {keys && <Keys of="8" />}
        </button>
      </span>
    </div>
  );
}
