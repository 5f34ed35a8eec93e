// The agent's own state as the switch says it, and the one key that changes it.
import { signal } from "@preact/signals";
import { t, word } from "./_page";
import { Icon, Keys } from "./_parts";
import type { Agent as AgentState } from "./_protocol";
import { isPending, seat, send } from "./_store";

const REASONS = ["break", "lunch", "training", "meeting", "other"];
const reason = signal("break");

export function Agent() {
  const agent = seat.value?.agent;
  if (!agent?.agent) return null; // takes no calls
  const waiting = isPending("pause") || isPending("ready");
  return (
    <div class="agent" data-agent={agent.paused ? "paused" : "ready"} data-phone={agent.phone}>
      <span class={`agent-state is-${tone(agent)}`}>
        <Icon name={ICONS[tone(agent)] ?? "user"} />
        <span>{stateText(agent)}</span>
      </span>
      {!agent.paused && <Reasons />}
      <button type="button" disabled={waiting} onClick={toggle}>
        <Icon name={agent.paused ? "play" : "pause"} />
        <span>{t(waiting ? "agent.changing" : agent.paused ? "agent.ready_now" : "agent.pause_now")}</span> <Keys of="F2" />
      </button>
    </div>
  );
}

function Reasons() {
  return (
    <label class="agent-reason">
      <span class="visually-hidden">{t("agent.reason")}</span>
      <select value={reason.value} onChange={(event) => (reason.value = event.currentTarget.value)}>
        {REASONS.map((it) => (
          <option key={it} value={it}>
            {word("pause", it)}
          </option>
        ))}
      </select>
    </label>
  );
}

const ICONS: Record<string, string> = { ready: "check", paused: "pause", busy: "phone", trouble: "alert" };

function tone(agent: AgentState): string {
  if (agent.phone === "unavailable" || agent.phone === "none") return "trouble";
  if (agent.paused) return "paused";
  return agent.phone === "ready" ? "ready" : "busy";
}

function stateText(agent: AgentState): string {
  const paused = agent.pause_reason ? t("agent.paused_for", { reason: word("pause", agent.pause_reason) }) : t("agent.paused");
  if (tone(agent) === "trouble") return `${word("phone", agent.phone)}${agent.paused ? ` · ${paused}` : ""}`;
  return agent.paused ? paused : word("phone", agent.phone);
}

export function toggle(): void {
  const agent = seat.peek()?.agent;
  if (!agent?.agent || isPending("pause") || isPending("ready")) return;
  if (agent.paused) send("ready");
  else send("pause", { text: reason.peek() });
}
