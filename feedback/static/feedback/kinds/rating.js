// Rating: a row of 1 to 5 for each dimension. A number rates the marked row and goes on to the next one.

import { changed, fillReason, reasonKey, reasonMissing, reasonOf } from "./parts.js";

const rows = (card) => [...card.querySelectorAll("[data-row]")];
const rated = (row) => row.querySelector("input:checked");
const marked = (card) =>
  Math.max(
    0,
    rows(card).findIndex((row) => row.classList.contains("is-marked")),
  );

export function start(card) {
  // Going through the page with Tab marks the row where the focus is.
  card.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) mark(card, rows(card).indexOf(row));
  });
  mark(card, 0);
}

export function read(card) {
  const ratings = {};
  for (const row of rows(card)) if (rated(row)) ratings[row.dataset.row] = Number(rated(row).value);
  return { ratings, reason: reasonOf(card) };
}

export function fill(card, state) {
  for (const row of rows(card)) {
    const value = String(state.ratings?.[row.dataset.row] ?? "");
    row.querySelectorAll("input").forEach((input) => (input.checked = input.value === value));
  }
  fillReason(card, state);
  mark(
    card,
    Math.max(
      0,
      rows(card).findIndex((row) => !rated(row)),
    ),
  );
}

export function answer(card) {
  const missing = rows(card).find((row) => !rated(row));
  if (missing) {
    mark(card, rows(card).indexOf(missing));
    return {
      wrong: `Rate ${missing.querySelector("legend").textContent}: 1 is very bad, 5 is very good.`,
      focus: missing.querySelector("input"),
    };
  }
  return reasonMissing(card) || { answer: read(card) };
}

export function key(card, event) {
  const all = rows(card);
  const at = marked(card);
  if (/^[1-5]$/.test(event.key)) {
    all[at].querySelector(`[value="${event.key}"]`).checked = true;
    mark(card, Math.min(at + 1, all.length - 1));
    changed(card);
    return "chosen";
  }
  if (event.key === "Backspace") {
    const last = rated(all[at]) ? at : Math.max(0, at - 1);
    if (rated(all[last])) rated(all[last]).checked = false;
    mark(card, last);
    changed(card);
    return true;
  }
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (step && event.target.type !== "radio" && !event.target.matches?.("[data-side], .asked")) {
    mark(card, Math.min(all.length - 1, Math.max(0, at + step)));
    return true;
  }
  return reasonKey(card, event);
}

export function complete(card) {
  return !card.querySelector("[name=reason]") && rows(card).every(rated);
}

export function shown() {}

function mark(card, place) {
  rows(card).forEach((row, at) => row.classList.toggle("is-marked", at === place));
}
