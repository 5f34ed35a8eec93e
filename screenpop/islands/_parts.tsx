// The smallest pieces that several islands draw with.
import { t } from "./_page";
import { plain } from "./_plain";

/** A drawing of templates/_icons.svg, which every page carries once. Always beside a text, so it says nothing itself. */
export function Icon({ name }: { name: string }) {
  const known = document.getElementById(`i-${name}`) ? name : "dot";
  return (
    <svg class="icon" aria-hidden="true">
      <use href={`#i-${known}`} />
    </svg>
  );
}

/** A name that somebody else chose: its own writing direction, its hidden characters shown. */
export function Name({ text }: { text: string }) {
  return <bdi class="name">{plain(text)}</bdi>;
}

export function Chip({ tone = "", icon, children }: { tone?: string; icon?: string; children: preact.ComponentChildren }) {
  return (
    <span class={`chip ${tone}`}>
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </span>
  );
}

/** A key as it is printed. */
export function Keys({ of }: { of: string }) {
  return (
    <span class="keys" aria-hidden="true">
      {of.split("+").map((key) => (
        <kbd key={key}>{key}</kbd>
      ))}
    </span>
  );
}

export function Nothing({ title, hint }: { title: string; hint: string }) {
  return (
    <div class="nothing">
      <p class="nothing-title">{t(title)}</p>
      <p>{t(hint)}</p>
    </div>
  );
}
