// Ranking: letters are put in order, best first; those that share a place tie. A number places a response next, or picks
// one that is placed; the picked one moves by arrows, buttons and drag.

import { announce } from "../app.js";
import { changed, fillReason, reasonKey, reasonMissing, reasonOf } from "./parts.js";

const states = new WeakMap(); // card → {groups: [["b"], ["a", "c"]], picked: letter or null}
const ORDINALS = ["1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"];
const MOVES = {
  ArrowLeft: "better",
  ArrowUp: "better",
  ArrowRight: "worse",
  ArrowDown: "worse",
  "=": "tie",
  t: "tie",
  Backspace: "out",
  Delete: "out",
};

const letters = (card) => [...card.querySelectorAll("[data-side]")].map((side) => side.dataset.side);
const placeOf = (groups, letter) => groups.findIndex((group) => group.includes(letter));

export function start(card) {
  states.set(card, { groups: [], picked: null });
  card.addEventListener("click", (event) => {
    const move = event.target.closest("[data-move]");
    const token = event.target.closest("[data-letter]");
    const side = event.target.closest(".side-letter")?.closest("[data-side]");
    if (side) choose(card, side.dataset.side);
    if (move) act(card, move.dataset.move);
    else if (token && !token.dataset.dragged) choose(card, token.dataset.letter);
    if (token) card.querySelector(`[data-letter="${token.dataset.letter}"]`)?.focus();
  });
  card.addEventListener("pointerdown", (event) => drag(card, event));
  draw(card);
}

export function read(card) {
  return { ranking: states.get(card).groups.map((group) => [...group]), reason: reasonOf(card) };
}

export function fill(card, state) {
  const known = letters(card);
  const groups = (state.ranking || []).map((group) => group.filter((letter) => known.includes(letter)));
  states.set(card, { groups: groups.filter((group) => group.length), picked: null });
  fillReason(card, state);
  draw(card);
}

export function answer(card) {
  const { groups } = states.get(card);
  const missing = letters(card).filter((letter) => placeOf(groups, letter) < 0);
  if (missing.length) {
    const names = missing.map((letter) => letter.toUpperCase()).join(", ");
    return {
      wrong: `Rank every response, best first. Missing: ${names}.`,
      focus: card.querySelector("[data-unplaced] button"),
    };
  }
  return reasonMissing(card) || { answer: read(card) };
}

export function key(card, event) {
  if (/^[1-9]$/.test(event.key)) {
    const letter = letters(card)[Number(event.key) - 1];
    if (letter) choose(card, letter);
    return true;
  }
  const move = MOVES[event.key];
  if (move && states.get(card).groups.length && (states.get(card).picked || !event.key.startsWith("Arrow"))) {
    act(card, move);
    return true;
  }
  return reasonKey(card, event);
}

/** The last number may not send by itself: ties and second thoughts come after it. */
export function complete() {
  return false;
}

export function shown(card) {
  const { groups } = states.get(card);
  for (const side of card.querySelectorAll("[data-side]")) {
    const place = placeOf(groups, side.dataset.side);
    const others = place < 0 ? [] : groups[place].filter((letter) => letter !== side.dataset.side);
    const ties = others.length ? `, ties with ${others.join(", ").toUpperCase()}` : "";
    side.querySelector("[data-verdict]").textContent = place < 0 ? "" : `${ORDINALS[place]}${ties}`;
    side.classList.toggle("is-chosen", states.get(card).picked === side.dataset.side);
  }
}

// ---- changing the order ----------------------------------------------------------------------------

function choose(card, letter) {
  const state = states.get(card);
  if (placeOf(state.groups, letter) < 0) state.groups.push([letter]);
  state.picked = letter;
  after(card);
}

function act(card, move) {
  const state = states.get(card);
  const { groups } = state;
  const letter = state.picked || groups.at(-1)?.[0];
  if (!letter) return;
  const at = placeOf(groups, letter);
  const alone = groups[at].length === 1;
  const leave = () => {
    groups[at] = groups[at].filter((one) => one !== letter);
    if (!groups[at].length) groups.splice(at, 1);
  };
  if (move === "out") leave();
  else if (move === "tie") {
    if (!alone) {
      leave();
      groups.splice(at + 1, 0, [letter]);
    } else if (at > 0) {
      leave();
      groups[at - 1].push(letter);
    }
  } else {
    // One step parts it from a tie; the next one passes the neighbor.
    const to = move === "better" ? (alone ? at - 1 : at) : at + 1;
    if (alone && (to < 0 || to >= groups.length)) return;
    leave();
    groups.splice(to, 0, [letter]);
  }
  state.picked = move === "out" ? groups.at(-1)?.at(-1) || null : letter;
  after(card);
}

