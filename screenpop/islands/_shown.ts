// Proof that an offer reached the eye.
// painted: the frame after the one that drew it is over. A hidden tab draws no frames, so it says nothing until it is shown.
// seen: at least half of it was inside the window of a visible tab in some frame. Focus is not asked for: agents work with a second
//       program beside the desk and still see the pop.
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect } from "preact/hooks";
import { instant } from "./_messages";
import type { Card } from "./_protocol";
import { arrivals, post } from "./_store";

const SEEN_RATIO = 0.5;
const MS_MAX = 600_000;
const painted = new Set<string>();

export function useShown(ref: RefObject<HTMLElement | null>, { offer, state }: Card): void {
  const live = state === "offered" || state === "talking";
  useLayoutEffect(() => (live ? afterPaint(() => tellPainted(offer)) : undefined), [offer, live]);
  useEffect(() => (live && ref.current ? whenVisible(ref.current, () => post({ kind: "seen", offer })) : undefined), [offer, live]);
}

function tellPainted(offer: string): void {
  const arrived = arrivals.peek()[offer];
  if (arrived === undefined || painted.has(offer)) return;
  painted.add(offer);
  post({ kind: "painted", offer, ms: Math.min(MS_MAX, Math.max(0, instant() - arrived)) });
}

/** requestAnimationFrame runs before the frame is drawn; a message posted there arrives after it. */
function afterPaint(tell: () => void): () => void {
  const { port1, port2 } = new MessageChannel();
  const frame = requestAnimationFrame(() => port2.postMessage(null));
  port1.onmessage = () => {
    port1.close();
    tell();
  };
  return () => {
    cancelAnimationFrame(frame);
    port1.close();
  };
}

function whenVisible(element: HTMLElement, tell: () => void): () => void {
  const observer = new IntersectionObserver(
    (entries) => {
      if (document.visibilityState !== "visible" || !entries.some(enough)) return;
      observer.disconnect();
      tell();
    },
    { threshold: [0.01, SEEN_RATIO] },
  );
  observer.observe(element);
  return () => observer.disconnect();
}

/** Half of it, or half of the window where it is larger than that. */
function enough(entry: IntersectionObserverEntry): boolean {
  const window_px = entry.rootBounds?.height ?? innerHeight;
  return entry.isIntersecting && (entry.intersectionRatio >= SEEN_RATIO || entry.intersectionRect.height >= window_px * SEEN_RATIO);
}
