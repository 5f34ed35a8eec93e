// "This number is not his": said with one click, meant with the next. No dialog; the second step stands where the first one stood.
import { useEffect, useRef, useState } from "preact/hooks";
import { dispute, mayDecide } from "./_decide";
import { t, word } from "./_page";
import { Chip, Icon } from "./_parts";
import { plain } from "./_plain";
import type { Candidate, Card } from "./_protocol";
import { isPending } from "./_store";

export function Linked({ state }: { state: string }) {
  if (!state) return null;
  const tone = state === "verified" ? "tone-talking" : state === "disputed" || state === "ended" ? "tone-offered" : "";
  return (
    <Chip tone={tone} icon="phone">
      {t("link.number", { state: word("link", state) })}
    </Chip>
  );
}

export function isDisputable({ link, link_state }: Candidate): boolean {
  return link !== null && (link_state === "verified" || link_state === "unverified");
}

/** `onAsk`: the second step stands instead of the other buttons. The focus goes where the eye is; nobody else's is touched. */
export function Dispute({ card, of, asked, onAsk }: { card: Card; of: Candidate; asked: boolean; onAsk: (asked: boolean) => void }) {
  const [back, setBack] = useState(false); // the agent thought better of it: his focus comes back to where it was
  const first = useRef<HTMLButtonElement>(null);
  const cancel = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (asked) cancel.current?.focus();
    else if (back) first.current?.focus();
  }, [asked]);
  if (!of.link || !isDisputable(of) || !mayDecide(card)) return null;
  const answer = (sure: boolean) => {
    setBack(!sure);
    onAsk(false);
    if (sure && of.link) dispute(card, of.link);
    if (sure) document.getElementById("candidates-title")?.focus();
  };
  if (!asked) {
    return (
      <button type="button" class="quiet" ref={first} data-dispute={of.link} disabled={isPending("dispute", card.id)} onClick={() => onAsk(true)} aria-label={`${t("dispute.ask")}: ${plain(of.name)}`}>
        <Icon name="x" />
        {t("dispute.ask")}
      </button>
    );
  }
  return (
    <span class="second-step" role="group" aria-label={t("dispute.sure", { who: plain(of.name) })} onKeyDown={(event) => event.key === "Escape" && answer(false)}>
      <span>{t("dispute.really")}</span>
      <button type="button" class="danger" data-dispute-sure onClick={() => answer(true)}>
        {t("dispute.yes")}
      </button>
      <button type="button" ref={cancel} onClick={() => answer(false)}>
        {t("dispute.no")}
      </button>
    </span>
  );
}
