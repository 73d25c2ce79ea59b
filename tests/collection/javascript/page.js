// A page for modules that expect a browser: jsdom's document as globals, and the desk's cards as the service renders them.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { JSDOM } from "jsdom";

const dom = new JSDOM('<!doctype html><p id="live"></p><main></main>', { url: "http://localhost/" });

globalThis.window = dom.window;
for (const name of ["document", "localStorage", "Event", "CustomEvent", "KeyboardEvent", "NodeFilter"]) {
  globalThis[name] = dom.window[name];
}
for (const name of ["getSelection", "addEventListener", "removeEventListener", "dispatchEvent"]) {
  globalThis[name] = dom.window[name].bind(dom.window);
}

/** A fresh card of a task kind, from the folder that tests/collection/test_desk_scripts.py renders the templates into. */
export function cardOf(kind) {
  const html = readFileSync(join(process.env.CARDS, `${kind}.html`), "utf-8");
  document.querySelector("main").innerHTML = html;
  return document.querySelector("[data-card]");
}

/** What a key press looks like to a kind's `key`. */
export function press(key, more = {}) {
  return new KeyboardEvent("keydown", { key, ...more });
}

/** The words that a screen reader is told. */
export const announced = () => document.getElementById("live").textContent;
