// Training runs as a slider over their looks: what the policy wrote, its reward, and how far it has strayed.

import { bar, element, fetched } from "./parts.js";

const box = document.querySelector("[data-looks]");
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 96;

function svg(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Two lines over the looks, each on its own scale, and a mark at the one that is shown. */
function chart(looks, place) {
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "learn-chart", "aria-hidden": "true" });
  const x = (number) => 6 + ((WIDTH - 12) * number) / Math.max(1, looks.length - 1);
  const lines = [
    ["reward", "learn-line-reward"],
    ["kl", "learn-line-kl"],
    ["quality", "learn-line-quality"],
  ];
  drawn.append(svg("line", { x1: x(place), x2: x(place), y1: 0, y2: HEIGHT, class: "learn-line-here" }));
  for (const [name, style] of lines) {
    const values = looks.map((look) => look[name]);
    const known = values.filter((value) => Number.isFinite(value));
    if (!known.length) continue;
    const low = Math.min(...known);
    const high = Math.max(...known);
    const y = (value) => HEIGHT - 8 - ((HEIGHT - 16) * (value - low)) / (high - low || 1);
    const points = values.flatMap((value, number) => (Number.isFinite(value) ? [`${x(number)},${y(value)}`] : []));
    drawn.append(svg("polyline", { points: points.join(" "), class: `learn-line ${style}` }));
    if (Number.isFinite(values[place]))
      drawn.append(svg("circle", { cx: x(place), cy: y(values[place]), r: 4, class: style }));
  }
  return drawn;
}

const shown = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–");

function legend(known) {
  const names = [["reward", "Reward"], ["kl", "KL"], ...(known ? [["quality", "True quality"]] : [])];
  return element(
    "ul",
    { class: "plain-list learn-chart-legend" },
    ...names.map(([key, name]) => element("li", { class: `learn-key learn-key-${key}`, text: name })),
  );
}

function table(looks, known) {
  const head = ["Iteration", "Reward", "KL, nats", ...(known ? ["True quality"] : [])];
  const rows = looks.map((look) => {
    const figures = [String(look.step), shown(look.reward), shown(look.kl), ...(known ? [shown(look.quality)] : [])];
    return element("tr", {}, ...figures.map((figure) => element("td", { class: "n", text: figure })));
  });
  const made = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...head.map((name) => element("th", { scope: "col", text: name })))),
  );
  made.append(element("tbody", {}, ...rows));
  const scrolls = element(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "All looks" },
    made,
  );
  return element("details", {}, element("summary", { text: "All looks as a table" }), scrolls);
}

async function begin() {
  const { body: found, status } = await fetched(box.dataset.looks);
  if (status !== 200) {
    document.querySelector("[data-said]").textContent = found.sentence || "The runs could not be loaded.";
    return;
  }
  const { recorded, own } = found;
  const part = (name) => box.querySelector(`[data-${name}]`);
  const slider = box.querySelector("#look");
  const of = (run, title) => ({
    title,
    known: true,
    best: recorded.best,
    alarms: run.alarms,
    looks: run.looks.map((look) => ({ ...look, quality: look.helpful + look.truthful + look.harmless })),
  });
  const choices = [
    {
      name: "Recorded: with and without KL penalty",
      prompts: recorded.prompts,
      runs: [
        of(recorded.runs.ppo, `KL penalty ${recorded.runs.ppo.kl_coef}`),
        of(recorded.runs.hacked, "KL penalty 0"),
      ],
    },
  ];
  if (own) {
    const looks = own.looks.map((look) => ({ ...look, responses: look.responses.map((text) => ({ text })) }));
    const penalty = own.kl_coef === null ? "" : `, KL penalty ${own.kl_coef}`;
    choices.unshift({
      name: `This project's run ${own.number}`,
      prompts: own.prompts,
      runs: [{ title: `Run ${own.number}${penalty}`, known: false, alarms: [], looks }],
    });
  }

  function show() {
    const choice = choices[part("run").selectedIndex];
    const place = Number(slider.value);
    const prompt = Math.max(0, part("prompt").selectedIndex);
    part("recorded").hidden = !choice.runs[0].known;
    part("look").textContent =
      `Look ${place + 1} of ${choice.runs[0].looks.length}, after iteration ${choice.runs[0].looks[place].step}`;
    const open = [...box.querySelectorAll("details")].map((one) => one.open);
    const cards = choice.runs.map((run, number) => {
      const look = run.looks[place];
      const reach = (name) => Math.max(...run.looks.map((one) => one[name] || 0), 0.001);
      const bars = [
        bar("Reward", look.reward / reach("reward"), shown(look.reward)),
        bar("KL, nats", look.kl / Math.max(20, reach("kl")), shown(look.kl, 1)),
      ];
      if (run.known) bars.push(bar("True quality", look.quality / run.best, `${shown(look.quality)} of ${run.best}`));
      const alarms = run.alarms.filter((alarm) => alarm.step <= look.step);
      const card = element("article", { class: "learn-side stack" }, element("h3", { text: run.title }));
      card.append(
        element("p", { class: "learn-output", text: look.responses[prompt]?.text || "(empty)" }),
        element("ul", { class: "learn-bars", "aria-label": "Means of this look" }, ...bars),
        chart(run.looks, place),
        legend(run.known),
      );
      if (alarms.length) card.append(element("p", { class: "small", text: `Alarm: ${alarms.at(-1).text}` }));
      const rows = table(run.looks, run.known);
      rows.open = Boolean(open[number]);
      card.append(rows);
      return card;
    });
    part("runs").replaceChildren(...cards);
  }

  function choose() {
    const choice = choices[part("run").selectedIndex];
    part("prompt").replaceChildren(...choice.prompts.map((prompt) => element("option", { text: prompt })));
    slider.max = Math.max(0, choice.runs[0].looks.length - 1);
    slider.value = 0;
    show();
  }

  part("run").replaceChildren(...choices.map((choice) => element("option", { text: choice.name })));
  part("run").addEventListener("change", choose);
  part("prompt").addEventListener("change", show);
  slider.addEventListener("input", show);
  box.hidden = false;
  choose();
}

begin();
