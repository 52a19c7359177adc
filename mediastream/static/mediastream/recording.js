// What is recorded of one camera: a bar of the last hours, any time of which plays in a <video> in the place of the
// live picture. Times are Unix seconds. A stretch plays as one file of an hour at most, made by the server; within it a
// picture's position is its distance in real time from the first.

const REFRESH = 10000; // milliseconds
const RECENT = 900; // seconds that are looked at again
const AT_ONCE = 3600; // seconds of one file
const FAULTS = 3; // in a row, until it is given up
const SAVED = 60; // seconds offered to be saved, from where playing began

const section = document.querySelector(".recording");
const box = document.querySelector(".player.past");
const live = document.querySelector(".player.live");
const video = box.querySelector("video");
const bar = section.querySelector("input[type=range]");
const hours = section.querySelector("select");
const form = section.querySelector("form");
const show = (name, text) => {
  const place = section.querySelector(`[data-show=${name}]`);
  if (place.textContent !== text) place.textContent = text;
};

const SAID = {
  recording: "Recording", elsewhere: "Recording", off: "Recording is off",
  waiting: "Not recording: the camera gives no picture", no_room: "Not recording: the server's disk is full",
  failed: "Not recording: it failed",
};

let stretches = [];
let now = 0;
let past = null; // { start, to }: of the file that plays
let asked = 0; // counts what was asked to play: a late answer to a former wish is dropped
let dragging = false;
let faults = 0; // in a row

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = (time) => day.format(new Date(time * 1000));
const start = () => now - hours.value * 3600;
const position = () => (past ? past.start + video.currentTime : now);

// `recent`: only what may have come of late; what was known before stays.
async function refresh(recent = false) {
  const to = Math.ceil(Date.now() / 1000);
  const wanted = hours.value;
  const first = to - wanted * 3600;
  const since = recent ? Math.max(first, now - RECENT) : first;
  const spans = []; // a request lists a day at most
  for (let from = since; from < to; from += 86400) spans.push([from, Math.min(from + 86400, to)]);
  const answers = await Promise.all(spans.map(async ([from, end]) => {
    const answer = await fetch(`${section.dataset.list}?from=${from}&to=${end}`, { cache: "no-store" }).catch(() => null);
    return answer?.ok ? answer.json() : null;
  }));
  if (answers.includes(null) || wanted !== hours.value) return;
  now = to;
  const known = stretches.map(({ start, end }) => ({ start, end: Math.min(end, since) }));
  const kept = known.filter(({ start, end }) => recent && end > start && end > first);
  stretches = [];
  for (const stretch of [...kept, ...answers.flatMap((answer) => answer.stretches)]) {
    const last = stretches.at(-1);
    if (last && stretch.start - last.end < 2) last.end = Math.max(last.end, stretch.end);
    else stretches.push(stretch);
  }
  const { state, detail } = answers.at(-1);
  show("state", (SAID[state] ?? state) + (detail ? `: ${detail}` : ""));
  section.hidden = state === "off" && !stretches.length && !past;
  draw();
}

function draw() {
  const length = hours.value * 3600;
  const part = (seconds) => `${(100 * Math.min(Math.max(seconds, 0), length)) / length}%`;
  section.querySelector(".stretches").replaceChildren(...stretches.map((stretch) => {
    const mark = document.createElement("span");
    mark.style.left = part(stretch.start - start());
    mark.style.right = part(now - stretch.end);
    return mark;
  }));
  bar.max = length;
  show("start", clock(start()));
  show("end", "now");
  follow();
}

function follow() {
  if (!dragging) bar.value = position() - start();
  const time = dragging ? start() + Number(bar.value) : position();
  const text = past || dragging ? clock(time) : "live";
  show("position", text);
  bar.setAttribute("aria-valuetext", text);
}

// Play what was recorded at this time, or next after it; live, if nothing was.
async function playAt(time) {
  const stretch = stretches.find(({ end }) => end > time + 0.5);
  if (!stretch) return backToLive();
  const turn = ++asked;
  const from = Math.max(time, stretch.start);
  const to = Math.min(stretch.end, from + AT_ONCE);
  const address = `${section.dataset.span}?from=${from.toFixed(3)}&to=${to.toFixed(3)}`;
  const head = await fetch(address, { method: "HEAD" }).catch(() => null); // it begins with a whole segment, earlier
  if (turn !== asked) return;
  if (!head?.ok) { // its time was over, or the right to it has gone
    await refresh();
    return show("position", "This time is not to be had.");
  }
  past = { start: Number(head.headers.get("X-Timestamp")), to };
  video.src = address;
  video.currentTime = Math.max(from - past.start, 0);
  swap(true);
  video.play().catch(() => {});
  if (form && !form.from.value) fill(from, Math.min(from + SAVED, stretch.end));
}

function backToLive() {
  asked++;
  past = null;
  video.removeAttribute("src");
  video.load();
  swap(false);
}

function swap(recorded) {
  box.hidden = !recorded;
  live.hidden = recorded; // what is not in view is not streamed (wall.js)
  section.querySelector("[data-do=live]").disabled = !recorded;
  live.dispatchEvent(new Event("shown")); // or not (camera.js)
  follow();
}

const local = (time) => new Date((time - 60 * new Date(time * 1000).getTimezoneOffset()) * 1000).toISOString().slice(0, 19);

function fill(from, to) {
  form.from.value = local(Math.floor(from));
  form.to.value = local(Math.ceil(to));
}

async function save(event) {
  event.preventDefault();
  const data = new FormData(form);
  for (const name of ["from", "to"]) data.set(name, new Date(form[name].value).getTime() / 1000);
  const button = form.querySelector("button:not([type])");
  button.disabled = true;
  show("saved", "Saving…");
  const options = { method: "POST", body: data, headers: { Accept: "application/json" } };
  const answer = await fetch(form.action, options).catch(() => null);
  const said = await answer?.json().catch(() => null);
  button.disabled = false;
  show("saved", answer?.ok ? "" : said?.detail ?? "It could not be saved; try again.");
  if (!answer?.ok) return;
  const link = Object.assign(document.createElement("a"), { href: said.watch, textContent: `Saved: ${said.title}` });
  section.querySelector("[data-show=saved]").replaceChildren(link);
}

bar.addEventListener("input", () => { dragging = true; follow(); });
bar.addEventListener("change", () => { dragging = false; playAt(start() + Number(bar.value)); });
hours.addEventListener("change", () => refresh());
section.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.do === "live") backToLive();
  if (button?.dataset.set) form[button.dataset.set].value = local(Math.round(position()));
});
form?.addEventListener("submit", save);
video.addEventListener("timeupdate", follow);
video.addEventListener("ended", () => { if (past) playAt(past.to); });
video.addEventListener("playing", () => { faults = 0; });
video.addEventListener("error", () => {
  if (!past) return;
  if (faults++ < FAULTS) playAt(position() + 1);
  else show("position", "This browser cannot play it. Save the span, and the library plays it transcoded.");
});
setInterval(() => { if (!document.hidden) refresh(true); }, REFRESH);
refresh();
