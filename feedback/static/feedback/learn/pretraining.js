// The next token as bars, at any checkpoint; a chosen token is added to the text.

import { bar, percent, settled, visible } from "./parts.js";
import { prober } from "./probe.js";

const box = document.querySelector("[data-next]");
if (box) begin();

function begin() {
  const text = box.querySelector("#text");
  const slider = box.querySelector("#step");
  const said = box.querySelector("[data-said]");
  const back = box.querySelector("[data-back]");
  const steps = [...box.dataset.steps.split(",").filter(Boolean).map(Number), null]; // null is the end of the run
  const ask = prober(box.dataset.probes, (sentence) => (said.textContent = sentence));
  const before = [];
  let best = null;

  function add(piece) {
    before.push(text.value);
    text.value += piece;
    show();
  }

  async function show() {
    back.disabled = before.length === 0;
    const found = await ask({ text: text.value, step: steps[Number(slider.value)] });
    if (!found) return;
    best = found.tokens.find((token) => !token.ends && !token.text.includes("\ufffd"));
    const bars = found.tokens.map((token) => {
      const name = token.ends ? "end of text" : visible(token.text);
      const act = token.ends || token.text.includes("\ufffd") ? null : () => add(token.text);
      return bar(name, token.probability, percent(token.probability, 1), act);
    });
    box.querySelector("[data-bars]").replaceChildren(...bars);
    said.textContent = `As uncertain as a choice among ${Math.exp(found.entropy).toFixed(1)} equally likely tokens.`;
  }

  function showStep() {
    const step = steps[Number(slider.value)];
    const last = box.dataset.last ? `step ${box.dataset.last}` : "its end";
    box.querySelector("[data-step]").textContent = step === null ? `After training (${last})` : `After step ${step}`;
  }

  slider.max = steps.length - 1;
  slider.value = steps.length - 1;
  box.querySelector("[data-checkpoints]").hidden = steps.length < 2;
  showStep();
  const later = settled(show);
  text.addEventListener("input", later);
  slider.addEventListener("input", () => {
    showStep();
    later();
  });
  box.querySelector("[data-add]").addEventListener("click", () => best && add(best.text));
  back.addEventListener("click", () => {
    text.value = before.pop();
    show();
  });
  box.hidden = false;
  show();
}
