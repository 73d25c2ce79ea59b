// Live line charts, drawn as SVG.
//
//   <figure data-chart data-src="/p/desk/train/12/metrics.json" …><figcaption>Reward</figcaption></figure>
//
//   data-src      address of {"x": [1, 2, …], "x_name": "step", "final": false,
//                 "series": [{"name": "reward", "values": [0.1, null, …], "axis": "left" | "right", "unit": "nats",
//                             "low": […], "high": […] (a band, both optional)}]}
//                 null is a gap, or with "sparse": true (measured now and then) is bridged. "final": true ends the polling.
//   data-every    seconds between polls (default: none)
//   data-series   names to show, by comma, out of what the source has (default: all)
//   data-height   pixels (default 240)
//   data-y        "log" for a logarithmic left axis
//   data-smooth   0 to 0.99, exponential smoothing with the raw line pale behind it (default 0)
//
// Pointer: hover reads the values, drag chooses a part, double click shows everything again. Keys: left and right move
// the reading (with Shift ten steps), + and - zoom around it, 0 or Escape shows everything. The legend's buttons hide
// a series. A table with the same figures stands behind "Show as table". Lines differ by dashes as well as by color, and
// colors are the sheet's, so light and dark need nothing here.

import { within } from "./keys.js";

const NS = "http://www.w3.org/2000/svg";
const MARGIN = { top: 8, right: 12, bottom: 24, left: 52 };
const drawn = new WeakMap();

/** Draw every chart of the page that is not drawn yet. */
export function draw() {
  document.querySelectorAll("[data-chart]").forEach((figure) => {
    if (!drawn.has(figure)) drawn.set(figure, new Chart(figure));
  });
}

function svg(name, attributes = {}, parent = null) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
}

function html(name, className, parent, text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  parent?.append(element);
  return element;
}

function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return value.toLocaleString("en", { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : 3 });
}

/** What stands at a tick: as many decimals as its neighbors differ by. */
function tick(value, all) {
  const step = Math.abs(all[1] - all[0]) || Math.abs(value) || 1;
  if (value !== 0 && (step < 1e-4 || step >= 1e6)) return value.toExponential(1);
  return value.toLocaleString("en", { maximumFractionDigits: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)) });
}

/** Round numbers from low to high, about `wanted` of them. */
function ticks(low, high, wanted) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) {
    found.push(Math.abs(value) < step * 1e-6 ? 0 : value);
  }
  return found;
}

function smoothed(values, weight) {
  let last = null;
  return values.map((value) => {
    if (value === null) return null;
    last = last === null ? value : weight * last + (1 - weight) * value;
    return last;
  });
}

class Chart {
  constructor(figureElement) {
    this.figure = figureElement;
    this.options = figureElement.dataset;
    this.height = Number(this.options.height) || 240;
    this.hidden = new Set();
    this.zoom = null; // [low, high] of x
    this.at = null; // index that is read
    this.legend = html("div", "chart-legend", this.figure);
    this.plot = svg("svg", { class: "chart-plot", role: "img", tabindex: "0", height: this.height }, this.figure);
    this.empty = html("p", "chart-empty", this.figure, "No data yet.");
    this.table = html("details", "", this.figure);
    html("summary", "", this.table, "Show as table");
    this.tableBody = html("div", "table-scroll", this.table);
    this.tableBody.tabIndex = 0;
    this.table.addEventListener("toggle", () => this.fillTable());
    this.listen();
    new ResizeObserver(() => this.paint()).observe(this.figure);
    this.load();
  }

  get title() {
    return this.figure.querySelector("figcaption")?.textContent.trim() || "Chart";
  }

  async load() {
    if (!this.figure.isConnected) return; // swapped away
    const every = Number(this.options.every) * 1000;
    if (!document.hidden) {
      try {
        const reply = await fetch(this.options.src, { headers: { Accept: "application/json" } });
        if (!reply.ok) throw new Error(`${reply.status}`);
        this.take(await reply.json());
      } catch (error) {
        this.empty.textContent = `The data could not be loaded (${error.message}).`;
      }
    }
    if (every && !this.data?.final) setTimeout(() => this.load(), every);
  }

  take(data) {
    const wanted = this.options.series?.split(",").map((name) => name.trim());
    const series = (data.series || []).filter((one) => !wanted || wanted.includes(one.name));
    this.data = { ...data, x: data.x || [], series };
    this.fillLegend();
    this.paint();
    if (this.table.open) this.fillTable();
  }

