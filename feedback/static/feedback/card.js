// A task in the page, filled in as the browser or the service remembers it.

import * as classification from "./kinds/classification.js";
import * as comparison from "./kinds/comparison.js";
import * as conversation from "./kinds/conversation.js";
import * as demonstration from "./kinds/demonstration.js";
import * as ranking from "./kinds/ranking.js";
import * as rating from "./kinds/rating.js";
import * as spans from "./kinds/spans.js";
import { stored } from "./memory.js";

const KINDS = { classification, comparison, conversation, demonstration, ranking, rating, spans };

/** A task in the page: its element, its kind's module, and the time spent on it while it was in view. */
export class Card {
  constructor(element) {
    this.element = element;
    this.id = element.dataset.id;
    this.kind = KINDS[element.dataset.kind];
    this.spent = 0;
    this.since = null;
    this.revising = element.dataset.state === "submitted";
    this.kind?.start?.(element);
    this.path = (verb) => `/desk/${this.id}/${verb}/`;
  }

  restore() {
    const answer = parsed(this.element.dataset.answer);
    const draft = stored(`draft:${this.id}`) || parsed(this.element.dataset.draft);
    if (this.kind && (answer || draft))
      this.kind.fill(this.element, this.revising && answer ? answer : draft || answer);
  }

  run() {
    if (this.since === null && document.visibilityState === "visible" && document.hasFocus())
      this.since = performance.now();
  }

  rest() {
    if (this.since !== null) this.spent += performance.now() - this.since;
    this.since = null;
  }

  get seconds() {
    const running = this.since === null ? 0 : performance.now() - this.since;
    return Math.round(this.spent + running) / 1000;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text || "null");
  } catch {
    return null;
  }
}

export function cardFrom(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const element = template.content.querySelector("[data-card]");
  return element && new Card(element);
}
