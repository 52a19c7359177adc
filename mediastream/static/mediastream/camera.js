// One camera's page: as pictures, one JPEG after another (wall.js), or as H.264 (livevideo.js). What was chosen is
// remembered; where a browser takes no such video, it stays with the pictures. How the camera is and how many watch it
// is told by its topic.
import { LiveVideo, playable } from "./livevideo.js";
import { follow } from "./topic.js";
import { arrange, tellCondition, tiles } from "./wall.js";

const LOOK_EVERY = 1000; // milliseconds: an age goes on though nothing is told
const CHOICE = "camera-as";

const [tile] = tiles;
const choice = document.querySelector(".choice");
const note = choice.querySelector("[role=status]");
const video = tile.box.querySelector("video");
const tell = (text, stale = false) => {
  if (tile.state.textContent !== text) tile.state.textContent = text;
  tile.box.classList.toggle("stale", stale);
};
const player = new LiveVideo(video, tile.box.dataset.video, tell, () => {
  choose("pictures");
  refuse();
});
let looking = 0;

function refuse() {
  choice.querySelector("[value=video]").disabled = true;
  note.textContent = "This browser plays no such video.";
}

function choose(what) {
  choice.querySelector(`[value=${what}]`).checked = true;
  tile.box.classList.toggle("video", what === "video");
  tell("connecting");
  clearTimeout(looking);
  arrange();
  show();
}

// What was recorded may be shown in its place (recording.js).
const away = () => !tile.box.classList.contains("video") || document.hidden || tile.box.hidden;

function show() {
  if (away()) return player.stop();
  player.start();
  clearTimeout(looking);
  looking = setTimeout(look, LOOK_EVERY);
}

let told = null; // by the topic, which says nothing again to who comes again and has missed nothing
let connected = false;
let offset = 0; // milliseconds, of the server's clock to ours

follow(`live.${tile.box.dataset.slug}`, {
  after: "",
  take: (event, data) => {
    if (event !== "message") return;
    told = data;
    offset = data.time * 1000 - Date.now();
    document.querySelector(".watching").textContent = `${data.viewers} watching`;
  },
  say: (state) => { connected = state === "live"; },
});

tile.condition = () => connected && told && { state: told.state, age: (Date.now() + offset) / 1000 - told.captured };

// The video's clock goes on while the camera stands still or fails.
function look() {
  if (away()) return;
  const now = tile.condition();
  if (now && player.shows) tellCondition(tile, now);
  clearTimeout(looking);
  looking = setTimeout(look, LOOK_EVERY);
}

function remembered() {
  try { return localStorage.getItem(CHOICE); } catch { return null; } // where cookies are blocked, storage is too
}

choice.addEventListener("change", ({ target }) => {
  try { localStorage.setItem(CHOICE, target.value); } catch { /* it is chosen for this page only */ }
  choose(target.value);
});
document.addEventListener("visibilitychange", show);
tile.box.addEventListener("shown", show);
addEventListener("pagehide", () => player.stop());
addEventListener("pageshow", (event) => { if (event.persisted) show(); });

choice.hidden = false;
if (!playable) refuse();
if (playable && remembered() === "video") choose("video");
