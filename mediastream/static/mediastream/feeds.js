// A topic, by one of its three ways out: the newest value of each key, a chart of prices, and how the stream is.
import { WAYS } from "./topic.js";
import uPlot from "./vendor/uPlot-1.6.32.esm.js";

const POINTS = 600; // of each line of the chart
const ROWS = 50;
const DELAYS = 50; // events the shown delay is the median of
const SETTLED = 500; // ms after the first event, from which on delays are measured
const NAMES = ["stored", "watched", "started"]; // of the events of `activity`
const COLOURS = ["#5cc8ff", "#ffb454", "#7ee787", "#ff8a7a", "#d2a8ff", "#f2cc60", "#79c0ff", "#ffa8cc"];

const topics = JSON.parse(document.getElementById("topics").textContent);
const at = (id) => document.getElementById(id);
const [topic, chartPlace, table] = [at("topic"), at("chart"), at("latest").tBodies[0]];
let open = null; // what ends the stream that is open
let view = null;

class View {
  constructor(kind) {
    this.kind = kind;
    this.prices = new Map(); // by symbol: [[time, price], ...]
    this.latest = new Map(); // by key, or the latest events where there are none
    this.delays = [];
    this.dropped = 0;
    this.count = 0;
    this.plot = null;
    this.drawing = false;
    table.replaceChildren();
    chartPlace.replaceChildren();
    chartPlace.hidden = !kind.chart;
    this.opened();
  }

  // A stream begins with what is known already, whose age is not its delay.
  opened() {
    this.measured = Infinity;
    this.delays = [];
    at("missed").textContent = at("delay").textContent = "";
  }

  take(event, data, key) {
    if (event === "gap") {
      this.dropped += data.dropped;
      at("missed").textContent = `${this.dropped} events left out: this page was too slow`;
      return;
    }
    if (event === "reset") { this.clear(); this.opened(); }
    if (event === "retract") return this.retract(data.key);
    if (event === "open" || event === "reset" || event === "heartbeat") return;
    this.count += 1;
    const name = key || (data && this.kind.key && data[this.kind.key]) || "";
    this.latest.delete(name || this.count);
    this.latest.set(name || this.count, data);
    if (this.latest.size > ROWS) this.latest.delete(this.latest.keys().next().value);
    if (data && typeof data.time === "number") this.measure(data);
    this.soon();
  }

  measure(data) {
    if (this.measured === Infinity) this.measured = performance.now() + SETTLED;
    if (performance.now() > this.measured) this.delays.push(Date.now() - data.time * 1000);
    if (this.delays.length > DELAYS) this.delays.shift();
    if (!this.kind.chart || typeof data.price !== "number") return;
    const line = this.prices.get(data.symbol) ?? [];
    this.prices.set(data.symbol, line);
    line.push([data.time, data.change ?? data.price]);
    if (line.length > 1 && line.at(-2)[0] >= data.time) line.pop(); // the former way out has shown it
    if (line.length > POINTS) line.shift();
  }

  // An event stream does not say what an event's key is; what it is about may be named in it.
  retract(key) {
    for (const [name, data] of this.latest) if (name === key || data?.watch?.endsWith(`/${key}/`)) this.latest.delete(name);
    this.soon();
  }

  clear() {
    this.latest.clear();
    this.prices.clear();
  }

  soon() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => { this.drawing = false; if (view === this) this.draw(); });
  }

  draw() {
    const sorted = [...this.delays].sort((a, b) => a - b);
    if (sorted.length) at("delay").textContent = `delay ${Math.max(sorted[sorted.length >> 1], 0).toFixed(0)} ms`;
    const rows = [...this.latest].reverse();
    if (this.kind.key) rows.sort(([a], [b]) => String(a).localeCompare(String(b)));
    table.replaceChildren(...rows.map(([key, data]) => row(this.kind.key ? key : "", data)));
    head(this.kind.key ? table.rows[0] : null);
    if (this.kind.chart) this.chart();
  }

  chart() {
    const symbols = [...this.prices.keys()].sort();
    const times = [...new Set([...this.prices.values()].flatMap((line) => line.map(([time]) => time)))].sort((a, b) => a - b);
    const shown = times.slice(-POINTS);
    const index = new Map(shown.map((time, place) => [time, place]));
    const lines = symbols.map((symbol) => {
      const values = new Array(shown.length).fill(null);
      for (const [time, value] of this.prices.get(symbol)) if (index.has(time)) values[index.get(time)] = value;
      return values;
    });
    if (this.plot === null || this.plot.series.length !== symbols.length + 1) this.make(symbols);
    this.plot.setData([shown, ...lines]);
  }

  make(symbols) {
    const style = getComputedStyle(document.documentElement);
    const [text, line] = [style.getPropertyValue("--quiet"), style.getPropertyValue("--line")];
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    this.plot?.destroy();
    this.plot = new uPlot({
      width: chartPlace.clientWidth, height: 360,
      series: [{}, ...symbols.map((label, place) => ({ label, stroke: COLOURS[place % COLOURS.length], width: 2, spanGaps: true }))],
      axes: [axis, { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => `${tick.toFixed(1)} %`) }],
    }, [[]], chartPlace);
  }
}

function row(key, data) {
  const line = document.createElement("tr");
  const cells = data && typeof data === "object" ? Object.entries(data).filter(([name]) => name !== "simulated") : [["", data]];
  for (const [name, value] of [...(key && !(data && Object.values(data).includes(key)) ? [["key", key]] : []), ...cells]) {
    const cell = document.createElement("td");
    cell.dataset.name = name;
    cell.textContent = name === "time" ? new Date(value * 1000).toLocaleTimeString() : String(typeof value === "object" ? JSON.stringify(value) : value);
    line.append(cell);
  }
  return line;
}

// Where all events are alike, the names of what is in them.
function head(first) {
  const names = [...(first?.cells ?? [])].map((cell) => cell.dataset.name);
  table.parentElement.tHead.rows[0].replaceChildren(...names.map((name) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    return cell;
  }));
}

function say(state) {
  at("state").textContent = state;
  at("state").dataset.state = state;
}

const base = () => `/feeds/${encodeURIComponent(topic.value)}`;

function begin() {
  open?.();
  const kind = topics.find(({ name }) => name === topic.value);
  if (!kind) { say("no topic"); return; }
  const way = document.querySelector("input[name=way]:checked").value;
  if (view?.kind !== kind) view = new View(kind);
  const shown = view;
  shown.opened();
  at("note").hidden = !kind.simulated;
  at("curl").textContent = `curl -N ${location.origin}${base()}/${way === "stream" ? "stream" : "events"}`;
  say("connecting");
  let here = true;
  const take = (event, data, key) => { if (here) shown.take(event, data, key); };
  const after = kind.key ? "" : "oldest"; // with keys a stream begins with the last of each anyway
  const end = WAYS[way](topic.value, { take, after, say: (state) => { if (here) say(state); }, names: NAMES });
  open = () => { here = false; end(); };
}

topic.addEventListener("change", begin);
at("way").addEventListener("change", begin);
addEventListener("resize", () => view?.plot?.setSize({ width: chartPlace.clientWidth, height: 360 }));
if (topics.some(({ name }) => name === "market")) topic.value = "market";
begin();
