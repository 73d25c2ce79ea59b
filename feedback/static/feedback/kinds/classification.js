// Classification: labels with keys, one or as many as hold.

import { changed, fillReason, reasonKey, reasonMissing, reasonOf } from "./parts.js";

const inputs = (card) => [...card.querySelectorAll("[name=label]")];

export function read(card) {
  return {
    labels: inputs(card)
      .filter((input) => input.checked)
      .map((input) => input.value),
    reason: reasonOf(card),
  };
}

export function fill(card, state) {
  inputs(card).forEach((input) => (input.checked = (state.labels || []).includes(input.value)));
  fillReason(card, state);
}

export function answer(card) {
  const { labels, reason } = read(card);
  const many = inputs(card)[0]?.type === "checkbox";
  if (!labels.length && !many) return { wrong: "Choose a label first.", focus: inputs(card)[0] };
  return reasonMissing(card) || { answer: { labels, reason } };
}

export function key(card, event) {
  const input = inputs(card).find((one) => one.dataset.key && one.dataset.key === event.key);
  if (!input) return reasonKey(card, event);
  input.checked = input.type === "radio" || !input.checked;
  changed(card);
  return "chosen";
}

/** With one label only, its key may send by itself. */
export function complete(card) {
  return !card.querySelector("[name=reason]") && inputs(card).every((input) => input.type === "radio");
}

export function shown() {}
