// A message while it is written: kept in this browser until it was sent, under the key that it is sent with.

import { within } from "./keys.js";
import { store, stored } from "./memory.js";

export class Composer {
  /** @param form with a textarea `text` and data-composer, the name it is kept under; @param send (text, key) => Promise */
  constructor(form, send) {
    this.form = form;
    this.place = `draft:message:${form.dataset.composer}`;
    this.text = form.querySelector("textarea");
    this.sending = false;
    const kept = stored(this.place);
    if (kept?.text) this.text.value = kept.text;
    this.text.addEventListener("input", () => this.keep());
    within(this.text, (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return false;
      if (!event.repeat) form.requestSubmit();
      return true;
    });
    if (send) {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.submit(send);
      });
    } else form.addEventListener("submit", () => store(this.place, null));
  }

  keep() {
    const kept = stored(this.place);
    // Other words are another message: only the same ones are sent again under the same key.
    store(this.place, { text: this.text.value, key: kept?.text === this.text.value ? kept.key : crypto.randomUUID() });
  }

  async submit(send) {
    if (this.sending || !this.text.value.trim()) return this.text.focus();
    if (stored(this.place)?.text !== this.text.value) this.keep();
    this.sending = true;
    this.form.setAttribute("aria-busy", "true");
    try {
      if (await send(this.text.value, stored(this.place)?.key || crypto.randomUUID())) store(this.place, null);
    } finally {
      this.sending = false;
      this.form.removeAttribute("aria-busy");
    }
  }
}
