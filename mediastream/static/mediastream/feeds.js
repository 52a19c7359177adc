// A topic, by one of its three ways out: the newest value of each key, a chart of prices, and how the stream is.
//
// Each way comes again by itself and goes on where it stood: EventSource does so of its own (Last-Event-ID), the
// other two are told the cursor of the last event by `after`.
import uPlot from "./vendor/uPlot-1.6.32.esm.js";

const POINTS = 600; // of each line of the chart
const ROWS = 50;
const DELAYS = 50; // events the shown delay is the median of
const SETTLED = 500; // ms after the first event, from which on delays are measured
const AGAIN = [500, 10000]; // ms until a lost stream is opened again: first, at most
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
    if (sorted.length) at("delay").textContent = `${Math.max(sorted[sorted.length >> 1], 0).toFixed(0)} ms`;
    const rows = [...this.latest].reverse();
    if (this.kind.key) rows.sort(([a], [b]) => String(a).localeCompare(String(b)));
    table.replaceChildren(...rows.map(([key, data]) => row(this.kind.key ? key : "", data)));
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

function say(state) {
  at("state").textContent = state;
  at("state").dataset.state = state;
}

const base = () => `/feeds/${encodeURIComponent(topic.value)}`;

function byEvents(take) {
  const source = new EventSource(`${base()}/events`);
  source.onopen = () => say("live");
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? "refused" : "reconnecting");
  source.onmessage = (event) => take("message", parsed(event.data));
  for (const name of ["gap", "reset"]) source.addEventListener(name, (event) => take(name, parsed(event.data)));
  return () => source.close();
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return text; }
}

// A stream that has to be opened again by hand: `once` resolves when it is lost, and rejects when it is refused.
function again(once) {
  const ending = new AbortController();
  (async () => {
    for (let pause = AGAIN[0]; !ending.signal.aborted; pause = Math.min(2 * pause, AGAIN[1])) {
      const began = Date.now();
      try { await once(ending.signal); } catch (refused) {
        if (refused.final) { say("refused"); return; }
      }
      if (ending.signal.aborted) return;
      say("reconnecting");
      if (Date.now() - began > AGAIN[1]) pause = AGAIN[0];
      await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random() / 2)));
    }
  })();
  return () => ending.abort();
}

function byStream(take) {
  let after = "";
  return again(async (signal) => {
    const response = await fetch(`${base()}/stream${after && `?after=${after}`}`, { signal });
    if (!response.ok) throw Object.assign(new Error(response.status), { final: response.status < 500 });
    say("live");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const lines = (rest + read.value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) after = lineOf(line, take, after);
    }
  });
}

function lineOf(text, take, after) {
  const { id, event, data, key } = JSON.parse(text);
  take(event, data, key);
  return id ?? after;
}

function bySocket(take) {
  let after = "";
  return again((signal) => new Promise((lost, refused) => {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws${base()}/${after && `?after=${after}`}`);
    signal.addEventListener("abort", () => socket.close());
    socket.onmessage = (message) => { say("live"); after = lineOf(message.data, take, after); };
    socket.onclose = ({ code, reason }) => code >= 4400 && code < 4500 ? refused(Object.assign(new Error(reason), { final: true })) : lost();
  }));
}

const WAYS = { events: byEvents, stream: byStream, socket: bySocket };

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
  const end = WAYS[way]((event, data, key) => { if (here) shown.take(event, data, key); });
  open = () => { here = false; end(); };
}

topic.addEventListener("change", begin);
at("way").addEventListener("change", begin);
addEventListener("resize", () => view?.plot?.setSize({ width: chartPlace.clientWidth, height: 360 }));
if (topics.some(({ name }) => name === "market")) topic.value = "market";
begin();
