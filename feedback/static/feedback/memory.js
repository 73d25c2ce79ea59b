// What the browser remembers. localStorage answers at once, but Chromium writes it to disk only seconds later, so that a
// killed browser forgets the last words; what people have said is therefore put into IndexedDB as well, which is on disk
// when its transaction ends, and taken from there when the desk is opened again.

const SAID = /^(draft|outbox):/;
const KEPT_FOR = 30 * 86_400_000;
const PATIENCE = 1000; // milliseconds; without the other store the desk opens all the same

let database = null;
const unwritten = new Map(); // name → value, while a transaction runs
let writing = false;

export function stored(name) {
  try {
    return JSON.parse(localStorage.getItem(name) || "null");
  } catch {
    return null;
  }
}

/** Remember `value`, or forget it (null). False when localStorage refuses. */
export function store(name, value) {
  if (SAID.test(name)) {
    unwritten.set(name, value);
    write();
  }
  try {
    if (value === null) {
      localStorage.removeItem(name);
      localStorage.removeItem(`at:${name}`);
    } else {
      localStorage.setItem(name, JSON.stringify(value));
      if (SAID.test(name)) localStorage.setItem(`at:${name}`, String(Date.now()));
    }
    return true;
  } catch {
    return false; // refused or full: the server's copy, or this page, has to do
  }
}

function write() {
  if (!database || writing || !unwritten.size) return;
  writing = true;
  const transaction = database.transaction("said", "readwrite");
  for (const [name, value] of unwritten) {
    if (value === null) transaction.objectStore("said").delete(name);
    else transaction.objectStore("said").put({ value, at: Date.now() }, name);
  }
  unwritten.clear();
  const next = () => {
    writing = false;
    write();
  };
  transaction.addEventListener("complete", next);
  transaction.addEventListener("abort", next);
}

/** When this has come, `stored` knows what the last browser knew when it died. It never fails. */
export const recovered = Promise.race([
  new Promise((resolve) => setTimeout(resolve, PATIENCE)),
  open()
    .then(recover)
    .catch(() => {}),
]);

async function open() {
  database = await new Promise((resolve, reject) => {
    const request = indexedDB.open("touchstone", 1);
    request.addEventListener("upgradeneeded", () => request.result.createObjectStore("said"));
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
  database.addEventListener("versionchange", () => database.close());
}

async function recover() {
  const found = await new Promise((resolve, reject) => {
    const entries = [];
    const request = database.transaction("said").objectStore("said").openCursor();
    request.addEventListener("error", () => reject(request.error));
    request.addEventListener("success", () => {
      const cursor = request.result;
      if (!cursor) return resolve(entries);
      entries.push([cursor.key, cursor.value]);
      cursor.continue();
    });
  });
  for (const [name, { value, at }] of found) {
    if (Date.now() - at > KEPT_FOR) store(name, null);
    else if (name.startsWith("outbox:")) {
      // Another tab may have added to it just now. What was sent already is sent again under its key, and counts once.
      const there = stored(name) || [];
      const known = new Set(value.map((item) => item.key));
      store(name, [...value, ...there.filter((item) => !known.has(item.key))]);
    } else if (at > (stored(`at:${name}`) || 0)) store(name, value); // of two, the words said last
  }
  write();
}
