// The card's text is “Mara 🌿 Vell moved to Saltby.”: the plant is one Unicode character and two UTF-16 units.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { announced, cardOf, press } from "./page.js";
import * as spans from "../../../feedback/static/feedback/kinds/spans.js";

let card;
beforeEach(() => {
  card = cardOf("spans");
  spans.start(card);
});

const text = () => card.querySelector("[data-marking]").textContent;
const select = (...keys) => keys.forEach((key) => spans.key(card, press(key)));

test("nothing is marked at first", () => {
  assert.deepEqual(spans.read(card), { spans: [], reason: "" });
  assert.equal(text(), "Mara 🌿 Vell moved to Saltby.");
});

test("offsets are read in Unicode characters, behind an emoji too", () => {
  const marks = [
    { start: 5, end: 6, label: "name" },
    { start: 21, end: 27, label: "place" },
  ];
  spans.fill(card, { spans: marks });
  assert.deepEqual(spans.read(card).spans, marks);
  const shown = [...card.querySelectorAll("[data-marking] mark")].map((mark) => mark.textContent);
  assert.deepEqual(shown, ["🌿", "Saltby"]);
});

test("a label's key marks the selected word, and the same key takes it away", () => {
  select("ArrowRight", "n");
  assert.deepEqual(spans.read(card).spans, [{ start: 0, end: 4, label: "name" }]);
  assert.match(announced(), /Name: Mara/);
  select("n");
  assert.deepEqual(spans.read(card).spans, []);
});

test("shift and an arrow extend the selection by a word", () => {
  select("ArrowRight");
  spans.key(card, press("ArrowRight", { shiftKey: true }));
  select("n");
  assert.deepEqual(spans.read(card).spans, [{ start: 0, end: 11, label: "name" }]);
});

test("half of a character outside the basic plane marks all of it", () => {
  const node = card.querySelector("[data-marking]").firstChild;
  getSelection().setBaseAndExtent(node, 5, node, 6);
  document.dispatchEvent(new Event("selectionchange"));
  select("p");
  assert.deepEqual(spans.read(card).spans, [{ start: 5, end: 6, label: "place" }]);
});

test("where the scheme allows one label a place, an overlap is refused in words and changes nothing", () => {
  spans.fill(card, { spans: [{ start: 0, end: 6, label: "name" }] });
  select("ArrowRight", "p");
  assert.deepEqual(spans.read(card).spans, [{ start: 0, end: 6, label: "name" }]);
  assert.match(card.querySelector("[data-wrong]").textContent, /overlaps “Mara 🌿”/);
});

test("another label at the same place replaces the first", () => {
  select("ArrowRight", "n", "p");
  assert.deepEqual(spans.read(card).spans, [{ start: 0, end: 4, label: "place" }]);
});

test("a label's key without a selection explains what to do", () => {
  select("n");
  assert.match(card.querySelector("[data-wrong]").textContent, /Select words first/);
  assert.deepEqual(spans.read(card).spans, []);
});

test("a draft with labels that the scheme lacks, or empty spans, keeps the rest", () => {
  const good = { start: 21, end: 27, label: "place" };
  spans.fill(card, { spans: [{ start: 0, end: 4, label: "gone" }, { start: 3, end: 3, label: "name" }, good] });
  assert.deepEqual(spans.read(card).spans, [good]);
});

test("Backspace removes the mark under the selection", () => {
  select("ArrowRight", "n", "Backspace");
  assert.deepEqual(spans.read(card).spans, []);
});
