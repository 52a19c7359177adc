// Live pictures. A browser opens six connections to one server, and each MJPEG stream holds one for good:
// so the first few pictures in view are streams, and any others are snapshots, one a second.
import { TOLD_FROM, ago } from "./ago.js";

const STREAMS = 3;
const SNAPSHOT_EVERY = 1000; // milliseconds
const RETRY_AFTER = 3000;
const LOOK_EVERY = 1000; // a source that stalls is late for a second before it is started again
const STALE_AFTER = 10000;

const glass = Object.assign(document.createElement("canvas"), { width: 64, height: 36 })
  .getContext("2d", { willReadFrequently: true });

export const tiles = [...document.querySelectorAll("[data-mjpeg]")].map((box) => ({
  box, img: box.querySelector("img"), state: box.querySelector(".state"), visible: false, mode: "off", timer: 0,
}));

function tell(tile, text, stale = false) {
  tile.state.textContent = text;
  tile.box.classList.toggle("stale", stale);
  tile.box.classList.toggle("blank", !tile.img.naturalWidth); // else the browser's mark of a broken image
}

// What the server says of the camera, in the head of any answer about its snapshot; {} where it says nothing. A page
// that is told by the camera's topic says so in the tile's `condition`, and nothing is asked (camera.js).
function condition(headers) {
  const age = Number(headers.get("X-Frame-Age") ?? NaN);
  return { state: headers.get("X-Camera-State"), age };
}

async function ask(tile) {
  const head = await fetch(tile.box.dataset.snapshot, { method: "HEAD", cache: "no-store" }).catch(() => null);
  return head?.ok ? condition(head.headers) : null;
}

export function tellCondition(tile, { state, age }, live = "live") {
  if (state === "reconnecting") tell(tile, age >= 0 ? `reconnecting · ${ago(age)} ago` : "reconnecting", true);
  else if (state === "late") tell(tile, `no new picture · ${ago(age)} ago`, true);
  else if (state === "live") tell(tile, age >= TOLD_FROM ? `live · ${ago(age)} ago` : live);
}

function stop(tile) {
  clearTimeout(tile.timer);
  tile.mode = "off";
  tile.img.onload = tile.img.onerror = null;
  tile.img.removeAttribute("src"); // this, and not leaving the page, is what ends an MJPEG request
}

function stream(tile) {
  tile.mode = "stream";
  tile.img.onload = () => {
    tile.img.onload = null; // Chromium says load once, others with each picture
    tell(tile, "live");
    clearTimeout(tile.timer);
    tile.timer = setTimeout(() => watch(tile, "", 0), LOOK_EVERY);
  };
  tile.img.onerror = () => again(tile, stream);
  tile.img.src = `${tile.box.dataset.mjpeg}?${Date.now()}`;
}

// What a picture shows, to compare; "" where there is none.
function look(picture) {
  try {
    glass.drawImage(picture, 0, 0, glass.canvas.width, glass.canvas.height);
    return glass.canvas.toDataURL();
  } catch {
    return "";
  }
}

// No event tells that a stream has ended or broken off: the picture stands still, or is gone. One that has stood
// still for long is compared with the camera's latest, which differs, or cannot be had, unless the scene is still.
// While the camera itself fails, the server sends pictures that say so, and says so here too.
async function watch(tile, before, since) {
  const shown = look(tile.img);
  if (!shown) return again(tile, stream);
  const asked = tile.img.src;
  const now = tile.condition ? tile.condition() : await ask(tile);
  if (tile.img.src !== asked) return;
  if (now) tellCondition(tile, now);
  if (shown !== before) since = Date.now();
  else if (Date.now() - since > STALE_AFTER) {
    const latest = new Image();
    latest.src = `${tile.box.dataset.snapshot}?${Date.now()}`;
    const late = new Promise((_, fail) => setTimeout(fail, RETRY_AFTER));
    const there = await Promise.race([latest.decode(), late]).then(() => true, () => false);
    if (tile.img.src !== asked) return;
    if (!there) return again(tile, stream);
    if (look(latest) !== shown) return stream(tile);
    since = Date.now();
  }
  tile.timer = setTimeout(() => watch(tile, shown, since), LOOK_EVERY);
}

async function snapshots(tile) {
  tile.mode = "snapshots";
  const turn = tile.turn = {}; // one that was begun before a stop must not go on after it
  try {
    const answer = await fetch(tile.box.dataset.snapshot, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const picture = URL.createObjectURL(await answer.blob());
    const next = new Image();
    next.src = picture;
    await next.decode().finally(() => setTimeout(() => URL.revokeObjectURL(picture), 2 * SNAPSHOT_EVERY));
    if (tile.mode !== "snapshots" || tile.turn !== turn) return;
    tile.img.src = picture;
    await tile.img.decode();
    tell(tile, "live · 1 fps");
    tellCondition(tile, condition(answer.headers), "live · 1 fps");
    tile.timer = setTimeout(() => snapshots(tile), SNAPSHOT_EVERY);
  } catch {
    if (tile.mode === "snapshots" && tile.turn === turn) again(tile, snapshots);
  }
}

function again(tile, action) {
  tell(tile, "reconnecting", true);
  clearTimeout(tile.timer);
  tile.timer = setTimeout(() => action(tile), RETRY_AFTER); // `stop` clears it
}

// A tile that shows video (camera.js) needs no pictures.
export function arrange() {
  let streams = 0;
  for (const tile of tiles) {
    const away = !tile.visible || document.hidden || tile.box.classList.contains("video");
    const wanted = away ? "off" : streams++ < STREAMS ? "stream" : "snapshots";
    if (wanted === tile.mode) continue;
    stop(tile);
    if (wanted === "stream") stream(tile);
    if (wanted === "snapshots") snapshots(tile);
  }
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) tiles.find((tile) => tile.box === entry.target).visible = entry.isIntersecting;
  arrange();
});
for (const tile of tiles) watcher.observe(tile.box);
document.addEventListener("visibilitychange", arrange);
addEventListener("pagehide", () => tiles.forEach(stop));
addEventListener("pageshow", (event) => { if (event.persisted) arrange(); });
