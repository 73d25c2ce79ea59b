// Long texts side by side: they scroll together, by share of their length, and by keys wherever the hands are. A pane
// whose text goes on below its edge says so, and on a phone the responses are cards to swipe through.

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

const goesOn = (pane) => pane.scrollHeight - pane.scrollTop - pane.clientHeight > 4;

const mark = (pane) => pane.classList.toggle("goes-on", goesOn(pane));

/** Panes within `desk` tell whether there is more below. Returns `watch()`, to be called for each new card. */
export function tellMore(desk) {
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target)));
  desk.addEventListener("scroll", ({ target }) => target.matches?.("[data-side], .asked") && mark(target), true);
  return () => {
    sizes.disconnect();
    for (const pane of desk.querySelectorAll("[data-side], .asked")) {
      sizes.observe(pane);
      for (const part of pane.children) if (!part.matches(".more-below")) sizes.observe(part);
      mark(pane);
    }
  };
}

/** Under the responses: which of the cards that one swipes through is in view. */
export function countPages(desk) {
  desk.addEventListener("scroll", ({ target }) => target.matches?.(".sides") && tell(target), true);
  const sizes = new ResizeObserver(([{ target }]) => tell(target));
  return () => {
    const sides = desk.querySelector(".sides:not(.sides-one, :has(.writing))");
    if (!sides || sides.nextElementSibling?.matches(".pages-mark")) return;
    const place = document.createElement("p");
    place.className = "pages-mark";
    place.setAttribute("aria-hidden", "true");
    sides.after(place);
    sizes.disconnect();
    sizes.observe(sides);
  };
}

function tell(sides) {
  const cards = [...sides.children];
  const middle = sides.scrollLeft + sides.clientWidth / 2;
  const at = cards.findIndex((card) => card.offsetLeft - sides.offsetLeft + card.offsetWidth >= middle);
  const place = sides.nextElementSibling;
  if (place?.matches(".pages-mark"))
    place.textContent = `${Math.max(0, at) + 1} of ${cards.length} · swipe for the ${cards.length > 2 ? "others" : "other"}`;
}
