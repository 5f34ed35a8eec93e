// The running note. What the agent sees while typing is always what the agent typed: a push from the server never touches it.
import { useEffect, useRef } from "preact/hooks";
import { discard, drafts, flush, restore, type } from "./_draft";
import { t } from "./_page";
import { Icon, Keys } from "./_parts";
import type { Card } from "./_protocol";

const LENGTH_MAX = 20_000; // protocol.Command.text

export function Note({ card }: { card: Card }) {
  const focused = useRef(false);
  const draft = drafts.value[card.id];
  const ringing = card.state === "offered";
  useEffect(() => restore(card.id, card.note), [card.id]);
  useEffect(() => flush(card.id), [ringing]);
  useEffect(() => {
    // The server has it: from here on its text is shown, so that what another tab writes appears.
    if (draft?.state === "saved" && !focused.current && card.note === draft.text) discard(card.id);
  }, [draft, card.note]);
  const blurred = () => {
    focused.current = false;
    flush(card.id);
  };
  return (
    <div class="note">
      <div class="note-head">
        <label for="note">
          {t("note.label")} <Keys of="F4" />
        </label>
        <Saved state={ringing && draft ? "kept" : draft?.state} conversation={card.id} />
      </div>
      <textarea
        id="note"
        data-note={card.id}
        rows={3}
        maxLength={LENGTH_MAX}
        value={draft?.text ?? card.note}
        placeholder={t("note.placeholder")}
        onFocus={() => (focused.current = true)}
        onBlur={blurred}
        onInput={(event) => type(card.id, event.currentTarget.value)}
      />
    </div>
  );
}

function Saved({ state, conversation }: { state: string | undefined; conversation: string }) {
  if (state === "failed") {
    return (
      <span class="saved is-failed" role="alert">
        <Icon name="alert" /> {t("note.failed")}{" "}
        <button type="button" class="quiet" onClick={() => flush(conversation)}>
          {t("retry")}
        </button>
      </span>
    );
  }
  return (
    <span class="saved muted" data-saved={state ?? ""}>
      {state && t(`note.${state}`)}
    </span>
  );
}
