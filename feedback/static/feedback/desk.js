// The desk: shows a task, takes the answer, and has the next ones in the page before the last one is sent.
// What it shows and when lives here; what was said lives in outbox.js; what a kind of task asks lives in kinds/.

import { announce, toast } from "./app.js";
import { compare, fill as fillMarks } from "./diff.js";
import * as keys from "./keys.js";
import { Outbox, csrf, post } from "./outbox.js";
import { KEYS as SCROLLING, byKey, countPages, tellMore, together } from "./scrolling.js";
import { Card, cardFrom } from "./card.js";
import { recovered, store, stored } from "./memory.js";
import * as round from "./round.js";

const RENEW_EVERY = 60_000;
const DRAFT_AFTER = 800;
const AHEAD = 3; // tasks ready behind the one shown: answers go on while the network is away

const desk = document.getElementById("desk");
const { person, next: nextPath, undo: undoPath, renew: renewPath } = desk.dataset;
const numberSends = desk.dataset.numberSends === "yes";
const aheadPlace = document.getElementById("ahead");

let shown = null; // the card on the desk
let ahead = []; // the cards that come next
let last = null; // {card, key}: the last answer, to be called back
const put = []; // cards laid aside while an earlier one is looked at again
const done = new Set(); // ids answered or skipped in this page, or waiting in the outbox
let asked = null; // {start, prefetched}: the key or click that the next task answers
let nothingTimer = 0;
let fetching = false;

// ---- showing ---------------------------------------------------------------------------------------

function show(card) {
  clearTimeout(nothingTimer);
  shown?.rest();
  shown = card;
  desk.replaceChildren(card.element);
  look.apply();
  card.kind?.shown(card.element);
  document
    .querySelectorAll("[data-keys-of]")
    .forEach((sheet) => (sheet.hidden = sheet.dataset.keysOf !== card.element.dataset.kind));
  card.element.querySelector("[data-send-word]")?.replaceChildren(card.revising ? "Send the revision" : "Send");
  card.run();
  scrollTo(0, 0);
  card.element.querySelector("[data-start]")?.focus({ preventScroll: true });
  watchPanes();
  markPages();
  answerHeight.disconnect();
  if (card.element.querySelector(".answer")) answerHeight.observe(card.element.querySelector(".answer"));
  keys.contentChanged();
  measure();
}

/** How long the hand waited, told once the frame with the new task has been painted. */
function measure() {
  if (!asked) return;
  const { start, prefetched } = asked;
  asked = null;
  requestAnimationFrame(() => {
    const painted = new MessageChannel();
    painted.port1.onmessage = () => performance.measure("key-to-next-task", { start, detail: { prefetched } });
    painted.port2.postMessage(null);
  });
}

/** What comes after an answer: a card laid aside, the one ahead, or the wait for one. */
function showNext() {
  const card = put.pop() || ahead.shift();
  if (card) return show(card);
  shown?.rest();
  shown = null;
  wait(outbox.trouble ? "The next task loads when the service responds again." : "Loading the next task…");
  if (!outbox.items.length) fetchNext();
}

function wait(text) {
  const place = document.createElement("section");
  place.className = "empty desk-nothing";
  place.setAttribute("aria-busy", "true");
  const words = document.createElement("p");
  words.textContent = text;
  place.append(words);
  desk.replaceChildren(place);
  announce(text);
}

/** What the page has already, so that the service brings another: tasks ahead and laid aside, and those whose answers wait. */
function have() {
  return [...ahead.map((card) => card.id), ...put.map((card) => card.id), ...outbox.items.map(idOf)];
}

const idOf = (item) => item.path.split("/")[2];

/** A reply that brings what follows: put it on the desk, or ready behind the present task. */
function take(reply) {
  if (!reply) return;
  if (reply.progress) progress(reply.progress);
  const fresh =
    reply.next && !done.has(reply.next.id) && ![shown, ...ahead, ...put].some((card) => card?.id === reply.next.id);
  const card = fresh && cardFrom(reply.next.html);
  if (card) {
    card.restore();
    if (shown) ahead.push(card);
    else show(card);
    desk.dataset.ahead = ahead.length;
    if (ahead.length < AHEAD) setTimeout(fetchNext);
  } else if (reply.nothing && !shown) nothing(reply.nothing);
  if (shown && !ahead.length && reply.next && done.has(reply.next.id)) setTimeout(fetchNext, 500);
  if (!shown && !reply.next && !reply.nothing && !outbox.items.length) setTimeout(fetchNext, 500);
  if (!shown && reply.next && done.has(reply.next.id) && !outbox.items.length) setTimeout(fetchNext, 1000);
}

