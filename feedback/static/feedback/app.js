// What every page does: theme, menus, dialogs, explained words, fresh times, polling that rests, failures that are told.

import * as keys from "./keys.js";

const ready = (act) => (document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", act) : act());

/** Say something to screen readers. */
export function announce(text) {
  const live = document.getElementById("live");
  if (live) live.textContent = text;
}

/** Show a short note at the page's edge for a while. */
export function toast(text, tone = "info") {
  const place = document.getElementById("toasts");
  if (!place) return;
  const note = document.createElement("p");
  note.className = `toast toast-${tone}`;
  note.textContent = text;
  place.replaceChildren(note);
  announce(text);
  setTimeout(() => note.remove(), 6000);
}

function theme() {
  const root = document.documentElement;
  const buttons = document.querySelectorAll("[data-theme-choice]");
  const chosen = () => root.dataset.theme || "system";
  const show = () => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.themeChoice === chosen())));
  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      const choice = button.dataset.themeChoice;
      if (choice === "system") delete root.dataset.theme;
      else root.dataset.theme = choice;
      try {
        localStorage.setItem("theme", choice);
      } catch {
        // Storage is refused: the choice holds for this page.
      }
      show();
      document.dispatchEvent(new CustomEvent("theme"));
    }),
  );
  show();
}

function menus() {
  document.querySelectorAll("[data-toggle]").forEach((button) => {
    const target = document.getElementById(button.dataset.toggle);
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(open));
      target.classList.toggle("is-open", open);
    });
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  keys.closes((dialog) => {
    const open = dialog ? [] : [...document.querySelectorAll("details[data-menu][open]")];
    open.forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
    return open.length > 0;
  });
}

function dialogs() {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) {
      opener.closest("dialog")?.close();
      return document.getElementById(opener.dataset.opens)?.showModal();
    }
    const closer = event.target.closest("[data-close]");
    if (closer) return closer.closest("dialog")?.close();
    const copier = event.target.closest("[data-copy]");
    if (copier) return copy(copier);
    if (event.target.matches("dialog")) event.target.close(); // a click beside the dialog
  });
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      const dialog = form.dataset?.confirm && document.getElementById(form.dataset.confirm);
      if (!dialog || form.dataset.confirmed) return;
      event.preventDefault();
      event.stopPropagation();
      dialog.showModal();
      dialog.querySelector("[data-confirmed]").onclick = () => {
        form.dataset.confirmed = "yes";
        dialog.close();
        form.requestSubmit();
        delete form.dataset.confirmed;
      };
    },
    true,
  );
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
    toast("Copied.");
  } catch {
    getSelection().selectAllChildren(source);
    toast("Press Ctrl+C to copy the selected text.");
  }
}

// An explanation near the right edge opens to the left; Escape puts it away.
function terms() {
  const place = (event) => {
    const term = event.target.closest?.(".term");
    if (!term) return;
    term.classList.remove("is-dismissed");
    const box = term.getBoundingClientRect();
    term.classList.toggle("opens-left", box.left > innerWidth / 2);
    term.classList.toggle("opens-up", box.bottom > innerHeight - 160);
  };
  document.addEventListener("pointerover", place);
  document.addEventListener("focusin", place);
  keys.closes((dialog) => {
    const there = (dialog || document).querySelectorAll(".term:hover, .term:focus-within");
    const open = [...there].filter((term) => !term.classList.contains("is-dismissed"));
    open.forEach((term) => term.classList.add("is-dismissed"));
    return open.length > 0;
  });
}

function agoWords(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 90) return `${Math.floor(seconds)} s ago`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 36 * 3600) {
    const minutes = Math.round(seconds / 60);
    return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min ago` : `${minutes / 60} h ago`;
  }
  return `${Math.round(seconds / 86400)} d ago`;
}

function times() {
  document.querySelectorAll("time[data-ago]").forEach((time) => {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    if (seconds >= 0) time.textContent = agoWords(seconds);
  });
}

// Polling rests while nobody looks, keeps what a person has opened or focused, and says when it fails.
function polling() {
  document.addEventListener("htmx:beforeRequest", (event) => {
    const polls = (event.detail.elt.getAttribute("hx-trigger") || "").includes("every");
    // While a dialog asks, what it asks about must not be exchanged under it.
    if (polls && (document.hidden || document.querySelector("dialog[open]"))) event.preventDefault();
  });
  let opened = [];
  let focused = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    opened = [...target.querySelectorAll("details[open][id]")].map((details) => details.id);
    const active = document.activeElement;
    focused = target.contains(active) ? active.id || active.closest("[id]")?.id : null;
    if (focused && active.tagName === "SUMMARY") focused = `${active.parentElement.id} > summary`;
  });
  document.addEventListener("htmx:afterSwap", () => {
    opened.forEach((id) => {
      const details = document.getElementById(id);
      if (details) details.open = true;
    });
    if (focused) document.querySelector(`#${focused.replace(/^([^ ]+)/, (id) => CSS.escape(id))}`)?.focus();
    times();
  });
  let told = false;
  document.addEventListener("htmx:sendError", () => {
    if (!told) toast("The service does not respond. This page may be out of date; trying again.", "warn");
    told = true;
  });
  document.addEventListener("htmx:afterOnLoad", () => (told = false));
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status === 401 || status === 403) toast("You are signed out or have no access. Reload the page.", "warn");
    else toast(`Request failed (${status}). Reload the page.`, "warn");
  });
}

// On a phone tabs lie in a row that is wider than the screen: the current one is in it.
function tabs() {
  document.querySelectorAll(".tabs [aria-current]").forEach((one) => {
    const row = one.closest(".tabs");
    row.scrollLeft = one.offsetLeft - row.offsetLeft - (row.clientWidth - one.offsetWidth) / 2;
  });
}

// Charts are fetched by pages that have one.
function charts() {
  if (document.querySelector("[data-chart]")) import("./chart.js").then((module) => module.draw());
}

ready(() => {
  theme();
  menus();
  dialogs();
  terms();
  tabs();
  polling();
  times();
  setInterval(times, 10_000);
  charts();
  document.addEventListener("htmx:afterSwap", charts);
});
