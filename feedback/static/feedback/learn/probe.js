// Questions to a model: posted, then fetched until the answer is there. Only the newest question of a prober counts.

import { fetched, post } from "./parts.js";

const FIRST = 60; // ms until the first look for the answer
const MOST = 500;
const PATIENCE = 90_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A way to ask at `address`. `said` gets a sentence while one waits or when it fails, "" when the answer is there. */
export function prober(address, said) {
  let newest = 0;
  /** Ask; the answer, or null where it failed or somebody has asked again. */
  return async function ask(body) {
    const own = ++newest;
    const began = performance.now();
    let { status, body: told } = await post(address, body);
    let wait = FIRST;
    while (status === 202 || (status === 200 && ["queued", "running"].includes(told.state))) {
      if (own !== newest) return null;
      if (performance.now() - began > PATIENCE) {
        said("No answer came. Try again later.");
        return null;
      }
      if (told.waiting) said(told.waiting);
      await pause(wait);
      wait = Math.min(MOST, wait * 1.3);
      ({ status, body: told } = await look(address, told.id));
    }
    if (own !== newest) return null;
    if (told.state === "succeeded") {
      performance.measure("probe", { start: began });
      said("");
      return told.result;
    }
    if (told.state !== "cancelled") said(told.sentence || "The question failed. Try again.");
    return null;
  };
}

const look = (address, id) => fetched(new URL(`../${id}/`, new URL(address, location.href)));
