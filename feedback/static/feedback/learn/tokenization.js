// One text split in three ways, and the merges that make subwords.

import { element, post, settled, visible } from "./parts.js";

const box = document.querySelector("[data-tokens]");
const text = box.querySelector("#text");
const slider = box.querySelector("#merge");
const WORD = /[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu;
let found = null;
let asking = new AbortController();

function list(name, pieces, ids = []) {
  const tokens = pieces.map((piece, place) => {
    const shown = element("span", { class: "token-text", text: visible(piece) || "∅" });
    const token = element("li", { class: `token token-${place % 4}` }, shown);
    if (ids.length) token.append(element("span", { class: "token-id", text: ids[place] }));
    return token;
  });
  box.querySelector(`[data-list="${name}"]`).replaceChildren(...tokens);
  box.querySelector(`[data-count="${name}"]`).textContent = pieces.length;
}

function showMerge() {
  if (!found || !slider) return;
  const states = found.states;
  const state = states[Number(slider.value)];
  const last = !state || Number(slider.value) === states.length - 1;
  list("subwords", state && !last ? state.pieces : found.subwords, last ? found.ids : []);
  const words = box.querySelector("[data-merge]");
  if (!states.length) words.textContent = found.subwords.length ? "This tokenizer is not built from merges." : "";
  else if (state.rank === 0) words.textContent = "No merge yet: single bytes.";
  else {
    const [left, right] = state.pair.map(visible);
    words.textContent = `Merge ${slider.value} of ${states.length - 1}: “${left}” + “${right}”, number ${state.rank} of ${found.merges} that the tokenizer learned.`;
  }
}

async function ask() {
  list("characters", [...text.value]);
  list("words", text.value.match(WORD) || []);
  if (!box.dataset.address || !slider) return;
  asking.abort();
  asking = new AbortController();
  try {
    const { status, body } = await post(box.dataset.address, { text: text.value }, asking.signal);
    if (status !== 200) return void (box.querySelector("[data-merge]").textContent = body.sentence);
    found = body;
  } catch {
    return; // somebody typed on
  }
  slider.max = Math.max(0, found.states.length - 1);
  slider.value = slider.max;
  slider.disabled = found.states.length < 2;
  showMerge();
}

text.addEventListener("input", settled(ask, 200));
slider?.addEventListener("input", showMerge);
box.hidden = false;
ask();
