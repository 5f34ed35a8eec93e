// Who it may be: never a silent guess. Each with how sure we are, why, and a click that decides.
import { percent } from "./_format";
import { count, t, word } from "./_page";
import { Chip, Icon, Name } from "./_parts";
import { plain } from "./_plain";
import type { Candidate, Card, Subscription } from "./_protocol";
import { pending, send } from "./_store";

export function Candidates({ card }: { card: Card }) {
  const { candidates, outcome } = card.identity;
  return (
    <section class="block" aria-labelledby="candidates-title">
      <h3 id="candidates-title">{candidates.length > 1 ? count("candidates.title", candidates.length) : t("candidates.title_one")}</h3>
      {candidates.length === 0 && <p class="muted">{t(`candidates.${outcome}`)}</p>}
      {card.state === "offered" && candidates.length > 0 && <p class="muted">{t("candidates.after_answer")}</p>}
      <ul class="candidates">
        {candidates.map((candidate, index) => (
          <Row key={candidate.party ?? index} candidate={candidate} before={candidates[index - 1]} card={card} />
        ))}
      </ul>
    </section>
  );
}

function Row({ candidate, before, card }: { candidate: Candidate; before: Candidate | undefined; card: Card }) {
  const confirmed = candidate.party !== null && candidate.party === card.identity.confirmed;
  const answered = card.state === "talking" || card.state === "wrap_up"; // the server takes it from nobody else
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
      {candidate.tags.length > 0 && (
        <p class="chips">
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
      {confirmed ? (
        <Chip tone="tone-talking" icon="check">
          {t("candidates.confirmed")}
        </Chip>
      ) : (
        answered && candidate.party && <Confirm card={card} party={candidate.party} name={candidate.name} />
      )}
    </li>
  );
}

function Confirm({ card, party, name }: { card: Card; party: string; name: string }) {
  const mine = pending.value.filter((it) => it.name === "confirm_party" && it.conversation === card.id);
  return (
    <button
      type="button"
      disabled={mine.length > 0}
      onClick={() => send("confirm_party", { conversation: card.id, value: party })}
      aria-label={`${t("candidates.confirm")}: ${plain(name)}`}
    >
      <Icon name="check" />
      {t(mine.some((it) => it.value === party) ? "candidates.confirming" : "candidates.confirm")}
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
