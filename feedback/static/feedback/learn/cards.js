// Flash cards: one at a time. Space flips it, the arrow keys say whether it was known.

import { announce } from "../app.js";
import * as keys from "../keys.js";
import { post } from "./parts.js";
import "./page.js";

const list = document.querySelector("[data-cards]");
const waiting = [...list.querySelectorAll("[data-card]")];
const buttons = document.querySelector(".learn-card-buttons");
let flipped = false;

function show() {
  const current = waiting[0];
  list.replaceChildren(...(current ? [current] : []));
  flipped = false;
  buttons.hidden = !current;
  if (current) current.querySelector("[data-back]").hidden = true;
  else list.append(Object.assign(document.createElement("li"), { textContent: "All cards are done. Well done." }));
  keys.contentChanged();
}

function flip() {
  const current = waiting[0];
  if (!current) return false;
  flipped = !flipped;
  const back = current.querySelector("[data-back]");
  back.hidden = !flipped;
  announce(flipped ? back.textContent : current.querySelector("h2").textContent);
  return true;
}

async function mark(known) {
  const current = waiting.shift();
  if (!current) return;
  if (!known) waiting.push(current); // comes again after the others
  if (!known || waiting.length === 0 || waiting[0] !== current) show();
  const { status } = await post(current.dataset.address, { known });
  if (status !== 200) return announce("The card could not be saved.");
  const was = Boolean(current.dataset.known);
  current.dataset.known = known ? "yes" : "";
  const shown = document.querySelector("[data-count]");
  if (was !== known) shown.textContent = Number(shown.textContent) + (known ? 1 : -1);
}

keys.bind(" ", flip);
keys.bind("ArrowRight", () => void mark(true));
keys.bind("ArrowLeft", () => void mark(false));
document.querySelector("[data-flip]").addEventListener("click", flip);
document.querySelector("[data-again]").addEventListener("click", () => mark(false));
document.querySelector("[data-known-button]").addEventListener("click", () => mark(true));
list.addEventListener("click", flip);
show();
