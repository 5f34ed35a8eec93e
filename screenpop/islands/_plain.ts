// Text from outside (carriers, callers, customers) made harmless to the eye. It is always a text node; this only unmasks characters
// that hide, reorder or overprint. The same rule stands in screenpop/pages.py for the server's pages.

const CONTROLS = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/gu;
const INVISIBLE = /[\u00AD\u061C\u180E\u200B\u200C\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB\u{E0000}-\u{E007F}]/gu;
const LONELY = /\p{Surrogate}/gu;
const PILED = /(\p{M}{3})\p{M}+/gu; // no script we meet stacks more than three marks on a letter
const MARK = "\uFFFD";

/** One line: names, numbers, subjects. */
export function plain(text: string): string {
  return prose(text).replace(/[\t\n]/g, MARK);
}

/** Several lines: what somebody wrote. Line breaks stay. */
export function prose(text: string): string {
  return text.replace(/\r\n/g, "\n").replace(CONTROLS, MARK).replace(INVISIBLE, MARK).replace(LONELY, MARK).replace(PILED, "$1");
}
