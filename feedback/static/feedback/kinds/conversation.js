// A turn of a conversation: a comparison of two answers; where both are bad, one's own may be written instead.

import * as comparison from "./comparison.js";

export { complete, start, texts } from "./comparison.js";

const field = (card) => card.querySelector("[name=rewrite]");
const bad = (card) => card.querySelector("[name=choice][value='0']")?.checked;

export function read(card) {
  return { ...comparison.read(card), rewrite: field(card)?.value || "" };
}

export function fill(card, state) {
  comparison.fill(card, state);
  if (field(card)) field(card).value = state.rewrite || "";
  shown(card);
}

export function answer(card) {
  const told = comparison.answer(card);
  if (told.wrong) return told;
  const [a, b] = comparison.texts(card);
  if (told.answer.outcome === "prefer" && a && a.textContent === b?.textContent) {
    return { wrong: "Both responses are identical. Choose about the same (5) or both bad (0)." };
  }
  const rewrite = field(card)?.value.trim() ? field(card).value : "";
  return bad(card) && rewrite ? { answer: { ...told.answer, rewrite } } : told;
}

export function key(card, event) {
  if (event.key === "w" && field(card) && bad(card)) {
    field(card).focus();
    return true;
  }
  return comparison.key(card, event);
}

export function shown(card) {
  comparison.shown(card);
  card.querySelector("[data-rewrite]")?.classList.toggle("is-asked", Boolean(bad(card)));
}