function nothing({ html, retry_after: seconds }) {
  asked = null;
  const before = desk.querySelector("[data-nothing]");
  const template = document.createElement("template");
  template.innerHTML = html;
  desk.replaceChildren(template.content);
  if (!before) desk.querySelector("[data-start]")?.focus({ preventScroll: true });
  lookAgain(seconds);
}

function lookAgain(seconds) {
  clearTimeout(nothingTimer);
  nothingTimer = setTimeout(() => (document.hidden ? lookAgain(2) : fetchNext()), Math.max(2, seconds) * 1000);
}

async function fetchNext() {
  if (fetching) return;
  fetching = true;
  try {
    take(await post(nextPath, { showing: shown?.id || null, have: have() }));
  } catch (error) {
    if (error.status === 401) outbox.trouble = error;
    else if (!shown) lookAgain(5);
    status();
  } finally {
    fetching = false;
  }
}

// ---- answering -------------------------------------------------------------------------------------

const outbox = new Outbox(person, () => ({ showing: shown?.id || null, have: have() }), {
  sent(item, reply) {
    if (round.told(item, reply)) return;
    if (reply.counted === false) toast("Saved as an extra annotation: the task was already complete.");
    take(reply);
  },
  refused(item, error) {
    if (round.refused(item)) done.delete(idOf(item));
    if (error.code === "already_submitted") toast("You annotated this task before; press u to revise it.", "warn");
    else toast(`An annotation was rejected: ${error.sentence}`, "warn");
    if (error.code === "already_submitted" || error.status === 404) return fetchNext();
    if (item.body.answer) store(`draft:${idOf(item)}`, item.body.answer); // whenever the task is shown again
    bringBack(item);
  },
  changed: status,
});

/** What the service refused is laid on the desk again, as it was filled in. */
function bringBack(item) {
  if (last?.key === item.key && last.card !== shown) {
    done.delete(last.card.id);
    if (shown) put.push(shown);
    show(last.card);
  }
}

function goOn() {
  const reply = round.goOn();
  if (!reply) return;
  if (reply.passed) ahead = ahead.filter((card) => !round.isRound(card)); // the round is over: real work comes next
  showNext();
  take(reply);
}

function send(event) {
  if (round.waits()) return goOn();
  if (!shown?.kind) return;
  const card = shown;
  const { answer, wrong, focus } = card.kind.answer(card.element);
  const told = card.element.querySelector("[data-wrong]");
  told.hidden = !wrong;
  told.textContent = wrong || "";
  if (wrong) return focus?.focus();
  card.rest();
  done.add(card.id);
  store(`draft:${card.id}`, null);
  clearTimeout(draftTimer);
  const revised = card.revising;
  if (round.isRound(card))
    return round.sent(card, outbox.add({ path: card.path("submit"), body: { answer, seconds: card.seconds } }));
  asked = event?.timeStamp ? { start: event.timeStamp, prefetched: put.length + ahead.length > 0 } : null;
  showNext();
  const key = outbox.add({ path: card.path(revised ? "revise" : "submit"), body: { answer, seconds: card.seconds } });
  last = { card, key, revised };
  if (!revised) progress({ today: count.today + 1, seconds: count.seconds + card.seconds });
  announce(shown ? "Sent. The next task is here." : "Sent.");
}

function skip(reason, note) {
  const card = shown;
  if (!card) return;
  card.rest();
  done.add(card.id);
  store(`draft:${card.id}`, null);
  showNext();
  outbox.add({ path: card.path("skip"), body: { reason, note } });
  announce("Skipped.");
}

/** The last answer, back on the desk as it was given. Not sent yet: it is simply taken out of the outbox again. */
async function undo() {
  if (round.waits()) return;
  if (last && last.card !== shown) {
    const unsent = outbox.remove(last.key);
    if (unsent && !last.revised) progress({ today: count.today - 1, seconds: count.seconds - last.card.seconds });
    last.card.revising = last.revised || !unsent;
    if (unsent && !last.revised) done.delete(last.card.id);
    bring(last.card);
    last = null;
    return;
  }
  try {
    const reply = await (await fetch(undoPath, { headers: { Accept: "application/json" } })).json();
    if (!reply.html) return toast(reply.sentence || "There is nothing to undo.");
    if (reply.id === shown?.id) return;
    const card = cardFrom(reply.html);
    card.restore();
    bring(card);
  } catch {
    toast("Undo is not available while the service does not respond.", "warn");
  }
}

function bring(card) {
  if (shown) put.push(shown);
  show(card);
  announce("Your last annotation is open again. Change it and send, or send it unchanged.");
}

// ---- figures and states ----------------------------------------------------------------------------

const bar = document.getElementById("progress");
const count = { today: Number(bar.dataset.today), seconds: Number(bar.dataset.seconds) };

