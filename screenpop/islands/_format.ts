// Times, spans and numbers as people read them, in the page's language and time zone.
import { page, t } from "./_page";

const zone = { timeZone: page.time_zone } as const;
/** Days before months and 24 hours: English here is that of Europe. */
const locale = page.language === "en" ? "en-GB" : page.language;
const clock = new Intl.DateTimeFormat(locale, { ...zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const exact = new Intl.DateTimeFormat(locale, { ...zone, dateStyle: "long", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(locale, { ...zone, weekday: "long", day: "numeric", month: "long" });
const withSeconds = new Intl.DateTimeFormat(locale, { ...zone, timeStyle: "medium" });
const dayKey = new Intl.DateTimeFormat("sv", { ...zone, dateStyle: "short" });

export const at = (iso: string) => clock.format(new Date(iso));
export const atSecond = (iso: string) => withSeconds.format(new Date(iso));
export const atExactly = (iso: string) => exact.format(new Date(iso));
export const atInstant = (ms: number) => withSeconds.format(new Date(ms));
export const dayOf = (iso: string) => dayKey.format(new Date(iso));

export function dayName(iso: string, now_ms: number): string {
  const key = dayOf(iso);
  if (key === dayKey.format(new Date(now_ms))) return t("day.today");
  if (key === dayKey.format(new Date(now_ms - 86_400_000))) return t("day.yesterday");
  return day.format(new Date(iso));
}

/** 42 -> 0:42, 3725 -> 1:02:05. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(minutes).padStart(hours ? 2 : 1, "0")}:${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

/** 1234567 -> 123 456 7, as it was read to the caller. */
export const ticketNumber = (digits: string) => digits.replace(/(\d{3})(?=\d)/g, "$1 ");

export const percent = new Intl.NumberFormat(locale, { style: "percent" });
