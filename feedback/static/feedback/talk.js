// A talk with the model: reads two answers as they are written, takes the choice, goes on with it. The service renders;
// what was chosen waits in the outbox like every answer, and what is being written in this browser.

import { announce, toast } from "./app.js";
import { Card } from "./card.js";
import { Composer } from "./composer.js";
import * as keys from "./keys.js";
import { recovered, store, stored } from "./memory.js";
import { Outbox, post } from "./outbox.js";
import { read } from "./relay.js";

const place = document.getElementById("talk-place");
const numberSends = place.dataset.numberSends === "yes";
let talk = null; // the fragment that is shown
let card = null; // the answers to choose between
let composer = null;
let stopReading = () => {};
let plain = false;

const outbox = new Outbox(place.dataset.person, () => null, {
  sent(item, reply) {
    if (reply.talk === talk.dataset.id) show(reply.html);
  },
  refused(item, error) {
    toast(`Your choice was rejected: ${error.sentence}`, "warn");
    if (item.body.answer) store(`draft:${item.path.split("/")[2]}`, item.body.answer);
    refresh();
  },
  changed: status,
});

function status() {
  const told = document.getElementById("outbox");
  const waiting = outbox.items.length;
  told.hidden = !waiting || !outbox.trouble;
  if (outbox.trouble?.status === 401) {
    const link = document.createElement("a");
    link.href = `/sign-in/?next=${encodeURIComponent(location.pathname)}`;
    link.textContent = "Sign in again";
    told.replaceChildren("You are signed out; your choice waits in this browser. ", link, ".");
    told.hidden = false;
  } else told.textContent = `Your choice waits in this browser; sent when the connection is back.`;
}

// ---- showing ---------------------------------------------------------------------------------------

function show(html) {
  const typing = document.activeElement?.matches?.("[data-composer] textarea");
  place.innerHTML = html;
  start(typing);
}

async function refresh() {
  const reply = await fetch(talk.dataset.fresh, { headers: { "HX-Request": "true" } }).catch(() => null);
  const html = reply?.ok && !reply.redirected ? await reply.text().catch(() => null) : null;
  if (html === null)
    setTimeout(refresh, 3000); // the network is away
  else show(html);
}

function start(typing = false) {
  stopReading();
  card?.rest();
  talk = place.querySelector("[data-talk]");
  const form = talk.querySelector("[data-card]");
  card = form && !waits(form.dataset.id) ? new Card(form) : null;
  const writing = talk.dataset.state === "writing";
  if (card) {
    card.restore();
    card.kind.shown(card.element);
    card.run();
    look();
    card.element.scrollIntoView({ block: "nearest" });
    card.element.querySelector("[data-start], .side")?.focus({ preventScroll: true });
    announce("Two responses are ready. Choose the better one.");
    keys.contentChanged();
  }
  if (form && !card) chosen(form);
  const composing = talk.querySelector("[data-composer]");
  composer = composing ? new Composer(composing, say) : null;
  if (composer && (typing || !card)) composer.text.focus({ preventScroll: true });
  composing?.scrollIntoView({ block: "nearest" });
  if (writing) {
    stopReading = read(talk.dataset.stream, {
      place: (of) => talk.querySelector(`[data-side="${CSS.escape(of)}"] [data-coming]`),
      waiting: (text) => (talk.querySelector("[data-waiting]").textContent = text || "Generating two responses…"),
      done: refresh,
    });
    talk.querySelector("form.talk-task").scrollIntoView({ block: "nearest" });
  }
  document.documentElement.dataset.talkReady = `${talk.dataset.state} ${talk.dataset.turn}`;
}

/** An answer to it lies in the outbox already. */
function waits(id) {
  return outbox.items.some((item) => item.path.split("/")[2] === id);
}

/** Chosen and not arrived yet: what was chosen stays in view, and nothing more is asked. */
function chosen(form) {
  form.querySelectorAll("input, textarea, button").forEach((one) => (one.disabled = true));
  form.classList.add("is-sent");
}

