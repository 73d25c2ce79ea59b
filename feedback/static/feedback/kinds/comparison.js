// How a comparison is read, filled and answered. A task kind is a module with: read(card) what is filled in so far,
// fill(card, state), answer(card) → {answer} or {wrong, focus}, key(card, event) → true when the key was its own,
// shown(card), which draws what follows from the state, and, where it listens to more than keys, start(card).

import { fillReason, reasonKey, reasonMissing, reasonOf } from "./parts.js";

const STEPS = {
  1: ["a", 3],
  2: ["a", 2],
  3: ["a", 1],
  4: ["a", 0],
  6: ["b", 0],
  7: ["b", 1],
  8: ["b", 2],
  9: ["b", 3],
};

const choice = (card) => card.querySelector("[name=choice]:checked")?.value || "";

export function read(card) {
  const dimensions = {};
  card.querySelectorAll("[name^=dimension-]:checked").forEach((input) => {
    dimensions[input.name.slice("dimension-".length)] = input.value;
  });
  return { choice: choice(card), dimensions, reason: reasonOf(card) };
}

/** `state` is what read() gave, or an answer as the service keeps it. */
export function fill(card, state) {
  let pressed = state.choice || "";
  if (state.outcome === "tie") pressed = "5";
  else if (state.outcome === "both_bad") pressed = "0";
  else if (state.outcome === "prefer") {
    pressed =
      Object.keys(STEPS).find((key) => STEPS[key][0] === state.choice && STEPS[key][1] === state.strength) || "";
  }
  card.querySelectorAll("[name=choice]").forEach((input) => (input.checked = input.value === pressed));
  for (const [name, value] of Object.entries(state.dimensions || {})) {
    card
      .querySelectorAll(`[name="dimension-${CSS.escape(name)}"]`)
      .forEach((input) => (input.checked = input.value === value));
  }
  fillReason(card, state);
  shown(card);
}

export function answer(card) {
  const { choice: pressed, dimensions, reason } = read(card);
  if (!pressed)
    return {
      wrong: "Choose an option: 1 to 4 for A, 5 for the same, 6 to 9 for B, 0 for both bad.",
      focus: card.querySelector("[name=choice]"),
    };
  const said = { dimensions, reason };
  if (pressed === "5") said.outcome = "tie";
  else if (pressed === "0") said.outcome = "both_bad";
  else [said.outcome, said.choice, said.strength] = ["prefer", ...STEPS[pressed]];
  return reasonMissing(card) || { answer: said };
}

export function key(card, event) {
  if (/^[0-9]$/.test(event.key)) {
    const input = card.querySelector(`[name=choice][value="${event.key}"]`);
    if (!input) return false;
    input.checked = true;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    return "chosen";
  }
  if (reasonKey(card, event)) return true;
  const input = /^[a-z]$/.test(event.key) && card.querySelector(`[data-key="${event.key}"]`);
  if (!input) return false;
  input.checked = !input.checked;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  return true;
}

/** All that the project asks for is there, so that a number may send by itself. */
export function complete(card) {
  const asked = new Set([...card.querySelectorAll("[name^=dimension-]")].map((input) => input.name));
  return !card.querySelector("[name=reason]") && Object.keys(read(card).dimensions).length === asked.size;
}

/** What a step of the scale means is told while it is pointed at, has the focus or is chosen. */
export function start(card) {
  startSlider(card);
  const tell = (event) => means(card, event.target.closest?.("[data-means]"));
  card.addEventListener("pointerover", tell);
  card.addEventListener("focusin", tell);
}

function means(card, step = null) {
  const told = step || card.querySelector("[data-means]:has(:checked)");
  const place = card.querySelector("[data-means-shown]");
  place.dataset.usual ??= place.textContent;
  place.textContent = told ? told.dataset.means : place.dataset.usual;
}

/** How much better the response is by the pressed key, as the scale words it. */
function strengthOf(card, pressed) {
  return card.querySelector(`[name=choice][value="${pressed}"]`).closest("[data-strength]").dataset.strength;
}

const slider = (card) => card.querySelector("[data-slider]");

/** The same choice by a finger: a slide from A to B, and a button for each of the two ties. */
function startSlider(card) {
  if (!slider(card)) return;
  const range = slider(card).querySelector("input");
  const choose = (key) => {
    const input = card.querySelector(`[name=choice][value="${key}"]`);
    input.checked = true;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  range.addEventListener("input", (event) => {
    event.stopPropagation();
    choose(range.value);
  });
  range.addEventListener("change", () => choose(range.value)); // a tap on the middle moves nothing, and chooses it
  slider(card).addEventListener("click", (event) => {
    const button = event.target.closest("[data-slide]");
    if (button) choose(button.dataset.slide);
    else if (event.target === range) choose(range.value);
  });
}

function showSlider(card, pressed) {
  const place = slider(card);
  if (!place) return;
  const words = pressed ? wordsOf(card, pressed) : "Slide toward the better response.";
  const range = place.querySelector("input");
  if (STEPS[pressed] || pressed === "5") range.value = pressed;
  range.setAttribute("aria-valuetext", pressed ? words : "not chosen");
  place.classList.toggle("not-chosen", !pressed);
  place.querySelector("[data-slider-words]").textContent = words;
  place.querySelectorAll("[data-slide]").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.slide === pressed));
  });
}

/** The answer in a few words, for lists of annotations. */
function wordsOf(card, pressed) {
  if (!STEPS[pressed]) return pressed === "5" ? "About the same" : "Both bad";
  return `${STEPS[pressed][0].toUpperCase()} is ${strengthOf(card, pressed)}`;
}

export const words = (card) => wordsOf(card, choice(card));

/** The verdict in words beside the response it is about. */
export function shown(card) {
  means(card);
  showSlider(card, choice(card));
  const pressed = choice(card);
  const step = STEPS[pressed];
  card.querySelectorAll("[data-side]").forEach((side) => {
    const chosen = step?.[0] === side.dataset.side;
    side.classList.toggle("is-chosen", chosen);
    const words = chosen ? strengthOf(card, pressed) : { 5: "the same", 0: "bad" }[pressed];
    side.querySelector("[data-verdict]").textContent = words ? `✓ ${words}` : "";
  });
}

export function texts(card) {
  return [...card.querySelectorAll("[data-text]")];
}
