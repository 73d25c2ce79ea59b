// A response by three scores, and a response of one's own by the project's models.

import { bar, element, fetched, percent, settled } from "./parts.js";
import { prober } from "./probe.js";

const box = document.querySelector("[data-scores]");
const live = document.querySelector("[data-live]");
const FAULT = 3; // a fault of so much, or more, empties the bar
const signed = (value) => `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(2)}`;

begin();
if (live) beginLive();

async function begin() {
  const { body: found, status } = await fetched(box.dataset.scores);
  if (status !== 200) {
    document.querySelector("[data-said]").textContent = found.sentence || "The responses could not be loaded.";
    return;
  }
  const { prompts, best, runs, examples } = found.recorded;
  const choices = examples.map((one, number) => ({ ...one, name: `Example ${number + 1}` }));
  const ends = [
    ["ppo", 0, "at the start of PPO"],
    ["ppo", -1, "after PPO with KL penalty"],
    ["hacked", -1, "after PPO without KL penalty"],
  ];
  for (const [name, place, words] of ends) {
    runs[name].looks
      .at(place)
      .responses.forEach((response, number) =>
        choices.push({ ...response, prompt: prompts[number], name: `Recorded, ${words}: ${prompts[number]}` }),
      );
  }
  const select = box.querySelector("[data-response]");
  select.replaceChildren(...choices.map((one) => element("option", { text: one.name })));

  function show() {
    const one = choices[select.selectedIndex];
    box.querySelector("[data-asked]").textContent = one.prompt;
    box.querySelector("[data-text]").textContent = one.text;
    const fault = (value) => (value < 0 ? `${signed(value)}` : "no fault");
    const bars = [
      bar("Helpful", one.helpful / best, `${signed(one.helpful)} of ${best}`),
      bar("Truthful", 1 + one.truthful / FAULT, fault(one.truthful)),
      bar("Harmless", 1 + one.harmless / FAULT, fault(one.harmless)),
    ];
    box.querySelector("[data-bars]").replaceChildren(...bars);
    const total = one.helpful + one.truthful + one.harmless;
    const reward = Number.isFinite(one.reward) ? ` The reward model gave ${signed(one.reward)}.` : "";
    box.querySelector("[data-verdict]").textContent = `One number for all three: ${signed(total)}.${reward}`;
  }

  select.addEventListener("change", show);
  box.hidden = false;
  show();
}

function beginLive() {
  const prompt = live.querySelector("#prompt");
  const own = live.querySelector("#own");
  const said = live.querySelector("[data-live-said]");
  const ask = prober(live.dataset.probes, (sentence) => (said.textContent = sentence));

  async function show() {
    if (!prompt.value.trim() || !own.value.trim()) return;
    const found = await ask({ prompt: prompt.value, response: own.value });
    if (!found) return;
    const bars = [bar("Preference", (found.reward + 3) / 6, signed(found.reward))];
    for (const [label, chance] of Object.entries(found.labels || {})) {
      bars.push(bar(`Label ${label.replaceAll("_", " ")}`, chance, percent(chance)));
    }
    live.querySelector("[data-live-bars]").replaceChildren(...bars);
  }

  const later = settled(show, 400);
  prompt.addEventListener("input", later);
  own.addEventListener("input", later);
  live.hidden = false;
  show();
}
