// What did not work, with a way to try again; and the sentence for screen readers. Never modal, stays until it is put away.
import { page, t, word } from "./_page";
import { Icon } from "./_parts";
import { plain } from "./_plain";
import { announcement } from "./_ringing";
import { failures, forget, retry } from "./_store";

export function Notices() {
  return (
    <>
      <p class="visually-hidden" role="status" data-announcement>
        {announcement.value}
      </p>
      <div class="notices" role="status">
        {failures.value.map((failure) => (
          <div class="notice" key={failure.command.key} data-failure={failure.command.name}>
            <Icon name="alert" />
            <p>
              <strong>{word("failed", failure.command.name)}</strong> {page.texts[`trouble.${failure.error.code}`] ?? plain(failure.error.text)}
            </p>
            <button type="button" onClick={() => retry(failure)}>
              {t("retry")}
            </button>
            <button type="button" class="quiet" onClick={() => forget(failure.command.key)} aria-label={t("close")}>
              <Icon name="x" />
            </button>
          </div>
        ))}
      </div>
    </>
  );
}
