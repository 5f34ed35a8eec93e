// Whether what is on the screen is live. Always visible, as a drawing and in words.
import { effect } from "@preact/signals";
import { atInstant } from "./_format";
import { t } from "./_page";
import { Icon } from "./_parts";
import { ahead_ms, line, stale } from "./_store";

const ICONS: Record<string, string> = { connected: "wifi", connecting: "refresh", reconnecting: "refresh", stale: "wifi-off" };

const state = () => (stale.value ? "stale" : line.value.state);

export function Connection() {
  const now = state();
  const since = line.value.heard_at ? atInstant(line.value.heard_at + ahead_ms.value) : "";
  return (
    <span class={`connection is-${now}`} role="status">
      <Icon name={ICONS[now] ?? "wifi-off"} />
      <span>{t(`connection.${now}`, { time: since })}</span>
    </span>
  );
}

effect(() => {
  document.body.dataset.connection = state();
});
