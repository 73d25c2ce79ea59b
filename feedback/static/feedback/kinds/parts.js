// What several kinds of task share: the field that asks why, and telling the desk that the state has changed.

const field = (card) => card.querySelector("[name=reason]");

export const reasonOf = (card) => field(card)?.value || "";

export function fillReason(card, state) {
  if (field(card)) field(card).value = state.reason || "";
}

/** {wrong, focus} when the project asks why and nothing is said. */
export function reasonMissing(card) {
  if (!card.dataset.asksReason || reasonOf(card).trim()) return null;
  return { wrong: "This project requires a reason. Write a few words.", focus: field(card) };
}

/** The key that leads to it. True when it was this one. */
export function reasonKey(card, event) {
  if (!field(card)?.dataset.reasonKey || event.key !== field(card).dataset.reasonKey) return false;
  field(card).focus();
  return true;
}

/** Drafts are saved and the card is drawn again. */
export function changed(card) {
  card.dispatchEvent(new Event("input", { bubbles: true }));
}
