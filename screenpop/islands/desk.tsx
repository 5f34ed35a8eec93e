// The agent's desk: registers its islands and lets them live.
import { Agent } from "./_agent";
import { Cards } from "./_cards";
import { Connection } from "./_connection";
import { element } from "./_element";
import { Help } from "./_help";
import { startKeys } from "./_keys";
import type { Seat } from "./_protocol";
import { Notices } from "./_notices";
import { Pop } from "./_pop";
import { startRinging } from "./_ringing";
import { State } from "./_state";
import { post, seat, start } from "./_store";
import { Timeline } from "./_timeline";

declare global {
  interface Window {
    /** For tests and for whoever looks with the browser's tools. */
    santral: { seat(): Seat | null; drop(): void };
  }
}

start();
startKeys();
startRinging();
element("santral-connection", Connection);
element("santral-state", State);
element("santral-agent", Agent);
element("santral-help", Help);
element("santral-cards", Cards);
element("santral-pop", Pop);
element("santral-timeline", Timeline);
element("santral-notices", Notices);
document.addEventListener("santral:signed-out", () => post({ kind: "leave" }));
window.santral = { seat: () => structuredClone(seat.peek()), drop: () => post({ kind: "drop" }) };
