// Small pictures over a player's bar: the cues of thumbnails.vtt, each a rectangle of a sprite (#xywh of W3C Media
// Fragments). They are fetched when the pointer first comes to the bar; an item without them shows the time alone.

import { clock } from "./clock.js";

const box = document.getElementById("player");
const bar = box?.querySelector(".controls input[type=range]");

const seconds = (text) => text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);

function cues(text, base) {
  const form = /^(\S+) --> (\S+)\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$/gm;
  return [...text.matchAll(form)].map(([, start, end, address, ...area]) => {
    const [x, y, width, height] = area.map(Number);
    return { start: seconds(start), end: seconds(end), address: new URL(address, base).href, x, y, width, height };
  });
}

let loading;
async function load() {
  const address = new URL("thumbnails.vtt", new URL(box.dataset.file, location.href));
  const answer = await fetch(address).catch(() => null);
  return answer?.ok ? cues(await answer.text(), address) : [];
}

const shown = document.createElement("div");
shown.className = "trickplay";
shown.hidden = true;
const picture = shown.appendChild(document.createElement("div"));
const time = shown.appendChild(document.createElement("span"));
let at = null; // seconds under the pointer, null when it is elsewhere

function draw(all) {
  shown.hidden = at === null;
  if (at === null) return;
  time.textContent = clock(at);
  const cue = all.findLast(({ start }) => start <= at);
  picture.hidden = !cue;
  if (!cue) return;
  Object.assign(picture.style, {
    width: `${cue.width}px`, height: `${cue.height}px`,
    background: `url("${cue.address}") -${cue.x}px -${cue.y}px`,
  });
}

async function move(event) {
  const area = bar.getBoundingClientRect();
  const share = Math.min(Math.max((event.clientX - area.left) / area.width, 0), 1);
  at = share * Number(bar.max);
  // The middle of it over the pointer, but not past the player's edges.
  const place = event.clientX - box.getBoundingClientRect().left;
  shown.style.left = `clamp(5.5rem, ${place}px, calc(100% - 5.5rem))`;
  loading ??= load();
  draw(await loading);
}

if (bar && Number(bar.max) > 0) {
  box.append(shown);
  bar.addEventListener("pointermove", move);
  for (const event of ["pointerleave", "pointercancel"]) {
    bar.addEventListener(event, () => { at = null; shown.hidden = true; });
  }
}
