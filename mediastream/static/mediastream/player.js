// The watch page's player. The server decides, by what the browser says it plays: the file as it is, with the browser's
// own controls, or HLS, with ours, as the server has pictures for the bar. A browser without HLS gets a stream that has
// neither length nor ranges: there the position is start + currentTime, and a seek asks for the stream anew.

import { abilities } from "./abilities.js";
import { clock } from "./clock.js";
import { playHls, supported } from "./hlsplayer.js";

const box = document.getElementById("player");
const video = box.querySelector("video");
const message = box.querySelector(".message");
const controls = box.querySelector(".controls");
const seek = controls.querySelector("input");
const captions = controls.querySelector("[data-do=text]");
const duration = Number(box.dataset.duration) || 0;

let start = 0; // seconds into the item at which the present stream begins
let seeking = false; // the handle is being dragged
let direct = false; // over HLS: a seek is the browser's
let retries = 0;
let plays = ""; // what the browser plays
let broken = false; // the file failed although the browser plays its like: nothing of it is copied into a stream
let loaded = false; // a stream takes one of the server's places, so none is asked for before somebody plays

const position = () => start + (video.currentTime || 0);
const say = (text) => { message.textContent = text; message.hidden = !text; };

function playFile() {
  video.controls = true;
  video.src = box.dataset.file;
  // The type can promise more than the decoder keeps: then the stream takes over where it stopped.
  video.addEventListener("error", () => {
    broken = true;
    convert(video.currentTime, !video.paused);
  }, { once: true });
}

// Over HLS, or as a stream where there is none.
function convert(from, playing) {
  if (!supported(video)) return playStream(from, playing);
  video.removeAttribute("src");
  document.getElementById("how").textContent = "Transcoded";
  direct = Boolean(playHls(video, { address: box.dataset.hls, leaving: box.dataset.leaving, plays, say, from }));
  if (direct) takeOver();
  else video.controls = true;
  if (playing) video.play().catch(() => {});
}

function subtitles(texts) {
  for (const { src, language } of texts) {
    const track = Object.assign(document.createElement("track"), { kind: "subtitles", src, srclang: language, label: language || "Text" });
    video.append(track);
  }
}

// What is known of the picture, if all is that MediaCapabilities wants to know.
function picture() {
  const [width, height, framerate, size] = ["width", "height", "rate", "size"].map((key) => Number(box.dataset[key]));
  const bitrate = Math.round((8 * size) / duration);
  return width && height && framerate && bitrate && isFinite(bitrate) ? { width, height, framerate, bitrate } : null;
}

async function begin() {
  plays = await abilities(video, picture());
  const answer = await fetch(`${box.dataset.playback}?plays=${encodeURIComponent(plays)}`).catch(() => null);
  const decision = answer?.ok ? await answer.json() : null;
  if (!decision) return box.dataset.type && video.canPlayType(box.dataset.type) ? playFile() : convert(0, false);
  document.getElementById("reasons").textContent = (decision.native ? decision.left : decision.reasons).join(" · ");
  if (!decision.native) return convert(0, false);
  subtitles(decision.subtitles);
  playFile();
}

// From here on the controls are ours.
function takeOver() {
  video.controls = false;
  box.tabIndex = 0;
  controls.hidden = false;
  for (const event of ["timeupdate", "play", "pause", "ended"]) video.addEventListener(event, show);
  for (const event of ["addtrack", "removetrack", "change"]) video.textTracks.addEventListener(event, show);
  show();
}

function playStream(from, playing) {
  video.removeAttribute("src");
  takeOver();
  document.getElementById("how").textContent = "Transcoded";
  video.addEventListener("error", () => { if (loaded) resume(); });
  video.addEventListener("ended", ended);
  video.addEventListener("playing", () => { retries = 0; say(""); });
  video.addEventListener("waiting", () => say("Loading…"));
  restart(from, playing);
}

function restart(from, playing = !video.paused) {
  const there = Math.min(Math.max(from, 0), Math.max(duration - 0.5, 0));
  if (direct) {
    video.currentTime = there;
    return show();
  }
  start = there;
  if (loaded || playing) {
    loaded = true;
    video.src = address();
  }
  if (playing) video.play().catch(() => {});
  show();
}

function address() {
  const query = new URLSearchParams({ start: start.toFixed(3), plays });
  if (broken) query.set("profile", "720p");
  return `${box.dataset.stream}?${query}`;
}

// The server ends a stream nobody reads, and says why when it cannot make one. Ask it, then go on, wait or tell.
async function resume() {
  start = position();
  say("Reconnecting…");
  const answer = await fetch(address()).catch(() => null);
  if (answer?.ok) answer.body.cancel();
  const fault = answer && !answer.ok ? await answer.json().catch(() => null) : null;
  if (fault) say(fault.detail);
  const busy = answer?.status === 503;
  if (busy || ((!answer || answer.ok) && retries++ < 3)) {
    const pause = busy ? Number(answer.headers.get("Retry-After")) || 5 : retries;
    setTimeout(() => restart(start, true), 1000 * pause);
  } else if (!fault) say("The stream broke off. Press play to try again.");
}

function ended() {
  if (duration && position() < duration - 1.5) resume();
}

function show() {
  if (!seeking) seek.value = position();
  controls.querySelector("[data-show=position]").textContent = clock(seeking ? Number(seek.value) : position());
  controls.querySelector("[data-do=play]").setAttribute("aria-pressed", !video.paused);
  controls.querySelector("[data-do=mute]").setAttribute("aria-pressed", video.muted);
  const track = texts().find(({ mode }) => mode === "showing");
  captions.hidden = !texts().length;
  captions.setAttribute("aria-pressed", Boolean(track));
  captions.title = track ? track.label || track.language : "off";
}

const texts = () => [...video.textTracks].filter(({ kind }) => kind === "subtitles" || kind === "captions");

// Off, then each of them in turn.
function nextText() {
  const all = texts();
  const now = all.findIndex(({ mode }) => mode === "showing");
  all.forEach((track, index) => { track.mode = index === now + 1 ? "showing" : "disabled"; });
}

function toggle() {
  if (!video.paused) return video.pause();
  if (direct) return video.play().catch(() => {});
  if (!loaded || video.error) { retries = 0; return restart(position(), true); }
  if (video.ended) return restart(0, true);
  return video.play().catch(() => {});
}

seek.addEventListener("input", () => { seeking = true; show(); });
seek.addEventListener("change", () => { seeking = false; restart(Number(seek.value)); });
controls.addEventListener("click", (event) => {
  const what = event.target.closest("button")?.dataset.do;
  if (what === "play") toggle();
  if (what === "text") nextText();
  if (what === "mute") { video.muted = !video.muted; show(); }
  if (what === "full") document.fullscreenElement ? document.exitFullscreen() : box.requestFullscreen();
});
video.addEventListener("click", () => { if (!video.controls) toggle(); });
box.addEventListener("keydown", (event) => {
  if (video.controls || event.target === seek) return;
  const step = { ArrowLeft: -10, ArrowRight: 10 }[event.key];
  if (event.key === " ") toggle();
  else if (step) restart(position() + step);
  else return;
  event.preventDefault();
});

// In the way of a picture that plays, the controls go after a while without a movement.
let idle = 0;
for (const event of ["pointermove", "keydown", "pointerdown"]) {
  box.addEventListener(event, () => {
    box.classList.remove("idle");
    clearTimeout(idle);
    idle = setTimeout(() => box.classList.toggle("idle", !video.paused), 3000);
  });
}

begin();