function after(card) {
  const { groups, picked } = states.get(card);
  draw(card);
  changed(card);
  const at = placeOf(groups, picked);
  const group = at < 0 ? [] : groups[at];
  if (group.length)
    announce(
      `${group.map((one) => one.toUpperCase()).join(" and ")} ${group.length > 1 ? "tie as" : "is"} ${ORDINALS[at]} of ${groups.length}.`,
    );
}

// ---- drawing ---------------------------------------------------------------------------------------

function draw(card) {
  const { groups, picked } = states.get(card);
  const focused = card.querySelector("[data-letter]:focus")?.dataset.letter;
  const order = letters(card);
  const token = (letter) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "token";
    button.dataset.letter = letter;
    button.setAttribute("aria-pressed", String(letter === picked));
    const number = document.createElement("kbd");
    number.textContent = order.indexOf(letter) + 1;
    const name = document.createElement("span");
    name.textContent = letter.toUpperCase();
    button.append(number, name);
    return button;
  };
  const ranks = groups.map((group, place) => {
    const item = document.createElement("li");
    item.className = "rank";
    item.dataset.place = place;
    const ordinal = document.createElement("span");
    ordinal.className = "rank-place";
    ordinal.textContent = ORDINALS[place];
    item.append(ordinal);
    group.forEach((letter, within) => item.append(...(within ? [" = "] : []), token(letter)));
    return item;
  });
  card.querySelector("[data-ranks]").replaceChildren(...ranks);
  const rest = order.filter((letter) => placeOf(groups, letter) < 0);
  card.querySelector("[data-unplaced]").replaceChildren(...rest.map(token));
  card.querySelector("[data-ranks-empty]").hidden = groups.length > 0;
  card.querySelectorAll("[data-move]").forEach((button) => (button.disabled = !groups.length));
  if (focused) card.querySelector(`[data-letter="${focused}"]`)?.focus();
  shown(card);
}

// ---- dragging: onto a place to tie, between places to come there, elsewhere to take out -----------------

function drag(card, down) {
  const token = down.target.closest("[data-letter]");
  if (!token || down.button !== 0) return;
  const letter = token.dataset.letter;
  let moved = false;
  let over = null;
  const move = (event) => {
    if (!moved && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 8) return;
    moved = true;
    token.dataset.dragged = "yes";
    event.preventDefault();
    over = target(card, letter, event.clientX, event.clientY);
    card.querySelectorAll(".rank").forEach((rank, place) => {
      rank.classList.toggle("joins", over?.onto === place);
      rank.classList.toggle("comes-before", over?.before === place);
    });
    card
      .querySelector("[data-ranking]")
      .classList.toggle("comes-last", over?.before === states.get(card).groups.length);
  };
  const up = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", up);
    removeEventListener("pointercancel", up);
    card.querySelector("[data-ranking]").classList.remove("comes-last");
    setTimeout(() => delete token.dataset.dragged);
    if (moved && over) drop(card, letter, over);
    else if (moved) draw(card);
  };
  addEventListener("pointermove", move, { passive: false });
  addEventListener("pointerup", up);
  addEventListener("pointercancel", up);
}

/** {onto: place} in the middle of a place, {before: place} at its edges and after the last one. */
function target(card, letter, x, y) {
  const box = card.querySelector("[data-ranking]").getBoundingClientRect();
  if (x < box.left || x > box.right || y < box.top || y > box.bottom) return null;
  const ranks = [...card.querySelectorAll(".rank")];
  for (const [place, rank] of ranks.entries()) {
    const at = rank.getBoundingClientRect();
    if (y < at.top - 8 || y > at.bottom + 8 || x > at.right + 8) continue;
    const share = (x - at.left) / at.width;
    if (share < 0.25) return { before: place };
    if (share <= 0.75) return { onto: place };
    return { before: place + 1 };
  }
  return { before: ranks.length };
}

function drop(card, letter, over) {
  const state = states.get(card);
  const aim = state.groups[over.onto ?? over.before]; // by identity: places shift when the letter leaves its own
  const groups = state.groups.map((group) => {
    const rest = group.filter((one) => one !== letter);
    if (group === aim && over.onto !== undefined) rest.push(letter);
    return { group, rest };
  });
  if (over.before !== undefined) {
    const at = aim ? groups.findIndex(({ group }) => group === aim) : groups.length;
    groups.splice(at, 0, { rest: [letter] });
  }
  state.groups = groups.map(({ rest }) => rest).filter((rest) => rest.length);
  state.picked = letter;
  after(card);
}
