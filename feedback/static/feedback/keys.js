// Single-key shortcuts: one table of keys, silent while somebody types, and switched off by whoever wants (WCAG 2.1.4).

const table = new Map();
const SWITCH = "single-keys";

/** `bind("s", act)`: act(event) when the key is pressed outside of fields and dialogs; when it says false, the browser
 *  does with the key what it always does. `bind("*", act)` is asked about every key first, and says true for those it
 *  took. */
export function bind(keys, act) {
  for (const key of [].concat(keys)) table.set(key, act);
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

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]") || typing(event.target) || !enabled()) return;
  // Enter on a button or a link is that button's or link's.
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return;
  if (event.repeat && !/^(Arrow|Page| )/.test(event.key)) return;
  if (table.get("*")?.(event)) return event.preventDefault();
  const act = table.get(event.key) || table.get(event.key.toLowerCase());
  if (!act) return;
  if (act(event) !== false) event.preventDefault();
});
