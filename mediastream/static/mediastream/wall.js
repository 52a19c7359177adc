// Live pictures. A browser opens six connections to one server, and each MJPEG stream holds one for good:
// so the first few pictures in view are streams, and any others are snapshots, one a second.

const STREAMS = 3;
const SNAPSHOT_EVERY = 1000; // milliseconds
const RETRY_AFTER = 3000;

const tiles = [...document.querySelectorAll("[data-mjpeg]")].map((box) => ({
  box, img: box.querySelector("img"), state: box.querySelector(".state"), visible: false, mode: "off", timer: 0,
}));

function tell(tile, text, stale = false) {
  tile.state.textContent = text;
  tile.box.classList.toggle("stale", stale);
}

function stop(tile) {
  clearTimeout(tile.timer);
  tile.mode = "off";
  tile.img.onload = tile.img.onerror = null;
  tile.img.removeAttribute("src"); // this, and not leaving the page, is what ends an MJPEG request
}

function stream(tile) {
  tile.mode = "stream";
  tile.img.onload = () => tell(tile, "live");
  tile.img.onerror = () => again(tile, () => stream(tile));
  tile.img.src = `${tile.box.dataset.mjpeg}?${Date.now()}`;
}

async function snapshots(tile) {
  tile.mode = "snapshots";
  const next = new Image();
  next.onload = () => {
    if (tile.mode !== "snapshots") return;
    tile.img.src = next.src;
    tell(tile, "live · 1 fps");
    tile.timer = setTimeout(() => snapshots(tile), SNAPSHOT_EVERY);
  };
  next.onerror = () => again(tile, () => snapshots(tile));
  next.src = `${tile.box.dataset.snapshot}?${Date.now()}`;
}

async function again(tile, action) {
  const mode = tile.mode;
  tell(tile, "reconnecting", true);
  tile.timer = setTimeout(() => { if (tile.mode === mode) action(); }, RETRY_AFTER);
}

function arrange() {
  let streams = 0;
  for (const tile of tiles) {
    const wanted = !tile.visible || document.hidden ? "off" : streams++ < STREAMS ? "stream" : "snapshots";
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
