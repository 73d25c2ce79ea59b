// The reviewer's queue, and the page that gives a right answer: the desk's own card and keys, with other buttons at its
// end. An answer is looked at first; `c` opens the controls. htmx brings the next one in its place.

import { announce } from "./app.js";
import { Card } from "./card.js";
import * as keys from "./keys.js";

let card = null; // on the page now
let open = false; // whether its controls may be used

const TAKES = new Set(["correct", "decide", "gold"]); // decisions that bring an answer

function start() {
  const element = document.querySelector("[data-review] [data-card]");
  card = element && new Card(element);
  if (!card) return document.querySelector("#review h2")?.focus();
  const mode = element.querySelector("[data-mode]").dataset.mode;
  card.restore();
  setOpen(mode === "decide" || mode === "gold");
  card.kind?.shown(element);
  if (mode !== "gold") document.querySelector("[data-why]")?.focus({ preventScroll: true });
  keys.contentChanged();
}

function setOpen(on) {
  open = on;
  const { element } = card;
  for (const part of element.querySelectorAll(".answer > :not(.answer-end, .wrong), .writing, [data-marking]"))
    part.inert = !on;
  element.classList.toggle("open", on);
  const word = element.querySelector("[data-correct-word]");
  if (word) word.textContent = on ? "Save correction" : "Correct";
}

function correct() {
  if (open) return false;
  setOpen(true);
  card.element.querySelector("[data-start]")?.focus({ preventScroll: true });
  announce("The annotation can be edited now. Enter saves your correction, Escape cancels.");
  return true;
}

/** What the controls say goes along with a decision that brings an answer. */
document.addEventListener(
  "submit",
  (event) => {
    const decision = event.submitter?.value;
    if (!card || event.target !== card.element) return;
    const stop = () => (event.preventDefault(), event.stopImmediatePropagation());
    if (decision === "send_back" && !of("[data-note]").value.trim()) {
      stop();
      of("[data-note]").focus();
      return announce("Write what to change, then return it with Control and Enter.");
    }
    if (!TAKES.has(decision)) return;
    if (!card.kind)
      return (stop(), announce("The labels of this task were removed from the project, so it cannot be annotated."));
    if (decision === "correct" && correct()) return stop();
    const { answer, wrong, focus } = card.kind.answer(card.element);
    const told = card.element.querySelector("[data-wrong]");
    told.hidden = !wrong;
    told.textContent = wrong || "";
    if (wrong) {
      stop();
      return focus?.focus();
    }
    card.element.querySelector("[name=answer]").value = JSON.stringify(answer);
  },
  true,
);

const press = (button) => button && (button.click(), true);
const of = (selector) => card?.element.querySelector(selector);

keys.bind("*", (event) => {
  if (!card?.element.isConnected) start(); // the next one came this moment
  if (open && card?.kind?.key(card.element, event)) return true;
  return press(of(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`));
});
keys.bind("Enter", () => press(of(open ? "[data-correct], [data-decide]" : "[data-none]")) || false);
keys.bind("Escape", () => {
  if (!open || !of("[data-correct]")) return false;
  card.restore();
  setOpen(false);
});
keys.bind("n", () => press(of("[data-later]")));
keys.bind("m", () => plain());
keys.bind("j", () => of("[data-note]")?.focus());

function plain() {
  const on = card.element.classList.toggle("show-plain");
  of("[data-plain]").setAttribute("aria-pressed", String(on));
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-plain]")) plain();
});

document.addEventListener("input", (event) => {
  if (card?.element.contains(event.target)) card.kind?.shown(card.element);
});

keys.within(document.body, (event) => {
  if (event.target.tagName !== "TEXTAREA" || !card?.element.contains(event.target)) return false;
  if (event.key === "Escape") event.target.blur();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const back = event.target.matches("[data-note]") && of("[value=send_back]");
    if (!event.repeat) press(open ? of("[data-correct], [data-decide]") : back);
  } else return false;
  return true;
});

document.addEventListener("htmx:afterSwap", (event) => event.target.id === "review" && start());
document.addEventListener("htmx:afterSettle", () =>
  announce(document.querySelector("#review .note")?.textContent.trim() || ""),
);
start();
