// Parts of a text marked as one types: by color, by line, and by name.

import { element, percent, settled } from "./parts.js";
import { prober } from "./probe.js";

// Names blue, places green, dates yellow; other labels take what is left.
const USUAL = [
  [/person|name/i, 0],
  [/place|location|city|loc/i, 1],
  [/date|time|day/i, 2],
];
const SHADES = 6;
const box = document.querySelector("[data-tag]");
if (box) begin();

function shadesOf(labels) {
  const found = new Map();
  for (const label of labels) {
    const usual = USUAL.find(([pattern]) => pattern.test(label));
    if (usual && ![...found.values()].includes(usual[1])) found.set(label, usual[1]);
  }
  let next = 3;
  for (const label of labels) {
    if (!found.has(label)) found.set(label, next < SHADES ? next++ : SHADES - 1);
  }
  return found;
}

function mark(words, label, shade, score = null) {
  const marked = element("mark", { class: `learn-span learn-span-${shade}` }, words);
  const about = score === null ? label : `${label} ${percent(score)}`;
  marked.append(element("span", { class: "learn-span-label", text: about }));
  return marked;
}

function begin() {
  const text = box.querySelector("#text");
  const said = box.querySelector("[data-said]");
  const ask = prober(box.dataset.probes, (sentence) => (said.textContent = sentence));

  async function show() {
    if (!text.value.trim()) return;
    const asked = text.value;
    const found = await ask({ text: asked });
    if (!found) return;
    const shades = shadesOf(found.labels);
    const characters = [...asked]; // offsets count code points
    const parts = [];
    let place = 0;
    for (const span of found.spans) {
      parts.push(characters.slice(place, span.start).join(""));
      parts.push(
        mark(
          characters.slice(span.start, span.end).join(""),
          span.label.replaceAll("_", " "),
          shades.get(span.label),
          span.score,
        ),
      );
      place = span.end;
    }
    parts.push(characters.slice(place).join(""));
    box.querySelector("[data-marked]").replaceChildren(...parts);
    const legend = found.labels.map((label) =>
      element("li", {}, mark(label.replaceAll("_", " "), "", shades.get(label))),
    );
    box.querySelector("[data-legend]").replaceChildren(...legend);
    if (!found.spans.length) said.textContent = "Nothing is marked in this text.";
  }

  text.addEventListener("input", settled(show));
  box.hidden = false;
  show();
}
