// Demonstration: a response that a person writes, or edits from the one shown.

import { fillReason, reasonKey, reasonMissing, reasonOf } from "./parts.js";

const editor = (card) => card.querySelector("[name=text]");
const original = (card) => card.querySelector("[data-text]")?.textContent ?? null;
const even = (text) => text.replace(/\r\n?/g, "\n"); // as an editor gives it back

/** Whatever leads into the editor, writing goes on at its end. */
export function start(card) {
  const end = editor(card).value.length;
  editor(card).setSelectionRange(end, end);
}

export function read(card) {
  return { text: editor(card).value, reason: reasonOf(card) };
}

export function fill(card, state) {
  editor(card).value = state.text ?? "";
  start(card);
  fillReason(card, state);
}

export function answer(card) {
  const { text, reason } = read(card);
  if (!text.trim()) return { wrong: "Write the response.", focus: editor(card) };
  if (original(card) !== null && text === even(original(card))) {
    return {
      wrong: "The response is unchanged. Edit it, or skip the task if it needs no change.",
      focus: editor(card),
    };
  }
  return reasonMissing(card) || { answer: { text, reason } };
}

export function key(card, event) {
  if (event.key === "e") {
    editor(card).focus();
    return true;
  }
  return reasonKey(card, event);
}

export function complete() {
  return false;
}

/** How much is written, and whether it differs from what it started as. */
export function shown(card) {
  const text = editor(card).value;
  const words = text.match(/\S+/g)?.length || 0;
  const same = original(card) !== null && text === even(original(card));
  card.querySelector(".writing [data-verdict]").textContent = same
    ? "unchanged"
    : `${words} ${words === 1 ? "word" : "words"}`;
}