function progress({ today, seconds }) {
  // Answers still in the outbox are said already; the service counts them when they arrive.
  const waiting = outbox?.items.filter((item) => item.path.endsWith("/submit/")).length || 0;
  count.today = Math.max(today, today < count.today && waiting ? count.today : today);
  count.seconds = seconds;
  bar.querySelector("[data-figure=today]").textContent = count.today;
  const minutes =
    seconds < 90
      ? `${Math.round(seconds)} s`
      : seconds < 5400
        ? `${Math.round(seconds / 60)} min`
        : `${(seconds / 3600).toFixed(1)} h`;
  bar.querySelector("[data-figure=minutes]").textContent = minutes;
}

function status() {
  const place = document.getElementById("outbox");
  const waiting = outbox.items.length;
  const trouble = outbox.trouble;
  place.hidden = !trouble && !(waiting > 2);
  place.replaceChildren();
  if (trouble?.status === 401) {
    const link = document.createElement("a");
    link.href = `/sign-in/?next=${encodeURIComponent(location.pathname)}`;
    link.textContent = "Sign in again";
    place.append("You are signed out. ", link, waiting ? `; ${waits(waiting)}.` : ".");
  } else if (waiting) {
    const words = waits(waiting)[0].toUpperCase() + waits(waiting).slice(1);
    const more = shown ? ahead.length + put.length : 0;
    const here = more ? ` ${more} more ${more === 1 ? "task is" : "tasks are"} here after this one.` : "";
    place.append(trouble ? `${words}; sent when the connection is back.${here}` : `${words}.`);
  } else place.hidden = true;
}

function waits(number) {
  return number === 1 ? "one annotation waits in this browser" : `${number} annotations wait in this browser`;
}

// ---- ways of looking -------------------------------------------------------------------------------

const look = {
  plain: stored("look:plain") === true,
  differences: false,
  together: stored("look:together") !== false,
  apply() {
    if (!shown) return;
    const { element, kind } = shown;
    element.classList.toggle("show-plain", this.plain);
    element.classList.toggle("show-differences", this.differences);
    const [a, b] = kind?.texts?.(element) || [];
    if (a && b) {
      const [left, right] = this.differences
        ? compare(a.textContent, b.textContent)
        : [[[a.textContent, false]], [[b.textContent, false]]];
      fillMarks(a, left);
      fillMarks(b, right);
    }
    for (const name of ["plain", "differences", "together"]) {
      element.querySelector(`[data-act=${name}]`)?.setAttribute("aria-pressed", String(this[name]));
    }
  },
  toggle(name) {
    this[name] = !this[name];
    if (name !== "differences") store(`look:${name}`, this[name]);
    this.apply();
    announce(
      `${{ plain: "Plain text", differences: "Differences", together: "Linked scrolling" }[name]} ${this[name] ? "on" : "off"}.`,
    );
  },
};

const guidelinesButton = document.getElementById("guidelines-button");
function guidelines(open) {
  document.body.classList.toggle("with-guidelines", open);
  guidelinesButton.setAttribute("aria-expanded", String(open));
  store("look:guidelines", open);
}

together(desk, () => look.together);
const watchPanes = tellMore(desk);
const markPages = countPages(desk);
const answerHeight = new ResizeObserver(([{ target }]) =>
  document.body.style.setProperty("--answer-height", `${target.offsetHeight}px`),
);

// ---- hands -----------------------------------------------------------------------------------------

let draftTimer = 0;
desk.addEventListener("input", () => {
  if (!shown?.kind) return;
  const card = shown;
  const payload = card.kind.read(card.element);
  card.kind.shown(card.element);
  card.element.querySelector("[data-wrong]").hidden = true;
  if (card.revising) return;
  store(`draft:${card.id}`, payload);
  clearTimeout(draftTimer);
  draftTimer = setTimeout(() => post(card.path("draft"), { payload }).catch(() => {}), DRAFT_AFTER);
});

desk.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event);
});

const ACTS = {
  skip: () => shown && !shown.revising && !round.isRound(shown) && document.getElementById("skip").showModal(),
  flag: () => shown && document.getElementById("flag").showModal(),
  differences: () => look.toggle("differences"),
  plain: () => look.toggle("plain"),
  together: () => look.toggle("together"),
  undo,
};

desk.addEventListener("click", (event) => {
  if (event.target.closest("[data-go-on]")) return goOn();
  const button = event.target.closest("[data-act]");
  if (button) ACTS[button.dataset.act]();
});

keys.within(desk, (event) => {
  if (event.target.tagName !== "TEXTAREA") return false;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    if (!event.repeat) send(event);
  } else if (event.key === "Escape") shown.element.querySelector("[data-start]").focus({ preventScroll: true });
  else return false;
  return true;
});

