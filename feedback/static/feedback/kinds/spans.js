// Spans: stretches of a text, each with a label. What is selected in the text, by mouse, touch or arrow keys, is marked by
// a label's key or button. Inside, offsets count UTF-16 units as the DOM does; what is said counts Unicode characters.

import { announce } from "../app.js";
import { changed, fillReason, reasonKey, reasonMissing, reasonOf } from "./parts.js";

const states = new WeakMap(); // card → {text, words, spans: [{start, end, label}], at: {anchor, focus} or null}

const place = (card) => card.querySelector("[data-marking]");
const buttons = (card) => [...card.querySelectorAll("[data-label]")];
const labeled = (card, name) => buttons(card).find((button) => button.dataset.label === name);
const allowsMany = (card) => card.querySelector("[data-many]").dataset.many === "yes";

export function start(card) {
  const text = JSON.parse(place(card).dataset.said);
  states.set(card, { text, words: words(text), spans: [], at: null });
  card.addEventListener("pointerdown", (event) => {
    // Pressing a label keeps what is selected.
    if (event.target.closest("[data-label]") && event.pointerType === "mouse") event.preventDefault();
  });
  card.addEventListener("click", (event) => {
    const label = event.target.closest("[data-label]");
    const remove = event.target.closest("[data-remove]");
    if (label) mark(card, label);
    else if (remove) take(card, Number(remove.dataset.remove));
    else if (event.pointerType === "touch" && place(card).contains(event.target)) byTap(card, event);
  });
  draw(card);
}

export function read(card) {
  const { text, spans } = states.get(card);
  const said = spans.map(({ start, end, label }) => ({
    start: characters(text, start),
    end: characters(text, end),
    label,
  }));
  return { spans: said, reason: reasonOf(card) };
}

export function fill(card, state) {
  const mine = states.get(card);
  mine.spans = (state.spans || [])
    .map(({ start, end, label }) => ({ start: units(mine.text, start), end: units(mine.text, end), label }))
    .filter(({ start, end, label }) => start < end && labeled(card, label));
  fillReason(card, state);
  draw(card);
}

export function answer(card) {
  return reasonMissing(card) || { answer: read(card) };
}

export function key(card, event) {
  const label = buttons(card).find((button) => button.dataset.key && button.dataset.key === event.key);
  if (label) {
    mark(card, label);
    return true;
  }
  const arrows = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (arrows) byWord(card, arrows, event.shiftKey);
  else if (event.key === "ArrowUp" || event.key === "ArrowDown")
    byLine(card, event.key === "ArrowDown", event.shiftKey);
  else if (event.key === "," || event.key === ".") byCharacter(card, event.key === ".");
  else if (event.key === "Backspace" || event.key === "Delete") takeHere(card);
  else return reasonKey(card, event);
  return true;
}

export function complete() {
  return false;
}

export function shown() {}

// ---- counting --------------------------------------------------------------------------------------

/** Unicode characters in the first `offset` UTF-16 units. */
function characters(text, offset) {
  return [...text.slice(0, offset)].length;
}

/** UTF-16 units of the first `count` Unicode characters. */
function units(text, count) {
  return [...text].slice(0, count).join("").length;
}

/** [start, end] of each word; marks of punctuation are reached with , and . or by mouse. */
function words(text) {
  if (globalThis.Intl?.Segmenter) {
    const found = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)];
    const wordlike = found.filter((one) => one.isWordLike).map((one) => [one.index, one.index + one.segment.length]);
    if (wordlike.length) return wordlike;
  }
  return [...text.matchAll(/[^\s]+/gu)].map((one) => [one.index, one.index + one[0].length]);
}

// ---- what is selected ------------------------------------------------------------------------------

const ends = (at) => [Math.min(at.anchor, at.focus), Math.max(at.anchor, at.focus)];

/** `backwards`: the selection was begun at its end, so that shift and arrows move its start. */
function select(card, from, to, backwards = false) {
  states.get(card).at = backwards ? { anchor: to, focus: from } : { anchor: from, focus: to };
  paint(card);
  tell(card);
}

/** The browser's own selection shows where we are. */
function paint(card) {
  const { at } = states.get(card);
  if (!at) return;
  const [anchor, focus] = [at.anchor, at.focus].map((offset) =>
    point(card, offset, offset === Math.min(at.anchor, at.focus)),
  );
  getSelection().setBaseAndExtent(...anchor, ...focus);
  const parent = focus[0].parentElement;
  parent?.scrollIntoView?.({ block: "nearest" });
}

/** [text node, offset in it] of an offset in the text; at a border the node after it, if `after`. */
function point(card, offset, after) {
  const walker = document.createTreeWalker(place(card), NodeFilter.SHOW_TEXT);
  let seen = 0;
  let last = [place(card), 0];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const inside = offset - seen;
    if (inside < node.length || (inside === node.length && !after)) return [node, inside];
    seen += node.length;
    last = [node, node.length];
  }
  return last;
}

