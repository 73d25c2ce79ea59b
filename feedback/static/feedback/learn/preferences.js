// Rewards of two responses, and which words moved them.

import { bar, element, percent, settled } from "./parts.js";
import { prober } from "./probe.js";

const box = document.querySelector("[data-rewards]");
if (box) begin();

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function begin() {
  const fields = ["prompt", "first", "second"].map((name) => box.querySelector(`#${name}`));
  const said = box.querySelector("[data-said]");
  const ask = prober(box.dataset.probes, (sentence) => (said.textContent = sentence));

  function effects(words, largest) {
    return words.flatMap((word) => {
      const share = largest ? Math.abs(word.effect) / largest : 0;
      const level = share > 0.66 ? 3 : share > 0.33 ? 2 : share > 0.1 ? 1 : 0;
      const direction = word.effect < 0 ? "down" : "up";
      const shown = element(
        "span",
        { class: `learn-effect${level ? ` learn-effect-${direction} learn-level-${level}` : ""}` },
        word.text,
      );
      if (level) shown.append(element("span", { class: "learn-effect-figure", text: signed(word.effect) }));
      return [shown, " "];
    });
  }

  async function show() {
    const [prompt, first, second] = fields.map((field) => field.value);
    if (![prompt, first, second].every((value) => value.trim())) return;
    const found = await ask({ prompt, first, second });
    if (!found) return;
    box.querySelector("[data-wins]").textContent =
      `By this reward model, people prefer A with a probability of ${percent(found.first_wins)}.`;
    const rewards = found.responses.map((response) => response.reward);
    const reach = Math.max(3, ...rewards.map(Math.abs));
    const bars = rewards.map((reward, place) =>
      bar(`Response ${"AB"[place]}`, (reward + reach) / (2 * reach), signed(reward)),
    );
    box.querySelector("[data-bars]").replaceChildren(...bars);
    const largest = Math.max(
      ...found.responses.flatMap((response) => response.words.map((word) => Math.abs(word.effect))),
    );
    found.responses.forEach((response, place) =>
      box.querySelector(`[data-words="${place}"]`).replaceChildren(...effects(response.words, largest)),
    );
  }

  const later = settled(show, 400);
  fields.forEach((field) => field.addEventListener("input", later));
  box.hidden = false;
  show();
}
