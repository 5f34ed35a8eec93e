// What the agent must know about the system itself: parts of it that are away, work that waits for the connection, and that calls
// passed him by. Said once, above the desk; never modal, never takes the focus.
import { t } from "./_page";
import { Icon } from "./_parts";
import { degraded, pending, stale, wasUnreachable } from "./_store";

const SAID = ["database", "switch"]; // the bus only brings other nodes' news a second sooner: nobody has to act on that

export function State() {
  const waiting = stale.value ? pending.value.length : 0;
  const away = SAID.filter((part) => degraded.value.includes(part));
  return (
    <div class="states" role="status" data-degraded={away.join(" ")}>
      {away.map((part) => (
        <p class="banner" key={part}>
          <Icon name="alert" />
          <span>{t(`degraded.${part}`)}</span>
        </p>
      ))}
      {waiting > 0 && (
        <p class="banner" data-waiting={waiting}>
          <Icon name="wifi-off" />
          <span>{t("degraded.waiting", { n: waiting })}</span>
        </p>
      )}
      {wasUnreachable.value && <PassedBy />}
    </div>
  );
}

function PassedBy() {
  return (
    <p class="banner" data-unreachable>
      <Icon name="alert" />
      <span>{t("degraded.unreachable")}</span>
      <button type="button" class="quiet" onClick={() => (wasUnreachable.value = false)} aria-label={t("close")}>
        <Icon name="x" />
      </button>
    </p>
  );
}
