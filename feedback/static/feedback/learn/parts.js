// What the boxes of the course share: elements, bars, and the address of the page's project.

/** An element with attributes and children; `text` is text, never HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export const percent = (share, digits = 0) => `${(100 * share).toFixed(share > 0 && share < 0.01 ? 1 : digits)} %`;
export const visible = (text) => text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥");

/** One bar: its name, its length in [0, 1], and its figure in words. With `act` the name is a button. */
export function bar(name, share, figure, act = null) {
  const label = act
    ? element("button", { type: "button", class: "learn-bar-name" })
    : element("span", { class: "learn-bar-name" });
  label.textContent = name;
  if (act) label.addEventListener("click", act);
  const drawn = element("progress", {
    max: 1,
    value: Math.max(0, Math.min(1, share)),
    "aria-label": `${name}: ${figure}`,
  });
  return element("li", {}, label, drawn, element("span", { class: "n", text: figure }));
}

/** Call `act` once nothing has happened for `delay` ms. */
export function settled(act, delay = 250) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), delay);
  };
}

/** The token that a request of this page carries, as htmx sends it. */
function headers() {
  const given = JSON.parse(document.body.getAttribute("hx-headers") || "{}");
  return { ...given, "Content-Type": "application/json", Accept: "application/json" };
}

/** Post JSON and return {status, body}; status 0 when nobody answered. */
export async function post(address, body, signal) {
  try {
    const reply = await fetch(address, { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
    return { status: reply.status, body: await reply.json().catch(() => ({})) };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { status: 0, body: { sentence: "The service does not respond. Try again." } };
  }
}

/** Get JSON as {status, body}; status 0 when nobody answered. */
export async function fetched(address) {
  try {
    const reply = await fetch(address, { headers: { Accept: "application/json" } });
    return { status: reply.status, body: await reply.json().catch(() => ({})) };
  } catch {
    return { status: 0, body: { sentence: "The service does not respond. Try again." } };
  }
}
