// What reaches an agent who looks elsewhere: the tab's title and icon while it rings, and one polite sentence for a screen reader.
// However many tabs and browsers he has open, one of them does it.
import { computed, effect, signal } from "@preact/signals";
import { howSure, numberOf, who } from "./_caller";
import { page, t } from "./_page";
import { plain } from "./_plain";
import type { Card } from "./_protocol";
import { leads, now_ms, seat } from "./_store";

const offered = computed<Card | undefined>(() => seat.value?.cards.find((card) => card.state === "offered"));
const ringing = computed<Card | undefined>(() => (leads.value ? offered.value : undefined));
const usualTitle = document.title;
const announced = new Set<string>();
export const announcement = signal("");

export function startRinging(): void {
  effect(() => {
    const card = ringing.value;
    const odd = Math.floor(now_ms.value / 1000) % 2 === 1;
    document.title = card && odd ? t("ringing.title", { who: plain(who(card)) }) : usualTitle;
  });
  effect(() => showIcon(ringing.value ? page.icon_ringing : page.icon));
  effect(() => {
    document.body.dataset.rings = String(ringing.value !== undefined);
  });
  effect(() => {
    const card = offered.value;
    if (!card || announced.has(card.offer)) return;
    announced.add(card.offer); // also where another tab says it: taking over the lead must not say it again
    if (!leads.peek()) return;
    const sure = howSure(card);
    announcement.value = t("ringing.announce", { who: plain(who(card)) + (sure && ` (${sure})`), number: numberOf(card) });
  });
}

function showIcon(href: string): void {
  document.querySelector<HTMLLinkElement>("link[rel=icon]")?.setAttribute("href", href);
  const badge = ringing.peek() ? navigator.setAppBadge?.(1) : navigator.clearAppBadge?.();
  badge?.catch(() => undefined); // only installed pages have a badge
}
