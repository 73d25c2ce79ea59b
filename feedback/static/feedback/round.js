// The training round: an answered task stays on the desk until its annotator has read what is right, and why.

import { announce } from "./app.js";

let open = null; // {card, key, reply}: sent, and not gone on from

export const waits = () => open !== null;
export const isRound = (card) => card.element.dataset.training === "yes";

/** The answer is on its way. */
export function sent(card, key) {
  open = { card, key, reply: null };
  card.element.querySelector("[type=submit]").disabled = true;
  announce("Sent. The correct answer follows.");
}

/** What came back for it; false when the reply was for something else. */
export function told(item, reply) {
  if (open?.key !== item.key || !reply?.feedback) return false;
  open.reply = reply;
  const template = document.createElement("template");
  template.innerHTML = reply.feedback;
  open.card.element.append(template.content);
  const place = open.card.element.querySelector("[data-told]");
  place.focus();
  place.scrollIntoView({ block: "nearest" });
  announce(place.querySelector("h2").textContent);
  return true;
}

/** Enter, or the button: the reply to go on with; null while it has not come. */
export function goOn() {
  const reply = open?.reply || null;
  if (reply) open = null;
  return reply;
}

/** The service refused the answer: it can be changed and sent again. */
export function refused(item) {
  if (open?.key !== item.key) return false;
  open.card.element.querySelector("[type=submit]").disabled = false;
  open = null;
  return true;
}
