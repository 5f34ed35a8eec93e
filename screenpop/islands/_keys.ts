// The keyboard. Function keys, because Turkish keyboards make letters with AltGr, which is Ctrl+Alt; letters never stand alone.
// While somebody types only Ctrl+Enter works. The single keys (? and 1-9) can be switched off (WCAG 2.1.4).
import { signal } from "@preact/signals";
import { toggle } from "./_agent";
import { dismiss } from "./_cards";
import { decideByNumber } from "./_decide";
import { hangUp } from "./_pop";
import { card, seat, selected } from "./_store";
import { chooseNumber, save } from "./_wrap_up";

export const helpOpen = signal(false);
export const singleKeys = signal(localStorage.getItem("santral.single_keys") !== "off");

/** Key as people read it -> the text that says what it does. The help panel shows exactly this. */
export const KEYS: [string, string][] = [
  ["F2", "keys.toggle"],
  ["F8", "keys.next"],
  ["Shift+F8", "keys.previous"],
  ["F4", "keys.note"],
  ["Shift+F4", "keys.answer"],
  ["1–6", "keys.candidate"],
  ["7", "keys.link"],
  ["8", "keys.refuse_link"],
  ["F9", "keys.wrap_up"],
  ["1–9", "keys.disposition"],
  ["Ctrl+Enter", "keys.save"],
  ["Shift+F9", "keys.hang_up"],
  ["Delete", "keys.dismiss"],
  ["?", "keys.help"],
  ["Esc", "keys.escape"],
];

const ACTIONS: Record<string, () => void> = {
  F2: toggle,
  F8: () => step(1),
  "Shift+F8": () => step(-1),
  F4: () => document.getElementById("note")?.focus(),
  "Shift+F4": () => document.getElementById("answer")?.focus(),
  F9: () => document.querySelector<HTMLElement>(".disposition input:checked, .disposition input")?.focus(),
  "Shift+F9": () => card.value && hangUp(card.value),
  Delete: () => card.value && dismiss(card.value),
  "Ctrl+Enter": () => card.value && save(card.value),
  Escape: () => (helpOpen.value = false),
};

export function startKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.isComposing || event.altKey || event.metaKey || event.getModifierState("AltGraph")) return;
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

export function setSingleKeys(on: boolean): void {
  singleKeys.value = on;
  localStorage.setItem("santral.single_keys", on ? "on" : "off");
}

function actionOf(event: KeyboardEvent): (() => void) | undefined {
  const name = `${event.ctrlKey ? "Ctrl+" : ""}${event.shiftKey ? "Shift+" : ""}${event.key}`;
  if (typing(event.target)) return name === "Ctrl+Enter" ? ACTIONS[name] : undefined;
  if (event.key === "?" && !event.ctrlKey) return singleKeys.value ? () => (helpOpen.value = !helpOpen.value) : undefined;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  if (digit && name === digit) return numberAction(Number(digit));
  if (name === "Escape" && !helpOpen.value) return undefined;
  return ACTIONS[name];
}

function numberAction(number: number): (() => void) | undefined {
  const current = card.value;
  if (!singleKeys.value || !current) return undefined;
  if (current.state === "talking") return decideByNumber(current, number);
  return current.state === "wrap_up" ? () => chooseNumber(current, number) : undefined;
}

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["radio", "checkbox", "button", "submit"].includes(target.type);
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

function step(by: number): void {
  const cards = seat.value?.cards ?? [];
  const index = cards.findIndex((it) => it.id === selected.value);
  const next = cards[(index + by + cards.length) % cards.length];
  if (next) selected.value = next.id;
}
