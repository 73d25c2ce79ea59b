// Words are hidden, and the encoder guesses them from both sides.

import { bar, element, percent, settled, visible } from "./parts.js";
import { prober } from "./probe.js";

const MOST = 12;
const box = document.querySelector("[data-mask]");
if (box) begin();

function begin() {
  const text = box.querySelector("#text");
  const said = box.querySelector("[data-said]");
  const ask = prober(box.dataset.probes, (sentence) => (said.textContent = sentence));
  const hidden = new Set();

  const words = () =>
    [...text.value.matchAll(/[\p{L}\p{N}'’]+/gu)].map((match) => ({ word: match[0], start: match.index }));

  function showWords() {
    const found = words();
    const buttons = found.map(({ word }, place) => {
      const button = element("button", {
        type: "button",
        class: "learn-word",
        "aria-pressed": String(hidden.has(place)),
      });
      button.textContent = hidden.has(place) ? "▒".repeat(Math.min(word.length, 12)) : word;
      button.setAttribute("aria-label", hidden.has(place) ? `${word}, hidden` : word);
      button.addEventListener("click", () => {
        if (hidden.has(place)) hidden.delete(place);
        else if (hidden.size < MOST) hidden.add(place);
        showWords();
        box.querySelectorAll(".learn-word")[place]?.focus();
        show();
      });
      return button;
    });
    box.querySelector("[data-words]").replaceChildren(...buttons);
  }

  async function show() {
    const found = words();
    const chosen = [...hidden].filter((place) => place < found.length).sort((one, other) => one - other);
    const points = (place) => [...text.value.slice(0, place)].length; // the service counts code points
    const spans = chosen.map((place) => {
      const { word, start } = found[place];
      return [points(start), points(start + word.length)];
    });
    if (!spans.length) return void box.querySelector("[data-guesses]").replaceChildren();
    const answer = await ask({ text: text.value, hidden: spans });
    if (!answer) return;
    const parts = answer.words.map((guessed, number) => {
      const { word } = found[chosen[number]];
      const section = element("section", { class: "learn-guess" }, element("h3", { text: `Hidden: ${word}` }));
      guessed.tokens.forEach((guesses, place) => {
        if (guessed.tokens.length > 1)
          section.append(
            element("p", { class: "small quiet", text: `Token ${place + 1} of ${guessed.tokens.length}` }),
          );
        const bars = guesses.map((guess) => bar(visible(guess.text), guess.probability, percent(guess.probability, 1)));
        section.append(element("ol", { class: "learn-bars" }, ...bars));
      });
      const chance = guessed.truth.reduce((product, one) => product * one, 1);
      section.append(element("p", { class: "small quiet", text: `The hidden word itself: ${percent(chance, 1)}` }));
      return section;
    });
    box.querySelector("[data-guesses]").replaceChildren(...parts);
  }

  text.addEventListener("input", () => {
    hidden.clear();
    showWords();
    show();
  });
  const start = words();
  if (start.length > 3) hidden.add(3);
  showWords();
  box.hidden = false;
  settled(show, 0)();
}
