// A battle: the vote by key. htmx brings the responses when both are written.

import { announce } from "./app.js";
import * as keys from "./keys.js";

keys.bind("*", (event) => {
  const button = document.querySelector(`[data-battle] [data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!button) return false;
  button.click();
  return true;
});

document.addEventListener("htmx:afterSettle", () => {
  if (!document.querySelector("[data-battle='ready']")) return;
  keys.contentChanged();
  announce("Both responses are there.");
});
