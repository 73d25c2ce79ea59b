// A judgment, and the row that it becomes.

import { element } from "./parts.js";

const PAIRS = [
  {
    prompt: "My router is offline.",
    A: "Hello! Sorry about your router. Please check the cable. Thank you.",
    B: "Routers are lazy. Buy a new one.",
  },
  {
    prompt: "When does the library open?",
    A: "It always opens at six in the morning, I am certain.",
    B: "I do not know its hours. The notice at its door or its website says them.",
  },
  {
    prompt: "Write one sentence about the sea.",
    A: "The sea keeps every secret and tells none.",
    B: "The sea is a large body of salt water that covers most of the planet.",
  },
];
const CHOICES = [
  ["A is better", "A", "B", 2],
  ["A is slightly better", "A", "B", 1],
  ["About the same", "", "", 0],
  ["B is slightly better", "B", "A", 1],
  ["B is better", "B", "A", 2],
];
const STRENGTHS = ["", "slightly better", "better"];

const box = document.querySelector("[data-collect]");
let place = 0;

function show() {
  const pair = PAIRS[place % PAIRS.length];
  box.querySelector("[data-prompt]").textContent = pair.prompt;
  for (const side of ["A", "B"]) box.querySelector(`[data-side="${side}"]`).textContent = pair[side];
  box.querySelector("[data-row]").hidden = true;
  box.querySelectorAll("[data-choices] button").forEach((button) => button.setAttribute("aria-pressed", "false"));
}

function judge(button, [, chosen, rejected, strength]) {
  const pair = PAIRS[place % PAIRS.length];
  box
    .querySelectorAll("[data-choices] button")
    .forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
  const facts = chosen
    ? [
        ["Prompt", pair.prompt],
        ["Chosen", pair[chosen]],
        ["Rejected", pair[rejected]],
        ["Strength", STRENGTHS[strength]],
      ]
    : [["Pair", "none"]];
  const rows = facts.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]);
  box.querySelector("[data-facts]").replaceChildren(...rows);
  box.querySelector("[data-note]").textContent = chosen
    ? "The reward model learns to score the chosen response above the rejected one."
    : "A tie makes no pair. It still counts for the agreement of annotators.";
  box.querySelector("[data-row]").hidden = false;
}

for (const choice of CHOICES) {
  const button = element("button", {
    type: "button",
    class: "button button-calm",
    "aria-pressed": "false",
    text: choice[0],
  });
  button.addEventListener("click", () => judge(button, choice));
  box.querySelector("[data-choices]").append(button);
}
box.querySelector("[data-next]").addEventListener("click", () => {
  place += 1;
  show();
});
show();
box.hidden = false;
