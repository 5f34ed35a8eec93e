// What the caller already went through: each place with its time, what was keyed there, and what that meant (the next place).
import { atSecond } from "./_format";
import { t, word } from "./_page";
import { plain } from "./_plain";
import type { Card, Step } from "./_protocol";

export function Path({ card }: { card: Card }) {
  return (
    <section class="block" aria-labelledby="path-title">
      <h3 id="path-title">{t("path.title")}</h3>
      {card.path.length === 0 && <p class="muted">{t("path.none")}</p>}
      <ol class="path">
        {card.path.map((step, index) => (
          <li key={`${step.at} ${index}`}>
            <time class="tabular muted" dateTime={step.at}>
              {atSecond(step.at)}
            </time>
            <span>
              {plain(step.label || step.node)} <Heard step={step} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Heard({ step }: { step: Step }) {
  if (!step.heard) return null;
  if (step.heard !== "digits") return <span class="heard is-missing">{word("heard", step.heard)}</span>;
  if (!step.digits) return <span class="heard">{t("heard.secret")}</span>;
  return (
    <span class="heard">
      <span class="visually-hidden">{t("heard.keyed")} </span>
      <kbd>{plain(step.digits)}</kbd>
    </span>
  );
}
