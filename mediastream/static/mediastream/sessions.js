// The open streams, as the topic tells them once a second. Rows stay where they are, so that a button can be met.
import { follow } from "./topic.js";

const page = document.getElementById("content-main");
const body = document.querySelector("#streams tbody");
const sum = document.getElementById("sum");
const token = page.querySelector("[name=csrfmiddlewaretoken]").value;
const rows = new Map(); // by number

function size(bytes) {
  const [unit, name] = [[1e9, "GB"], [1e6, "MB"], [1e3, "KB"]].find(([unit]) => bytes >= unit) ?? [1, "B"];
  return `${(bytes / unit).toFixed(unit > 1 && bytes < 100 * unit ? 1 : 0)} ${name}`;
}

function lasting(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return (hours ? `${hours} h ` : "") + (hours || minutes ? `${minutes} min ` : "") + (hours ? "" : `${seconds % 60} s`);
}

function row(stream) {
  const line = document.createElement("tr");
  for (let count = 0; count < 7; count += 1) line.append(document.createElement("td"));
  line.cells[1].textContent = stream.kind;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: "End" });
  button.addEventListener("click", () => end(stream.number, button));
  line.cells[6].append(button);
  return line;
}

// Names may come later than the stream, as from a database that was away.
function name({ cells }, stream) {
  cells[2].textContent = stream.who || "anybody's";
  const before = cells[0].firstChild;
  if (before?.textContent === stream.title && (before.getAttribute("href") ?? "") === stream.address) return;
  const what = stream.address ? Object.assign(document.createElement("a"), { href: stream.address }) : document.createElement("span");
  what.textContent = stream.title;
  cells[0].replaceChildren(what);
  cells[6].firstChild.setAttribute("aria-label", `End ${stream.kind} of ${stream.title}`);
}

async function end(number, button) {
  button.disabled = true;
  const address = page.dataset.end.replace("/0/", `/${number}/`);
  const answer = await fetch(address, { method: "POST", headers: { "X-CSRFToken": token, Accept: "application/json" } }).catch(() => null);
  if (answer && (answer.ok || answer.status === 404)) return;
  button.disabled = false;
  sum.textContent = answer ? (await answer.json().catch(() => ({}))).detail ?? "It could not be ended." : "The server does not answer.";
}

function show({ open, kinds, rate, streams }) {
  const each = Object.entries(kinds).map(([kind, count]) => `${count} ${kind}`).join(", ");
  const more = open > streams.length ? `; the latest ${streams.length} are shown` : "";
  sum.textContent = open ? `${open} open: ${each}; ${size(rate)} a second${more}` : "Nothing is streamed now.";
  const now = new Set(streams.map(({ number }) => number));
  for (const [number, line] of rows) if (!now.has(number)) { line.remove(); rows.delete(number); }
  for (const stream of streams) {
    if (!rows.has(stream.number)) {
      rows.set(stream.number, row(stream));
      body.append(rows.get(stream.number));
    }
    const { cells } = rows.get(stream.number);
    name({ cells }, stream);
    cells[3].textContent = lasting(stream.seconds);
    cells[4].textContent = size(stream.bytes);
    cells[5].textContent = size(stream.rate);
  }
}

follow("sessions", {
  after: "",
  take: (event, data) => { if (event === "message") show(data); },
  say: (state) => { if (state !== "live") sum.textContent = state; },
});