  visible() {
    return this.data.series.filter((one) => !this.hidden.has(one.name));
  }

  paint() {
    const { data } = this;
    const some = data && data.x.length > 0 && data.series.length > 0;
    this.empty.hidden = Boolean(some);
    this.plot.style.display = some ? "" : "none";
    this.table.hidden = !some;
    if (!some) return;
    const width = Math.max(240, this.figure.clientWidth);
    const right = data.series.some((one) => one.axis === "right") ? 52 : MARGIN.right;
    this.box = { left: MARGIN.left, right: width - right, top: MARGIN.top, bottom: this.height - MARGIN.bottom };
    this.plot.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.plot.replaceChildren();
    let [x0, x1] = this.zoom || [data.x[0], data.x[data.x.length - 1]];
    if (x0 === x1) [x0, x1] = [x0 - 0.5, x1 + 0.5]; // one step stands in the middle
    this.x = scale(x0, x1, this.box.left, this.box.right, false);
    this.span = [x0, x1];
    this.scales = { left: this.yScale("left", this.options.y === "log"), right: this.yScale("right", false) };
    this.axes(width);
    const clip = `clip-${Math.random().toString(36).slice(2)}`;
    const path = svg("clipPath", { id: clip }, this.plot);
    svg("rect", { x: this.box.left, y: 0, width: this.box.right - this.box.left, height: this.height }, path);
    const lines = svg("g", { "clip-path": `url(#${clip})` }, this.plot);
    data.series.forEach((one, place) => {
      if (!this.hidden.has(one.name)) this.line(lines, one, place);
    });
    this.overlay = svg("g", {}, this.plot);
    this.read(this.at);
    this.plot.setAttribute("aria-label", this.summary());
  }