/** The offset in the text of a point in the page. */
function offsetOf(card, node, offset) {
  const range = document.createRange();
  range.setStart(place(card), 0);
  range.setEnd(node, offset);
  return range.toString().length;
}

/** White space at the ends is not meant. */
function trimmed(text, [from, to]) {
  while (from < to && /\s/.test(text[from])) from += 1;
  while (to > from && /\s/.test(text[to - 1])) to -= 1;
  return [from, to];
}

document.addEventListener("selectionchange", () => {
  const selection = getSelection();
  const marking =
    selection.anchorNode?.parentElement?.closest("[data-marking]") || selection.anchorNode?.closest?.("[data-marking]");
  const card = marking?.closest("[data-card]");
  if (!card || !marking.contains(selection.focusNode)) return;
  const state = states.get(card);
  state.at = {
    anchor: offsetOf(card, selection.anchorNode, selection.anchorOffset),
    focus: offsetOf(card, selection.focusNode, selection.focusOffset),
  };
  tell(card);
});

function tell(card) {
  const { text, at } = states.get(card);
  const [from, to] = at ? trimmed(text, ends(at)) : [0, 0];
  const words = text.slice(from, to);
  const short = words.length > 60 ? `${words.slice(0, 40)} … ${words.slice(-16)}` : words;
  card.querySelector("[data-selected]").textContent = words ? `Selected: “${short}”` : "Nothing is selected.";
  return short;
}

function byWord(card, step, extend) {
  const { words, at } = states.get(card);
  if (!words.length) return;
  const [from, to] = at ? ends(at) : [-1, -1];
  const backwards = at && at.focus < at.anchor;
  if (extend && at) {
    const edge = backwards ? words.findLast(([start]) => (step < 0 ? start < from : start <= from)) : null;
    if (backwards) {
      const next = step < 0 ? edge : words.find(([start]) => start > from);
      if (next && next[0] < to) select(card, next[0], to, true);
    } else if (step > 0) {
      const next = words.find(([, end]) => end > to);
      if (next) select(card, from, next[1]);
    } else {
      const before = words.findLast(([, end]) => end < to && end > from);
      const earlier = words.findLast(([start]) => start < from);
      if (before) select(card, from, before[1]);
      else if (earlier) select(card, earlier[0], to, true);
    }
  } else {
    const next =
      step > 0
        ? words.find(([start]) => start >= Math.max(to, 0) && start > from)
        : words.findLast(([, end]) => end <= from);
    const word = next || (at ? (step > 0 ? words.at(-1) : words[0]) : words[0]);
    select(card, ...word);
  }
  announce(tell(card));
}

/** The word under or over the present one, as the lines are broken now. */
function byLine(card, down, extend) {
  const state = states.get(card);
  if (!state.at) return byWord(card, 1, false);
  const box = (offset, after) => {
    const range = document.createRange();
    const [node, at] = point(card, offset, after);
    range.setStart(node, at);
    range.setEnd(node, Math.min(at + 1, node.length ?? at));
    return range.getBoundingClientRect();
  };
  const [from, to] = ends(state.at);
  const here = box(state.at.focus < state.at.anchor || !extend ? from : Math.max(0, to - 1), true);
  let best = null;
  for (const word of state.words) {
    const there = box(word[0], true);
    const away = down ? there.top - here.top : here.top - there.top;
    if (away < here.height / 2) continue;
    const cost = away * 1000 + Math.abs(there.left - here.left);
    if (!best || cost < best.cost) best = { word, cost };
  }
  if (!best) return;
  if (extend && down) select(card, from, best.word[1]);
  else if (extend) select(card, best.word[0], to, true);
  else select(card, ...best.word);
  announce(tell(card));
}

/** A tap takes a word, the next one all from there to here, one within gives it up: a finger is too thick to drag. */
function byTap(card, { clientX, clientY }) {
  const caret = document.caretPositionFromPoint?.(clientX, clientY);
  const state = states.get(card);
  if (!caret || !place(card).contains(caret.offsetNode)) return;
  const offset = offsetOf(card, caret.offsetNode, caret.offset);
  const word = state.words.find(([start, end]) => start <= offset && offset <= end);
  const [from, to] = state.tapped || [0, 0];
  const within = from < to && from <= offset && offset <= to;
  state.tapped = !word || within ? null : from < to ? [Math.min(from, word[0]), Math.max(to, word[1])] : word;
  if (state.tapped) return select(card, ...state.tapped);
  getSelection().removeAllRanges();
  state.at = null;
  tell(card);
}

function byCharacter(card, further) {
  const { text, at } = states.get(card);
  if (!at) return;
  const [from, to] = ends(at);
  const whole = [...text.slice(from, to)];
  const next = further ? to + ([...text.slice(to, to + 2)][0]?.length || 0) : to - (whole.at(-1)?.length || 0);
  if (next > from) select(card, from, next);
  announce(tell(card));
}