function kindKey(event) {
  if (round.waits()) return false;
  const taken = shown?.kind?.key(shown.element, event);
  if (taken === "chosen" && numberSends && !shown.revising && shown.kind.complete(shown.element)) send(event);
  return Boolean(taken);
}

keys.bind("*", kindKey);
keys.bind("Enter", send);
keys.bind("s", ACTS.skip);
keys.bind("f", ACTS.flag);
keys.bind("d", ACTS.differences);
keys.bind("m", ACTS.plain);
keys.bind("l", ACTS.together);
keys.bind("u", undo);
const guidelinesOpen = () => document.body.classList.contains("with-guidelines");
keys.bind("g", () => guidelines(!guidelinesOpen()));
keys.bind("Escape", () => guidelinesOpen() && guidelines(false));
keys.bind(SCROLLING, (event) => byKey(desk, event));
keys.bind("?", () => document.getElementById("keys").showModal());
guidelinesButton.addEventListener("click", () => guidelines(!guidelinesOpen()));

const single = document.getElementById("single-keys");
single.checked = keys.enabled();
single.addEventListener("change", () => keys.enable(single.checked));

const skipDialog = document.getElementById("skip");
const skipNote = document.getElementById("skip-note");
function skipFor(reason) {
  skipDialog.close();
  skip(reason, skipNote.value.trim());
  skipNote.value = "";
}
skipDialog.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reason]");
  if (button) skipFor(button.dataset.reason);
});
keys.within(skipDialog, (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const reasons = skipDialog.querySelectorAll("[data-reason]");
  if (event.target === skipNote) {
    if (event.key !== "Enter") return false;
    announce("Choose a reason to skip the task."); // a note alone is none
    return true;
  }
  const button = reasons[Number(event.key) - 1];
  if (!button) return false;
  skipFor(button.dataset.reason);
  return true;
});

const flagDialog = document.getElementById("flag");
const flagReason = document.getElementById("flag-reason");
flagDialog.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const reason = flagReason.value.trim();
  if (!reason || !shown) return;
  flagDialog.close();
  flagReason.value = "";
  post(shown.path("flag"), { reason }, crypto.randomUUID()).then(
    () => toast("Flagged for review."),
    (error) => toast(`Not flagged: ${error.sentence}`, "warn"),
  );
});
keys.within(flagReason, (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return false;
  flagDialog.querySelector("form").requestSubmit();
  return true;
});

// ---- time and leases -------------------------------------------------------------------------------

for (const name of ["focus", "visibilitychange"])
  (name === "focus" ? window : document).addEventListener(name, () => shown?.run());
addEventListener("blur", () => shown?.rest());
document.addEventListener("visibilitychange", () => document.hidden && shown?.rest());

let renewed = performance.now();

async function renew() {
  if (!shown || shown.revising || document.hidden || !document.hasFocus()) return;
  if (performance.now() - renewed < RENEW_EVERY - 1000) return;
  renewed = performance.now();
  try {
    const { lost } = await post(renewPath, { ids: [shown, ...ahead].map((card) => card.id) });
    const still = ahead.filter((card) => !lost.includes(card.id));
    if (still.length < ahead.length) {
      ahead = still;
      fetchNext();
    }
    if (lost.includes(shown?.id))
      toast(
        "This task was assigned to another annotator in the meantime. Your annotation is still saved if you send it.",
      );
  } catch {
    // The network is away; the answer is taken in even after the lease.
  }
}
setInterval(renew, RENEW_EVERY);
addEventListener("focus", renew); // back after a while: the place may have lapsed and is taken again

addEventListener("pagehide", () => {
  const form = new FormData();
  form.append("csrfmiddlewaretoken", csrf());
  for (const card of ahead) navigator.sendBeacon(card.path("release"), form);
  ahead = [];
});
addEventListener("pageshow", (event) => event.persisted && fetchNext());

// ---- start -----------------------------------------------------------------------------------------

function start() {
  outbox.items.forEach((item) => done.add(idOf(item)));
  guidelines(stored("look:guidelines") ?? innerWidth >= 1400);
  const element = desk.querySelector("[data-card]");
  const served = [element && new Card(element), cardFrom(aheadPlace.innerHTML)].filter(
    (card) => card && !done.has(card.id),
  );
  aheadPlace.remove();
  served.forEach((card) => card.restore());
  shown = null;
  ahead = served.slice(1);
  if (served[0]) {
    show(served[0]);
    if (ahead.length) setTimeout(fetchNext);
  } else if (element) showNext();
  else lookAgain(Number(desk.querySelector("[data-nothing]")?.dataset.retryAfter) || 10);
  if (outbox.items.length) outbox.flush();
  status();
  if (location.search) history.replaceState(null, "", location.pathname); // what was asked for lies on the desk
  document.documentElement.dataset.deskReady = "yes";
}

recovered.then(start);
