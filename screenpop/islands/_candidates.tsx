// Who it may be: never a silent guess. Each with how sure we are, why, and a click or a key that decides.
import { useState } from "preact/hooks";
import { confirm, KEYS_OF_CANDIDATES, mayDecide } from "./_decide";
import { Dispute, Linked } from "./_dispute";
import { percent } from "./_format";
import { count, t, word } from "./_page";
import { Chip, Icon, Keys, Name } from "./_parts";
import { plain } from "./_plain";
import type { Candidate, Card, Subscription } from "./_protocol";
import { pending } from "./_store";

export function Candidates({ card }: { card: Card }) {
  const { candidates, outcome } = card.identity;
  return (
    <section class="block" aria-labelledby="candidates-title">
      <h3 id="candidates-title" tabIndex={-1}>{candidates.length > 1 ? count("candidates.title", candidates.length) : t("candidates.title_one")}</h3>
      {candidates.length === 0 && <p class="muted">{t(`candidates.${outcome}`)}</p>}
      {card.state === "offered" && candidates.length > 0 && <p class="muted">{t("candidates.after_answer")}</p>}
      <ul class="candidates">
        {candidates.map((candidate, index) => (
          <Row key={candidate.party ?? index} candidate={candidate} number={index + 1} before={candidates[index - 1]} card={card} />
        ))}
      </ul>
    </section>
  );
}

interface Place {
  candidate: Candidate;
  number: number; // counted from 1
  before: Candidate | undefined;
  card: Card;
}

function Row({ candidate, number, before, card }: Place) {
  const confirmed = candidate.party !== null && candidate.party === card.identity.confirmed;
  return (
    <li class={`candidate${confirmed ? " is-confirmed" : ""}`} data-candidate={candidate.party ?? ""}>
      <div class="candidate-head">
        <span class="candidate-name">
          {candidate.party ? (
            <a href={`/customers/${encodeURIComponent(candidate.party)}`} target="_blank" rel="noopener">
              <Name text={candidate.name} />
            </a>
          ) : (
            <Name text={candidate.name} />
          )}
        </span>
        <span class="tabular candidate-percent">{percent.format(candidate.percent / 100)}</span>
      </div>
      <Bar of={candidate.percent} />
      <p class="muted">
        {[word("role", candidate.role), candidate.household, candidate.customer_no && t("candidates.customer_no", { no: candidate.customer_no })]
          .filter(Boolean)
          .map(plain)
          .join(" · ")}
      </p>
      {(candidate.tags.length > 0 || candidate.link_state) && (
        <p class="chips">
          <Linked state={candidate.link_state} />
          {candidate.tags.map((tag) => (
            <Chip key={tag}>{word("tag", tag)}</Chip>
          ))}
        </p>
      )}
      <ul class="reasons" aria-label={t("candidates.reasons")}>
        {candidate.reasons.map((reason) => (
          <li key={reason}>{plain(reason)}</li>
        ))}
      </ul>
      <Subscriptions of={candidate.subscriptions} above={before?.subscriptions ?? []} />
      <Decision candidate={candidate} number={number} card={card} confirmed={confirmed} />
    </li>
  );
}

function Decision({ candidate, number, card, confirmed }: { candidate: Candidate; number: number; card: Card; confirmed: boolean }) {
  const [disputing, setDisputing] = useState(false);
  const may = mayDecide(card);
  return (
    <div class="candidate-actions">
      {confirmed && !disputing && (
        <Chip tone="tone-talking" icon="check">
          {t("candidates.confirmed")}
        </Chip>
      )}
      {!confirmed && !disputing && may && candidate.party && <Confirm card={card} party={candidate.party} name={candidate.name} number={number} />}
      <Dispute card={card} of={candidate} asked={disputing} onAsk={setDisputing} />
    </div>
  );
}

function Confirm({ card, party, name, number }: { card: Card; party: string; name: string; number: number }) {
  const mine = pending.value.filter((it) => it.name === "confirm_party" && it.conversation === card.id);
  return (
    <button
      type="button"
      disabled={mine.length > 0}
      onClick={() => confirm(card, party)}
    >
      <Icon name="check" />
      <span>
        {t(mine.some((it) => it.value === party) ? "candidates.confirming" : "candidates.confirm")}
        <span class="visually-hidden">: {plain(name)}</span>
      </span>
      {card.state === "talking" && number <= KEYS_OF_CANDIDATES && <Keys of={String(number)} />}
    </button>
  );
}

/** The width is an attribute of the drawing: the page allows no inline styles. */
function Bar({ of }: { of: number }) {
  return (
    <svg class="bar" aria-hidden="true">
      <rect class="bar-ground" width="100%" height="100%" rx="2" />
      <rect class="bar-fill" width={`${Math.min(100, Math.max(0, of))}%`} height="100%" rx="2" />
    </svg>
  );
}

/** People of one household mostly share them: the same ones are not said twice. */
function Subscriptions({ of, above }: { of: Subscription[]; above: Subscription[] }) {
  if (!of.length) return null;
  const ids = (some: Subscription[]) => some.map((it) => it.id).join(" ");
  if (ids(of) === ids(above)) return <p class="subscriptions muted">{t("candidates.same_subscriptions")}</p>;
  const carrier = (it: Subscription) => of.find((other) => other.id === it.depends_on);
  return (
    <ul class="subscriptions" aria-label={t("candidates.subscriptions")}>
      {of.map((it) => (
        <li key={it.id}>
          <span class="subscription-kind">{word("service", it.kind)}</span>{" "}
          <bdi class="tabular">{[it.line, it.number].filter(Boolean).join(" · ")}</bdi>
          {it.area && <span class="muted"> · {it.area}</span>}
          {carrier(it) && <span class="muted"> · {t("candidates.runs_over", { service: word("service", carrier(it)?.kind ?? "") })}</span>}
        </li>
      ))}
    </ul>
  );
}