// ---- marking ---------------------------------------------------------------------------------------

function mark(card, button) {
  const state = states.get(card);
  const [start, end] = state.at ? trimmed(state.text, whole(state.text, ends(state.at))) : [0, 0];
  const label = button.dataset.label;
  if (start >= end) return complain(card, "Select words first: with the mouse, by touch, or with ← and →.");
  const same = (span) => span.start === start && span.end === end;
  const already = state.spans.findIndex((span) => same(span) && span.label === label);
  if (already >= 0) return take(card, already);
  if (!allowsMany(card)) {
    const other = state.spans.find((span) => !same(span) && span.start < end && start < span.end);
    if (other)
      return complain(card, `It overlaps “${state.text.slice(other.start, other.end)}”. Remove that span first.`);
    state.spans = state.spans.filter((span) => !same(span));
  }
  state.spans.push({ start, end, label });
  state.tapped = null;
  after(card, `${button.dataset.title}: ${state.text.slice(start, end)}`);
}

/** Half of a character outside the basic plane is all of it. */
function whole(text, [from, to]) {
  const low = (unit) => unit >= 0xdc00 && unit <= 0xdfff;
  if (from > 0 && low(text.charCodeAt(from))) from -= 1;
  if (to > 0 && low(text.charCodeAt(to))) to += 1;
  return [from, to];
}

function takeHere(card) {
  const { spans, at } = states.get(card);
  if (!at) return;
  const [from, to] = ends(at);
  const here = spans.findLastIndex(
    (span) => (span.start < to && from < span.end) || (from === to && span.start <= from && from < span.end),
  );
  if (here >= 0) take(card, here);
}

function take(card, index) {
  const state = states.get(card);
  const [gone] = state.spans.splice(index, 1);
  after(card, `Removed: ${state.text.slice(gone.start, gone.end)}`);
}

function after(card, words) {
  draw(card);
  paint(card);
  changed(card);
  announce(words);
}

function complain(card, words) {
  const wrong = card.querySelector("[data-wrong]");
  wrong.textContent = words;
  wrong.hidden = false;
}

// ---- drawing ---------------------------------------------------------------------------------------

/** The text cut at every border of a span; in a piece, the marks of all spans that cover it lie in each other. */
function draw(card) {
  const state = states.get(card);
  state.spans.sort((one, other) => one.start - other.start || other.end - one.end);
  const { text, spans } = state;
  const borders = [...new Set([0, text.length, ...spans.flatMap(({ start, end }) => [start, end])])].sort(
    (a, b) => a - b,
  );
  const depths = depthsOf(spans);
  const pieces = borders.slice(0, -1).map((from, at) => {
    const to = borders[at + 1];
    let piece = document.createTextNode(text.slice(from, to));
    spans.forEach((span, index) => {
      if (span.start > from || span.end < to) return;
      const look = labeled(card, span.label).dataset;
      const wrapped = document.createElement("mark");
      wrapped.className = `span-mark colour-${look.colour} line-${look.underline} depth-${Math.min(depths[index], 3)}`;
      if (span.end === to) wrapped.dataset.badge = look.badge;
      wrapped.append(piece);
      piece = wrapped;
    });
    return piece;
  });
  place(card).replaceChildren(...pieces);
  list(card);
}

/** How deep a span lies under others that overlap it: its line is drawn that much lower. */
function depthsOf(spans) {
  const depths = [];
  spans.forEach((span, index) => {
    const taken = new Set(spans.slice(0, index).map((other, at) => (other.end > span.start ? depths[at] : -1)));
    let depth = 0;
    while (taken.has(depth)) depth += 1;
    depths.push(depth);
  });
  return depths;
}

function list(card) {
  const { text, spans } = states.get(card);
  const items = spans.map((span, index) => {
    const look = labeled(card, span.label).dataset;
    const words = text.slice(span.start, span.end);
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "marked-one";
    button.dataset.remove = index;
    button.setAttribute("aria-label", `Remove ${look.title}: ${words}`);
    const name = document.createElement("span");
    name.className = `span-mark colour-${look.colour} line-${look.underline}`;
    name.dataset.badge = look.badge;
    name.textContent = words.length > 40 ? `${words.slice(0, 38)}…` : words;
    const cross = document.createElement("span");
    cross.setAttribute("aria-hidden", "true");
    cross.textContent = "×";
    button.append(name, cross);
    item.append(button);
    return item;
  });
  card.querySelector("[data-marked]").replaceChildren(...items);
  card.querySelector("[data-marked-title]").textContent = spans.length
    ? `${spans.length} ${spans.length === 1 ? "span" : "spans"}; press one to remove it.`
    : "No spans marked. Send now to record that there are none.";
  tell(card);
}
