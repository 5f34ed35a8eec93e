// Proof by asking: a question to read aloud, a field for what the caller answers, and right or wrong. The right answer is on no page.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { mayDecide } from "./_decide";
import { t, word } from "./_page";
import { Icon, Keys } from "./_parts";
import type { Card, Proved } from "./_protocol";
import { isPending, onSettled, send } from "./_store";

const LENGTH_MAX = 64; // proving.ANSWER_MAX

interface Heard extends Proved {
  factor: string;
}

const heard = signal<Record<string, Heard>>({}); // conversation -> the last answer and what became of it

onSettled((command, error, value) => {
  if (command.name !== "prove" || error || !value) return; // an error is said in the notices
  heard.value = { ...heard.peek(), [command.conversation]: { ...value, factor: command.value } };
});

export function Ask({ card }: { card: Card }) {
  const [chosen, choose] = useState("");
  const [answer, setAnswer] = useState("");
  const { questions } = card.identity;
  const question = questions.find((it) => it.factor === chosen) ?? questions[0];
  const waiting = isPending("prove", card.id);
  const last = heard.value[card.id];
  const wrong = last !== undefined && !last.right && answer === "";
  const submit = (event: Event) => {
    event.preventDefault();
    if (!question || waiting || !answer.trim() || !mayDecide(card)) return;
    send("prove", { conversation: card.id, value: question.factor, text: answer.trim() });
    setAnswer("");
  };
  return (
    <form class="ask" data-ask={question?.factor ?? ""} onSubmit={submit} autocomplete="off">
      <fieldset class="ask-choices" disabled={!mayDecide(card)}>
        <legend class="visually-hidden">{t("ask.title")}</legend>
        {questions.map(({ factor }) => (
          <label class="ask-choice" key={factor}>
            <input type="radio" name="question" value={factor} checked={factor === question?.factor} onChange={() => choose(factor)} />
            <span>{word("factor", factor)}</span>
          </label>
        ))}
      </fieldset>
      <label class="ask-words" for="answer">
        {question ? <q>{question.text}</q> : t("ask.none")}
      </label>
      <div class="ask-answer">
        <input
          id="answer"
          type="text"
          autocomplete="off"
          spellcheck={false}
          maxLength={LENGTH_MAX}
          readOnly={!question || !mayDecide(card)}
          placeholder={question && t(`ask.form.${question.factor}`)}
          aria-describedby="answer-result"
          aria-invalid={wrong ? "true" : undefined}
          value={answer}
          onInput={(event) => setAnswer(event.currentTarget.value)}
        />
        <button type="submit" disabled={!question || waiting || !mayDecide(card)}>
          {t("ask.check")} <Keys of="Shift+F4" />
        </button>
      </div>
      <p class="ask-result" id="answer-result" role="status">
        {mayDecide(card) ? <Result of={waiting ? undefined : last} waiting={waiting} /> : t("ask.after_answer")}
      </p>
    </form>
  );
}

function Result({ of, waiting }: { of: Heard | undefined; waiting: boolean }) {
  if (waiting) return <span class="muted">{t("ask.checking")}</span>;
  if (!of) return <span class="muted">{t("ask.never_shown")}</span>;
  const said = of.right ? "right" : of.slowed ? "slowed" : "wrong";
  return (
    <span class={`ask-${said}`} data-answer={said}>
      <Icon name={of.right ? "check" : "alert"} /> {word("factor", of.factor)}: {t(`ask.${said}`)}
    </span>
  );
}