  yScale(axis, logarithmic) {
    const values = [];
    for (const one of this.visible()) {
      if ((one.axis || "left") !== axis) continue;
      for (const list of [one.values, one.low, one.high]) {
        list?.forEach((value, i) => {
          const x = this.data.x[i];
          if (value !== null && Number.isFinite(value) && x >= this.span[0] && x <= this.span[1]) values.push(value);
        });
      }
    }
    if (!values.length) return null;
    let low = values.reduce((a, b) => Math.min(a, b));
    let high = values.reduce((a, b) => Math.max(a, b));
    const log = logarithmic && low > 0;
    if (!log) {
      const room = (high - low || Math.abs(high) || 1) * 0.06;
      [low, high] = [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
    }
    return scale(low, high, this.box.bottom, this.box.top, log);
  }

  axes() {
    const { left, right, top, bottom } = this.box;
    for (const [name, y] of Object.entries(this.scales)) {
      if (!y) continue;
      const marks = y.log ? powers(y.low, y.high) : ticks(y.low, y.high, Math.max(2, this.height / 56));
      for (const value of marks) {
        const place = y(value);
        if (place < top - 1 || place > bottom + 1) continue;
        if (name === "left") svg("line", { class: "chart-grid", x1: left, x2: right, y1: place, y2: place }, this.plot);
        const at = name === "left" ? { x: left - 8, "text-anchor": "end" } : { x: right + 8, "text-anchor": "start" };
        svg("text", { ...at, y: place + 4 }, this.plot).textContent = y.log ? figure(value) : tick(value, marks);
      }
    }
    svg("line", { class: "chart-axis", x1: left, x2: right, y1: bottom, y2: bottom }, this.plot);
    const marks = ticks(this.span[0], this.span[1], Math.max(2, (right - left) / 90));
    const whole = this.data.x.every(Number.isInteger);
    for (const value of marks) {
      if (value < this.span[0] || value > this.span[1] || (whole && !Number.isInteger(value))) continue;
      if (this.x(value) - left < 16) continue; // the axis's own name stands there
      svg("text", { x: this.x(value), y: bottom + 16, "text-anchor": "middle" }, this.plot).textContent = tick(
        value,
        marks,
      );
    }
    svg("text", { x: left - 8, y: bottom + 16, "text-anchor": "end" }, this.plot).textContent =
      this.data.x_name || "step";
  }

  line(parent, one, place) {
    const y = this.scales[one.axis === "right" ? "right" : "left"];
    if (!y) return;
    const style = `series-${(place % 6) + 1}`;
    if (one.low && one.high)
      svg("path", { class: `chart-zoom ${style}`, "stroke-width": 0, d: this.band(one, y) }, parent);
    const weight = Number(this.options.smooth) || 0;
    if (weight) svg("path", { class: `chart-raw ${style}`, d: this.path(one.values, y, one.sparse) }, parent);
    const values = weight ? smoothed(one.values, weight) : one.values;
    svg("path", { class: `chart-line ${style}`, d: this.path(values, y, one.sparse) }, parent);
    for (const i of this.alone(values, one.sparse)) {
      if (y.log && values[i] <= 0) continue;
      svg("circle", { class: `chart-point ${style}`, cx: this.x(this.data.x[i]), cy: y(values[i]), r: 2 }, parent);
    }
  }

  /** Places of values that no line reaches, since their neighbors are gaps. */
  alone(values, sparse) {
    const there = values.map((value) => value !== null && Number.isFinite(value));
    if (sparse) return there.filter(Boolean).length === 1 ? [there.indexOf(true)] : [];
    return values.flatMap((_, i) => (there[i] && !there[i - 1] && !there[i + 1] ? [i] : []));
  }

  path(values, y, sparse = false) {
    let d = "";
    let pen = "M";
    values.forEach((value, i) => {
      if (value === null || !Number.isFinite(value) || (y.log && value <= 0)) {
        if (!sparse) pen = "M";
        return;
      }
      d += `${pen}${this.x(this.data.x[i]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    });
    return d;
  }

  band(one, y) {
    const there = [];
    const back = [];
    this.data.x.forEach((x, i) => {
      if (one.low[i] === null || one.high[i] === null) return;
      there.push(`${this.x(x).toFixed(1)} ${y(one.high[i]).toFixed(1)}`);
      back.unshift(`${this.x(x).toFixed(1)} ${y(one.low[i]).toFixed(1)}`);
    });
    return there.length ? `M${there.join("L")}L${back.join("L")}Z` : "";
  }

  fillLegend() {
    const names = this.data.series.map((one) => one.name).join();
    if (names !== this.legendNames) {
      this.legendNames = names;
      this.legend.replaceChildren();
      this.data.series.forEach((one, place) => {
        const button = html("button", "", this.legend);
        button.type = "button";
        button.setAttribute("aria-pressed", "true");
        const sample = svg("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, button);
        svg("line", { class: `chart-line series-${(place % 6) + 1}`, x1: 0, x2: 22, y1: 4, y2: 4 }, sample);
        html("span", "", button, one.name.replaceAll("_", " "));
        html("b", "", button);
        button.addEventListener("click", () => {
          if (this.hidden.delete(one.name) === false) this.hidden.add(one.name);
          button.setAttribute("aria-pressed", String(!this.hidden.has(one.name)));
          this.paint();
        });
      });
      this.where = html("span", "quiet", this.legend);
    }
  }

  /** Show the values at index `at`, or the newest ones. */
  read(at) {
    this.at = at;
    const last = this.data.x.length - 1;
    const index = at === null ? last : Math.min(at, last);
    this.data.series.forEach((one, place) => {
      const button = this.legend.children[place];
      let value = one.values[index];
      if (at === null) value = one.values.findLast((v) => v !== null);
      button.lastChild.textContent = `${figure(value)}${one.unit ? ` ${one.unit}` : ""}`;
    });
    this.where.textContent = `${this.data.x_name || "step"} ${figure(this.data.x[index])}`;
    this.overlay.replaceChildren();
    if (at === null) return;
    const x = this.x(this.data.x[index]);
    svg("line", { class: "chart-cursor", x1: x, x2: x, y1: this.box.top, y2: this.box.bottom }, this.overlay);
    this.data.series.forEach((one, place) => {
      const y = this.scales[one.axis === "right" ? "right" : "left"];
      const value = one.values[index];
      if (this.hidden.has(one.name) || !y || value === null || value === undefined) return;
      svg("circle", { class: `chart-dot series-${(place % 6) + 1}`, cx: x, cy: y(value), r: 3.5 }, this.overlay);
    });
  }

  nearest(clientX) {
    const box = this.plot.getBoundingClientRect();
    const wanted = this.x.back(((clientX - box.left) / box.width) * this.plot.viewBox.baseVal.width);
    let best = 0;
    this.data.x.forEach((x, i) => {
      if (Math.abs(x - wanted) < Math.abs(this.data.x[best] - wanted)) best = i;
    });
    return best;
  }

  listen() {
    let from = null;
    this.plot.addEventListener("pointermove", (event) => {
      if (!this.data) return;
      const at = this.nearest(event.clientX);
      this.read(at);
      if (from !== null && from !== at) {
        const [a, b] = [this.x(this.data.x[Math.min(from, at)]), this.x(this.data.x[Math.max(from, at)])];
        svg(
          "rect",
          { class: "chart-zoom", x: a, width: b - a, y: this.box.top, height: this.box.bottom - this.box.top },
          this.overlay,
        );
      }
    });
    this.plot.addEventListener("pointerdown", (event) => {
      if (this.data && event.pointerType !== "touch") from = this.nearest(event.clientX);
    });
    addEventListener("pointerup", (event) => {
      if (from === null) return;
      const to = this.nearest(event.clientX);
      if (Math.abs(to - from) >= 2) this.show(this.data.x[Math.min(from, to)], this.data.x[Math.max(from, to)]);
      from = null;
    });
    this.plot.addEventListener("pointerleave", () => this.data && from === null && this.read(null));
    this.plot.addEventListener("dblclick", () => this.show(null));
    within(this.plot, (event) => this.key(event));
    this.plot.addEventListener("blur", () => this.data && this.read(null));
  }

  /** True for the keys that read or zoom. */
  key(event) {
    if (!this.data?.x.length || event.ctrlKey || event.metaKey || event.altKey) return false;
    const last = this.data.x.length - 1;
    const at = this.at ?? last;
    const step = event.shiftKey ? 10 : 1;
    if (event.key === "ArrowLeft") this.read(Math.max(0, at - step));
    else if (event.key === "ArrowRight") this.read(Math.min(last, at + step));
    else if (event.key === "+" || event.key === "=") this.zoomAround(at, 0.5);
    else if (event.key === "-") this.zoomAround(at, 2);
    else if (event.key === "0" || event.key === "Escape") this.show(null);
    else return false;
    const live = document.getElementById("live");
    if (live) live.textContent = this.legend.innerText.replaceAll("\n", " ");
    return true;
  }

  zoomAround(at, factor) {
    const middle = this.data.x[at];
    const half = ((this.span[1] - this.span[0]) / 2) * factor;
    const [first, last] = [this.data.x[0], this.data.x[this.data.x.length - 1]];
    const [low, high] = [Math.max(first, middle - half), Math.min(last, middle + half)];
    if (low === first && high === last) this.show(null);
    else this.show(low, high);
  }

  show(low, high) {
    this.zoom = low === null || low === high ? null : [low, high];
    this.paint();
  }

  summary() {
    const parts = this.data.series.map((one) => {
      const last = one.values.findLast((value) => value !== null);
      return `${one.name.replaceAll("_", " ")} ${figure(last)}`;
    });
    const x = this.data.x_name || "step";
    return `${this.title}. At ${x} ${figure(this.data.x[this.data.x.length - 1])}: ${parts.join(", ")}. Arrow keys read other steps.`;
  }

  fillTable() {
    if (!this.table.open || !this.data) return;
    const table = html("table", "", null);
    const caption = html("caption", "", table, this.title);
    const head = html("tr", "", html("thead", "", table));
    html("th", "n", head, this.data.x_name || "step").scope = "col";
    this.data.series.forEach((one) => (html("th", "n", head, one.name.replaceAll("_", " ")).scope = "col"));
    const body = html("tbody", "", table);
    const skip = Math.ceil(this.data.x.length / 200);
    if (skip > 1) caption.textContent += `, every ${skip}th of ${this.data.x.length} points`;
    this.data.x.forEach((x, i) => {
      if (i % skip && i !== this.data.x.length - 1) return;
      const row = html("tr", "", body);
      html("th", "n", row, figure(x)).scope = "row";
      this.data.series.forEach((one) => html("td", "n", row, figure(one.values[i])));
    });
    this.tableBody.replaceChildren(table);
  }
}

function powers(low, high) {
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p += 1) found.push(10 ** p);
  return found;
}

function scale(low, high, from, to, log) {
  const f = log ? Math.log10 : (value) => value;
  const span = f(high) - f(low) || 1;
  const place = (value) => from + ((f(value) - f(low)) / span) * (to - from);
  place.back = (pixel) => low + ((pixel - from) / (to - from)) * (high - low);
  return Object.assign(place, { low, high, log });
}
