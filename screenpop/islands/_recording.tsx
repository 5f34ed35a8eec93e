// The recording of the call, once there is one. It is fetched only when somebody presses play: listening is logged.
import { span } from "./_format";
import { t, word } from "./_page";
import type { Card } from "./_protocol";

export function Player({ card: { recording, state } }: { card: Card }) {
  if (!recording || state === "offered") return null;
  const ready = recording.state === "stored" || recording.state === "partial";
  return (
    <section class="block" aria-labelledby="recording-title">
      <h3 id="recording-title">
        {t("recording.title")} {recording.duration_s !== null && <span class="muted tabular">{span(recording.duration_s)}</span>}
      </h3>
      {ready && (
        <audio controls preload="none" src={`/api/v1/recordings/${encodeURIComponent(recording.id)}/audio`} aria-labelledby="recording-title" />
      )}
      {recording.state !== "stored" && <p class="muted">{word("recording.state", recording.state)}</p>}
    </section>
  );
}
