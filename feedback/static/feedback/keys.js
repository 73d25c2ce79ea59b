// Every key press of a page goes through here and is consumed once. The layer on top (an open dialog, else the page) is
// found before anything acts, so that no key which closes a dialog reaches what lies behind it. Single keys of the page
// are silent while somebody types, and can be switched off (WCAG 2.1.4).

const pageKeys = new Map();
const acts = new WeakMap(); // element → act, for keys pressed inside of it
const closers = []; // asked first about Escape
const heldIn = new Map(); // a key that is down → the layer in which it was pressed
const SWITCH = "single-keys";
let contentSince = 0; // when what the page's keys act on came into view, in ms of performance.now()

/** `bind("s", act)`: act(event) when the key is pressed outside of fields and dialogs; when it returns false, the
 *  browser does with the key what it always does. `bind("*", act)` is asked about every key first, and returns true
 *  for those it took. */
export function bind(keys, act) {
  for (const key of [].concat(keys)) pageKeys.set(key, act);
}

/** `within(element, act)`: act(event) for every key pressed while the focus is inside `element`, or while it is the
 *  dialog on top. It returns true for the keys it took; the innermost element is asked first. */
export function within(element, act) {
  acts.set(element, act);
}

/** `closes(act)`: act(dialog or null) when Escape is pressed, before anything else; true when it closed something. */
export function closes(act) {
  closers.push(act);
}

/** The page shows something else to act on: keys that were pressed before this moment, and come late because the
 *  machine is slow, were not meant for it. */
export function contentChanged() {
  contentSince = performance.now();
}

export function enabled() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true;
  }
}

export function enable(on) {
  try {
    localStorage.setItem(SWITCH, on ? "on" : "off");
  } catch {
    // Storage is refused: keys stay as they are.
  }
}

function typing(element) {
  return (
    element.isContentEditable ||
    element.tagName === "TEXTAREA" ||
    element.tagName === "SELECT" ||
    (element.tagName === "INPUT" && !["radio", "checkbox", "button", "submit"].includes(element.type))
  );
}

const dialogOnTop = () => [...document.querySelectorAll("dialog[open]")].at(-1) || null;
const keyOf = (event) => event.code || event.key;

function consume(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

/** Still down from another layer: its dialog has closed, or has opened, since it was pressed. */
function comesFromAnotherLayer(event, dialog) {
  if (!event.repeat) heldIn.set(keyOf(event), dialog);
  return event.repeat && heldIn.get(keyOf(event)) !== dialog;
}

function takenInside(event, dialog) {
  const inDialog = !dialog || dialog.contains(event.target);
  for (let element = inDialog ? event.target : dialog; element; element = element.parentElement) {
    if (acts.get(element)?.(event)) return true;
    if (element === dialog) return false;
  }
  return false;
}

function takenByPage(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !enabled()) return false;
  // Enter on a button or a link is that button's or link's.
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return false;
  if (event.repeat && !/^(Arrow|Page| )/.test(event.key)) return false;
  if (pageKeys.get("*")?.(event)) return true;
  const act = pageKeys.get(event.key) || pageKeys.get(event.key.toLowerCase());
  return Boolean(act) && act(event) !== false;
}

function dispatch(event) {
  if (event.isComposing || !(event.target instanceof Element)) return;
  const dialog = dialogOnTop();
  if (comesFromAnotherLayer(event, dialog)) return consume(event);
  const tooEarly = !dialog && event.timeStamp < contentSince;
  if (tooEarly && typing(event.target)) return;
  if (tooEarly) return consume(event);
  if (event.key === "Escape" && closers.some((close) => close(dialog))) return consume(event);
  if (takenInside(event, dialog)) return consume(event);
  if (dialog || typing(event.target)) return;
  if (takenByPage(event)) consume(event);
}

addEventListener("keydown", dispatch, true);
addEventListener("keyup", (event) => heldIn.delete(keyOf(event)), true);
addEventListener("blur", () => heldIn.clear());
