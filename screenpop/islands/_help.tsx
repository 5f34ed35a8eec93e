// The list of keys, on a panel that takes nothing away: not modal, no focus taken.
import { helpOpen, KEYS, setSingleKeys, singleKeys } from "./_keys";
import { t } from "./_page";
import { Icon, Keys } from "./_parts";

export function Help() {
  return (
    <>
      <button type="button" class="quiet" aria-expanded={helpOpen.value} aria-controls="help" onClick={() => (helpOpen.value = !helpOpen.value)}>
        <Icon name="keyboard" />
        <span class="visually-hidden">{t("keys.title")}</span>
        <Keys of="?" />
      </button>
      {helpOpen.value && <Panel />}
    </>
  );
}

function Panel() {
  return (
    <section id="help" class="help" aria-labelledby="help-title">
      <header>
        <h2 id="help-title">{t("keys.title")}</h2>
        <button type="button" class="quiet" onClick={() => (helpOpen.value = false)} aria-label={t("close")}>
          <Icon name="x" />
        </button>
      </header>
      <dl>
        {KEYS.map(([keys, text]) => (
          <div key={keys}>
            <dt>
              {keys.split("+").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(text)}</dd>
          </div>
        ))}
      </dl>
      <label class="switch">
        <input type="checkbox" checked={singleKeys.value} onChange={(event) => setSingleKeys(event.currentTarget.checked)} />
        <span>{t("keys.single")}</span>
      </label>
      <p class="muted">{t("keys.typing")}</p>
    </section>
  );
}
