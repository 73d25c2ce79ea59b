// Two versions side by side, read while they write; the service renders what stands when both have ended.

import { Composer } from "./composer.js";
import * as keys from "./keys.js";
import { recovered } from "./memory.js";
import { read } from "./relay.js";

const form = document.querySelector("[data-composer]");
if (form) recovered.then(() => new Composer(form).text.focus());

const another = document.querySelector("[data-another]");
if (another) keys.bind("a", () => another.click());

let stop = () => {};
function begin() {
  stop();
  const answers = document.getElementById("answers");
  if (!answers?.dataset.stream) return;
  const part = (of, name) =>
    answers
      .querySelector(`[data-of="${CSS.escape(of)}"]`)
      ?.closest("article")
      ?.querySelector(name) || null;
  stop = read(answers.dataset.stream, {
    place: (of) => part(of, "[data-coming]"),
    waiting: (text) =>
      text && answers.querySelectorAll("[data-waiting]").forEach((place) => (place.textContent = text)),
    done: () => document.body.dispatchEvent(new CustomEvent("written")),
  });
}
document.addEventListener("htmx:afterSwap", begin);
begin();
