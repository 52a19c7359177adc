// The wall: all cameras over one socket; where no socket can be had, as MJPEG and snapshots (wall.js).
import { WallSocket } from "./wallsocket.js";

const boxes = [...document.querySelectorAll("[data-slug]")];

function tileOf(box) {
  const state = box.querySelector(".state");
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", box.querySelector("img").alt);
  box.append(canvas);
  box.classList.add("socket");
  const tell = (text, stale = false) => {
    if (state.textContent !== text) state.textContent = text;
    box.classList.toggle("stale", stale);
  };
  return { slug: box.dataset.slug, box, canvas, tell, visible: false, state: "", captured: 0, broken: false };
}

function withoutSocket() {
  for (const box of boxes) {
    box.classList.remove("socket");
    box.querySelector("canvas").remove();
  }
  import("./wall.js");
}

const wall = new WallSocket(boxes.map(tileOf), withoutSocket);
addEventListener("pagehide", () => wall.end());
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// F fills the screen with the tile that has the focus or the pointer; arrow keys go from tile to tile.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const cards = boxes.map((box) => box.closest("a"));
  const at = cards.findIndex((card) => card === document.activeElement || card.matches(":hover"));
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step && cards.length) {
    cards[(at + step + cards.length) % cards.length].focus();
    event.preventDefault();
  } else if (event.key === "f" && (at >= 0 || document.fullscreenElement)) {
    document.fullscreenElement ? document.exitFullscreen() : boxes[at].requestFullscreen();
  }
});
