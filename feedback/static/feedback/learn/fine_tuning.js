// One prompt, sent to the model before and after fine-tuning.

import { prober } from "./probe.js";

const box = document.querySelector("[data-before-after]");
if (box) begin();

function begin() {
  const prompt = box.querySelector("#prompt");
  const said = box.querySelector("[data-said]");
  const ask = prober(box.dataset.probes, (sentence) => (said.textContent = sentence));

  async function show() {
    if (!prompt.value.trim()) return;
    const found = await ask({ prompt: prompt.value });
    if (!found) return;
    for (const name of ["base", "sft"]) {
      const { text, tokens, ended } = found[name];
      box.querySelector(`[data-of="${name}"]`).textContent = text || "(empty)";
      box.querySelector(`[data-about="${name}"]`).textContent =
        `${tokens} tokens, ${ended ? "ended by itself" : "cut off"}`;
    }
  }

  box.querySelector("[data-ask]").addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  box.hidden = false;
  show();
}
