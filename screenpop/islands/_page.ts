// What the server put into the page: texts, language, addresses. Read once.
export interface Page {
  language: string;
  time_zone: string;
  texts: Record<string, string>;
  user: string;
  stream: string;
  worker: string;
  icon: string;
  icon_ringing: string;
  wrap_up_max_s: number;
  now_ms: number;
}

const element = document.getElementById("page");
export const page = JSON.parse(element?.textContent ?? "{}") as Page;

/** The text of a key, with its {names} filled in. A key without text shows itself, so that it is found. */
export function t(key: string, values: Record<string, string | number> = {}): string {
  const text = page.texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The text of `<prefix>.<word>`, or the word itself where the server knows more words than the texts do. */
export function word(prefix: string, value: string): string {
  return page.texts[`${prefix}.${value}`] ?? value;
}

const plural = new Intl.PluralRules(page.language);

export function count(key: string, n: number): string {
  const exact = `${key}.${plural.select(n)}`;
  return t(exact in page.texts ? exact : `${key}.other`, { n });
}
