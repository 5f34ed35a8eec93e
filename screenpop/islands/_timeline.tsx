// The right side: everything that ever happened with this caller, on all channels, newest first. What arrives while somebody reads
// further down must not move the lines under the eyes.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { isUnwritten } from "./_caller";
import { at, atExactly, dayName, dayOf, ticketNumber } from "./_format";
import { count, t, word } from "./_page";
import { Icon, Name, Nothing } from "./_parts";
import { plain, prose } from "./_plain";
import type { Channel, Entry } from "./_protocol";
import { card, now_ms, seat } from "./_store";

export function Timeline() {
  const current = card.value;
  if (!current) return seat.value && <Nothing title="timeline.title" hint="timeline.empty_hint" />;
  if (isUnwritten(current)) return <Nothing title="timeline.title" hint="who.unwritten" />; // not "none": nobody could look
  return <Shown key={current.id} entries={current.timeline} />;
}

function Shown({ entries }: { entries: Entry[] }) {
  const scroll = useRef<HTMLDivElement>(null);
  const { unread, top } = useSteadyScroll(scroll, entries);
  return (
    <div class="timeline">
      <header class="timeline-head">
        <h2 id="timeline-title">{t("timeline.title")}</h2>
        {unread > 0 && (
          <button type="button" class="pill" onClick={top}>
            <Icon name="arrow-up" /> {count("timeline.unread", unread)}
          </button>
        )}
      </header>
      <div class="timeline-scroll" ref={scroll} tabIndex={0} role="region" aria-labelledby="timeline-title">
        {entries.length === 0 && <p class="muted nothing">{t("timeline.none")}</p>}
        {byDay(entries).map(([day, rows]) => (
          <div class="day" key={day}>
            <h3 class="day-mark">{dayName(rows[0]?.at ?? day, now_ms.value)}</h3>
            <ol>
              {rows.map((entry) => (
                <Row key={entry.id} entry={entry} />
              ))}
            </ol>
          </div>
        ))}
      </div>
    </div>
  );
}

function Row({ entry }: { entry: Entry }) {
  const channel = channelOf(entry);
  const direction = entry.direction ? word("direction", entry.direction) : "";
  return (
    <li class={`entry is-${entry.direction || "none"}`} data-entry={entry.id}>
      <span class="entry-icon">
        <Icon name={entry.kind === "ticket" ? "ticket" : channel.icon} />
      </span>
      <div class="entry-body">
        <p class="entry-head">
          <strong>{entry.kind === "ticket" ? t("timeline.ticket") : channel.name}</strong>
          {direction && <span class="muted"> · {direction}</span>}
          {entry.ticket && <span class="tabular"> · {ticketNumber(entry.ticket)}</span>}
          <time class="tabular muted" dateTime={entry.at} title={atExactly(entry.at)}>
            {at(entry.at)}
          </time>
        </p>
        {(entry.party_name || entry.contact || entry.author) && (
          <p class="muted entry-from">
            {[entry.party_name, entry.contact, entry.author && t("timeline.by", { author: entry.author })]
              .filter(Boolean)
              .map((text, index) => (
                <span key={text}>
                  {index > 0 && " · "}
                  <Name text={text} />
                </span>
              ))}
          </p>
        )}
        {entry.subject && <p class="entry-subject">{subject(entry)}</p>}
        {entry.text && <p class="prose">{prose(entry.text)}</p>}
      </div>
    </li>
  );
}

/** Of a call the subject is its intent, of a ticket its matter; otherwise somebody wrote it. */
function subject(entry: Entry): string {
  if (entry.kind === "call") return word("intent", entry.subject);
  return entry.kind === "ticket" ? word("matter", entry.subject) : plain(entry.subject);
}

function channelOf(entry: Entry): Channel {
  const known = seat.value?.channels.find((it) => it.id === entry.channel);
  return known ?? { id: entry.channel, name: entry.channel, icon: "dot" };
}

function byDay(entries: Entry[]): [string, Entry[]][] {
  const days = new Map<string, Entry[]>();
  for (const entry of entries) days.set(dayOf(entry.at), [...(days.get(dayOf(entry.at)) ?? []), entry]);
  return [...days];
}

/** Keeps what is being read where it is when rows appear above it, and counts those rows. */
function useSteadyScroll(scroll: { current: HTMLElement | null }, entries: Entry[]) {
  const before = useRef({ height: 0, ids: new Set(entries.map((it) => it.id)) });
  const [unread, setUnread] = useState(0);
  useLayoutEffect(() => {
    const box = scroll.current;
    if (!box) return;
    const fresh = entries.filter((it) => !before.current.ids.has(it.id)).length;
    if (fresh && box.scrollTop > 0) {
      box.scrollTop += box.scrollHeight - before.current.height;
      setUnread((n) => n + fresh);
    }
    before.current = { height: box.scrollHeight, ids: new Set(entries.map((it) => it.id)) };
  }, [entries]);
  useLayoutEffect(() => {
    const box = scroll.current;
    const reached = () => box && box.scrollTop < 8 && setUnread(0);
    box?.addEventListener("scroll", reached, { passive: true });
    return () => box?.removeEventListener("scroll", reached);
  }, []);
  return { unread, top: () => scroll.current?.scrollTo({ top: 0 }) };
}
