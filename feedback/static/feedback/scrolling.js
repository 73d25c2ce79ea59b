// Long texts side by side: they scroll together, by share of their length, and by keys wherever the hands are.

const STEPS = {
  ArrowDown: 0.15,
  ArrowUp: -0.15,
  PageDown: 0.9,
  PageUp: -0.9,
  " ": 0.9,
  Home: -Infinity,
  End: Infinity,
};

const overflows = (element) => element.scrollHeight > element.clientHeight + 1;

/** `linked()` says whether the sides within `desk` go together. */
export function together(desk, linked) {
  let leading = null; // the side that the hand moves; the others follow and are not asked
  let rest = 0;
  const follow = (event) => {
    const side = event.target;
    if (!linked() || !side.matches?.("[data-side]") || (leading && leading !== side)) return;
    leading = side;
    const share = side.scrollTop / Math.max(1, side.scrollHeight - side.clientHeight);
    desk.querySelectorAll("[data-side]").forEach((other) => {
      if (other !== side) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
    });
    clearTimeout(rest);
    rest = setTimeout(() => (leading = null), 120);
  };
  desk.addEventListener("scroll", follow, true);
}

/** Scroll by `event`'s key, in the order in which one reads: the prompt to its end, then what is judged; back likewise.
 *  False when the key is better left to the browser. */
export function byKey(desk, event) {
  const { target } = event;
  if (target.type === "radio" || (event.key === " " && target.closest("button, a, summary, input"))) return false;
  if (target.closest(".guidelines")) return false;
  const step = event.key === " " && event.shiftKey ? -STEPS[" "] : STEPS[event.key];
  const more = (element) =>
    element && (step > 0 ? element.scrollTop + element.clientHeight < element.scrollHeight - 1 : element.scrollTop > 0);
  const order = [desk.querySelector(".asked"), judged(desk, target.closest("[data-side]"))];
  const part = (step > 0 ? order : order.reverse()).find(more);
  if (!part) return order.some((one) => one && overflows(one)); // at the end: the page stays where it is
  part.scrollTop = Number.isFinite(step) ? part.scrollTop + step * part.clientHeight : step < 0 ? 0 : part.scrollHeight;
  return true;
}

/** The side that has the focus; or all of them where they scroll as one; or the longest, which the others follow. */
function judged(desk, focused) {
  if (focused && overflows(focused)) return focused;
  const all = desk.querySelector(".sides");
  if (all && overflows(all)) return all;
  return [...desk.querySelectorAll("[data-side]")].sort((a, b) => b.scrollHeight - a.scrollHeight)[0];
}

export const KEYS = Object.keys(STEPS);
