// Reads responses while they are written. Server-sent events where there is room for them; the page asks for itself
// every two seconds otherwise. What comes is put in as text, never as HTML; rendered words come from the service.

const ASK_EVERY = 2000;

/** @param address of the events; @param on = {place(of) → element or null, waiting(text), done()}. Returns a way to stop. */
export function read(address, on) {
  let source = null;
  let timer = 0;
  let over = false;
  const stop = () => {
    over = true;
    source?.close();
    clearTimeout(timer);
  };
  const finish = () => {
    if (over) return;
    stop();
    on.done();
  };
  const later = () => {
    source?.close();
    if (!over) timer = setTimeout(() => (over ? null : document.hidden ? later() : on.done()), ASK_EVERY);
  };
  const listen = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data || "{}")));
  source = new EventSource(address);
  source.addEventListener("open", () =>
    document.querySelectorAll("[data-coming]").forEach((place) => place.replaceChildren()),
  );
  listen("text", ({ of, text }) => {
    on.place(of)?.append(text);
    on.waiting("");
  });
  listen("restart", ({ of }) => on.place(of)?.replaceChildren());
  listen("waiting", ({ text }) => on.waiting(text));
  listen("end", ({ of, state, text }) => {
    const place = on.place(of);
    if (place && state === "ready") place.textContent = text;
  });
  listen("done", finish);
  listen("timeout", finish);
  source.onerror = later; // no room, or the network is away
  return stop;
}
