// Signing in without leaving the page: what was typed stays, and the error stands beside its field.

/** RFC 9457, as cti/web.py answers. */
interface Problem {
  title?: string;
  errors?: { field: string }[];
}

const form = document.querySelector<HTMLFormElement>("form[data-sign-in]");
const button = form?.querySelector<HTMLButtonElement>("button[type=submit]");

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  void signIn(form);
});

async function signIn(form: HTMLFormElement): Promise<void> {
  clear(form);
  const { user = "", password = "" } = Object.fromEntries(new FormData(form)) as Record<string, string>;
  if (!user.trim()) return say(form, "user", form.dataset.missing);
  if (!password) return say(form, "password", form.dataset.missing);
  busy(true);
  const answer = await fetch(form.action, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user: user.trim(), password }),
  }).catch(() => null);
  busy(false);
  if (answer?.ok) return go(form);
  if (!answer) return say(form, "form", form.dataset.offline);
  await refused(form, answer);
}

/** A language that was chosen here becomes the user's own. */
async function go(form: HTMLFormElement): Promise<void> {
  const language = form.dataset.language;
  if (language) {
    const [method, headers] = ["PUT", { "content-type": "application/json" }];
    await fetch("/api/v1/session/language", { method, headers, body: JSON.stringify({ language }) }).catch(() => null);
  }
  location.assign(form.dataset.next ?? "/desk");
}

async function refused(form: HTMLFormElement, answer: Response): Promise<void> {
  const problem = (await answer.json().catch(() => ({}))) as Problem;
  if (answer.status === 429) return wait(form, Number(answer.headers.get("retry-after")) || 30);
  if (answer.status === 401) return say(form, "password", form.dataset.wrong);
  const fields = (problem.errors ?? []).map((error) => error.field).filter((name) => name === "user" || name === "password");
  if (fields.length) return fields.reverse().forEach((name) => say(form, name, problem.title));
  say(form, "form", problem.title || form.dataset.refused);
}

/** Too many tries: the seconds count down, then the button works again. */
function wait(form: HTMLFormElement, seconds: number): void {
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left <= 0) {
      clearInterval(timer);
      busy(false);
      return clear(form);
    }
    show(form, "form", (form.dataset.wait ?? "").replace("{seconds}", String(left)));
  };
  busy(true);
  const timer = setInterval(tick, 1000);
  tick();
}

function say(form: HTMLFormElement, field: string, text = ""): void {
  show(form, field, text);
  const input = form.elements.namedItem(field);
  if (!(input instanceof HTMLInputElement)) return;
  input.setAttribute("aria-invalid", "true");
  input.focus();
}

function show(form: HTMLFormElement, field: string, text: string): void {
  const place = form.querySelector<HTMLElement>(`[data-error="${field}"]`);
  if (!place) return;
  place.hidden = false;
  const words = place.querySelector("span");
  if (words) words.textContent = text;
}

function clear(form: HTMLFormElement): void {
  for (const place of form.querySelectorAll<HTMLElement>("[data-error]")) place.hidden = true;
  for (const input of form.querySelectorAll("input")) input.removeAttribute("aria-invalid");
}

function busy(now: boolean): void {
  if (button) button.disabled = now;
}

export {};
