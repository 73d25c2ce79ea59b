// What was said and has not arrived yet. Kept by the browser, so that neither a lost network nor a killed browser loses
// it; sent in order, one at a time, each under its own Idempotency-Key, so that sending twice counts once. Several tabs
// share it: the Web Locks API lets one of them send at a time.

import { store, stored } from "./memory.js";

const RETRY_FROM = 1000;
const RETRY_TO = 30_000;

export function csrf() {
  const cookie = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  return cookie ? cookie[1] : document.querySelector("[name=csrfmiddlewaretoken]")?.value || "";
}

/** POST JSON. Rejects with {status, code, sentence}; status 0 is a network that is away. */
export async function post(path, body, key = null) {
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": csrf() };
  if (key) headers["Idempotency-Key"] = key;
  let reply;
  try {
    reply = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), redirect: "error" });
  } catch {
    throw { status: 0, code: "offline", sentence: "The service does not respond." };
  }
  if (reply.status === 204) return null;
  const data = await reply.json().catch(() => null);
  if (!reply.ok || data === null) {
    throw {
      status: reply.status,
      code: data?.code || "",
      sentence: data?.sentence || `The service returned status ${reply.status}.`,
    };
  }
  return data;
}

export class Outbox {
  /** @param name whose outbox; @param page () => {showing, have}: what the page shows and has; on = {sent, refused, changed} */
  constructor(name, page, on) {
    this.place = `outbox:${name}`;
    this.page = page;
    this.on = on;
    this.held = null;
    this.wait = RETRY_FROM;
    this.trouble = null; // why the last attempt did not get through
    this.inFlight = null;
    addEventListener("online", () => this.flush());
    addEventListener("storage", (event) => event.key === this.place && this.on.changed());
  }

  get items() {
    return this.held || stored(this.place) || [];
  }

  set items(list) {
    this.held = store(this.place, list) ? null : list; // storage is full or refused: held in the page
    this.on.changed();
  }

  add(item) {
    const whole = { key: crypto.randomUUID(), at: Date.now(), ...item };
    this.items = [...this.items, whole];
    this.flush();
    return whole.key;
  }

  /** Take back what was not sent yet. False when it is on its way or gone. */
  remove(key) {
    if (this.inFlight === key || !this.items.some((item) => item.key === key)) return false;
    this.items = this.items.filter((item) => item.key !== key);
    return true;
  }

  async flush() {
    clearTimeout(this.timer);
    if (this.flushing) return;
    this.flushing = true;
    try {
      if (navigator.locks) await navigator.locks.request(this.place, () => this.sendAll());
      else await this.sendAll();
    } finally {
      this.flushing = false;
    }
    if (this.items.length && this.trouble?.code !== "signed_out") {
      this.timer = setTimeout(() => this.flush(), this.wait);
      this.wait = Math.min(this.wait * 2, RETRY_TO);
    }
  }

  async sendAll() {
    for (let item = this.items[0]; item; item = this.items[0]) {
      this.inFlight = item.key;
      let reply;
      try {
        reply = await post(item.path, { ...item.body, ...this.page() }, item.key);
      } catch (error) {
        this.inFlight = null;
        if (passing(error)) {
          this.trouble = error;
          this.on.changed();
          return;
        }
        this.drop(item);
        this.on.refused(item, error);
        continue;
      }
      this.inFlight = null;
      this.trouble = null;
      this.wait = RETRY_FROM;
      this.drop(item);
      this.on.sent(item, reply);
    }
  }

  drop(sent) {
    this.items = this.items.filter((item) => item.key !== sent.key);
  }
}

/** Errors that pass by themselves or after signing in: the answer waits. All others are told and not repeated. */
function passing(error) {
  return (
    error.status === 0 ||
    error.status === 401 ||
    error.status === 403 ||
    error.status === 429 ||
    error.status >= 500 ||
    error.code === "conflict"
  );
}
