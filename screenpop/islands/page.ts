// What every page behind the sign-in needs: language switch, signing out, menus that close, a word when a list could not be loaded.

for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-language]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await fetch("/api/v1/session/language", {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ language: button.dataset.language }),
    }).catch(() => null);
    button.disabled = false;
    if (answer?.ok) location.reload();
  });
}

document.querySelector("[data-sign-out]")?.addEventListener("click", async () => {
  const answer = await fetch("/api/v1/session", { method: "DELETE" }).catch(() => null);
  const menu = document.querySelector<HTMLElement>("[data-sign-out-failed]");
  if (!answer?.ok && answer?.status !== 401) {
    if (menu) menu.hidden = false;
    return;
  }
  document.dispatchEvent(new Event("santral:signed-out"));
  location.assign("/sign-in");
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector<HTMLDetailsElement>("details.menu[open]");
  open?.removeAttribute("open");
  open?.querySelector("summary")?.focus();
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target as Node)) menu.removeAttribute("open");
  }
});

document.addEventListener("htmx:error", () => sayListFailed(true));
document.addEventListener("htmx:finally:request", (event) => {
  const status = (event as CustomEvent<{ ctx: { response?: { status: number } } }>).detail.ctx.response?.status;
  if (status !== undefined) sayListFailed(status >= 400); // without one, htmx:error has said it
});

function sayListFailed(failed: boolean): void {
  const message = document.querySelector<HTMLElement>("[data-list-failed]");
  if (message) message.hidden = !failed;
}

export {};