function look() {
  card?.element.classList.toggle("show-plain", plain);
  card?.element.querySelector("[data-act=plain]")?.setAttribute("aria-pressed", String(plain));
}

// ---- saying and choosing ---------------------------------------------------------------------------

async function say(text, key) {
  try {
    const { html } = await post(talk.dataset.say, { text }, key);
    store(composer.place, null); // before what is shown next reads it
    show(html);
    return true;
  } catch (error) {
    toast(
      error.status === 0 ? "The service does not respond. Your message is saved; send it again." : error.sentence,
      "warn",
    );
    if (error.status === 409 && error.code !== "conflict") refresh();
    return false;
  }
}

function choose(event) {
  if (!card) return;
  const { answer, wrong, focus } = card.kind.answer(card.element);
  const told = card.element.querySelector("[data-wrong]");
  told.hidden = !wrong;
  told.textContent = wrong || "";
  if (wrong) return focus?.focus();
  const sent = card;
  sent.rest();
  card = null;
  store(`draft:${sent.id}`, null);
  chosen(sent.element);
  outbox.add({ path: `/talk/${sent.id}/answer/`, body: { answer, seconds: sent.seconds } });
  announce("Sent.");
  event?.preventDefault?.();
}

async function act(address) {
  try {
    show((await post(address, {}, crypto.randomUUID())).html);
  } catch (error) {
    toast(error.sentence, "warn");
  }
}

// ---- hands -----------------------------------------------------------------------------------------

place.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-card]")) {
    event.preventDefault();
    choose(event);
  } else if (form.matches("[data-retries]")) {
    event.preventDefault();
    act(talk.dataset.retry);
  } else if (form.matches(".talk-end")) {
    event.preventDefault();
    document.getElementById("end").showModal();
  }
});

let draftTimer = 0;
place.addEventListener("input", (event) => {
  if (!card || !card.element.contains(event.target)) return;
  const at = card;
  const payload = at.kind.read(at.element);
  at.kind.shown(at.element);
  at.element.querySelector("[data-wrong]").hidden = true;
  store(`draft:${at.id}`, payload);
  clearTimeout(draftTimer);
  draftTimer = setTimeout(() => post(at.path("draft"), { payload }).catch(() => {}), 800);
});

place.addEventListener("click", (event) => {
  if (event.target.closest("[data-act=plain]")) togglePlain();
});

keys.within(place, (event) => {
  if (event.target.tagName !== "TEXTAREA" || !card?.element.contains(event.target)) return false;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    if (!event.repeat) choose(event);
  } else if (event.key === "Escape") card.element.querySelector("[data-side]").focus({ preventScroll: true });
  else return false;
  return true;
});

function togglePlain() {
  plain = !plain;
  store("look:plain", plain);
  look();
  announce(`Plain text ${plain ? "on" : "off"}.`);
}

keys.bind("*", (event) => {
  const taken = card?.kind.key(card.element, event);
  if (taken === "chosen" && numberSends && card.kind.complete(card.element)) choose(event);
  return Boolean(taken);
});
keys.bind("Enter", choose);
keys.bind("m", togglePlain);
keys.bind("r", () => talk.querySelector("[data-retries]") && act(talk.dataset.retry));
keys.bind("x", () => talk.querySelector(".talk-end") && document.getElementById("end").showModal());
keys.bind("?", () => document.getElementById("keys").showModal());
document.querySelector("[data-ends]").addEventListener("click", () => {
  document.getElementById("end").close();
  act(talk.dataset.end);
});
for (const name of ["focus", "visibilitychange"])
  (name === "focus" ? window : document).addEventListener(name, () => card?.run());
addEventListener("blur", () => card?.rest());

recovered.then(() => {
  plain = stored("look:plain") === true;
  start();
  if (outbox.items.length) outbox.flush();
  status();
});
