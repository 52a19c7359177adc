// The pictures of any number of cameras over one WebSocket (live/wall.py says what goes over it). A browser opens
// six connections to one server, so a page of MJPEG pictures would stop at six. Only tiles in view are asked for,
// in the size they have here.

import { TOLD_FROM, ago } from "./ago.js";

const RETRY = [500, 8000]; // milliseconds until the first try to connect again, and at most
const SILENT_AFTER = 4000; // the server says something each second
const LOST_AFTER = 12000; // a connection may be gone without a word, behind a router
const FPS = 10; // of a tile; one that fills the screen gets all there are

export class WallSocket {
  // `tiles`: { slug, box, canvas, tell(text, stale) }; `lost`: called when no socket can be had at all.
  constructor(tiles, lost) {
    this.tiles = new Map(tiles.map((tile) => [tile.slug, tile]));
    this.byNumber = new Map();
    this.lost = lost;
    this.pause = RETRY[0];
    this.opened = false;
    this.heard = 0; // when the server last said anything
    this.offset = 0; // milliseconds, of the server's clock to ours
    this.watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) this.tiles.get(entry.target.dataset.slug).visible = entry.isIntersecting;
      this.ask();
    }, { rootMargin: "100px" });
    for (const tile of tiles) this.watcher.observe(tile.box);
    this.timer = setInterval(() => this.look(), 500);
    addEventListener("resize", () => this.ask());
    document.addEventListener("visibilitychange", () => this.ask());
    document.addEventListener("fullscreenchange", () => this.ask());
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws/live/`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.opened = true;
      this.pause = RETRY[0];
      this.asked = "";
      this.heard = Date.now();
      this.ask();
    };
    this.socket.onmessage = ({ data }) => {
      this.heard = Date.now();
      typeof data === "string" ? this.hear(JSON.parse(data)) : this.show(data);
    };
    this.socket.onclose = () => this.again();
  }

  again() {
    if (this.left) return;
    if (!this.opened && this.pause >= RETRY[1]) return this.end(this.lost);
    for (const tile of this.tiles.values()) if (tile.visible) tile.tell("reconnecting", true);
    setTimeout(() => this.connect(), this.pause * (0.7 + 0.6 * Math.random()));
    this.pause = Math.min(2 * this.pause, RETRY[1]);
  }

  end(then) {
    this.left = true;
    clearInterval(this.timer);
    this.watcher.disconnect();
    this.socket.close();
    then?.();
  }

  // Tell the server what is in view, if that has changed.
  ask() {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const show = {};
    for (const [slug, tile] of this.tiles) {
      if (!tile.visible || document.hidden) continue;
      const whole = document.fullscreenElement?.contains(tile.box);
      show[slug] = whole ? {} : { fps: FPS, width: Math.max(Math.round(tile.box.clientWidth * devicePixelRatio), 1) };
    }
    const text = JSON.stringify({ show });
    if (text !== this.asked) this.socket.send(this.asked = text);
  }

  hear(message) {
    if (message.time) this.offset = message.time * 1000 - Date.now();
    const tile = this.tiles.get(message.camera);
    if (!tile) return;
    this.byNumber.set(message.number, tile);
    tile.state = message.state;
    if (message.state === "refused") tile.tell(message.detail, true);
    else if (tile.captured) this.tellAge(tile);
    else if (message.state === "failed") tile.tell("reconnecting", true);
    else if (message.state === "connecting") tile.tell("connecting");
  }

  async show(data) {
    const view = new DataView(data);
    const tile = this.byNumber.get(view.getUint16(0));
    if (!tile || tile.decoding) return; // a slow machine passes pictures over
    tile.decoding = true;
    try {
      const picture = await createImageBitmap(new Blob([new Uint8Array(data, 10)], { type: "image/jpeg" }));
      const { canvas } = tile;
      if (canvas.width !== picture.width || canvas.height !== picture.height) {
        canvas.width = picture.width;
        canvas.height = picture.height;
      }
      canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      tile.captured = view.getFloat64(2) * 1000;
      tile.broken = false;
    } catch {
      tile.broken = true;
    } finally {
      tile.decoding = false;
    }
  }

  // A picture that no longer changes looks live: so its age is told, and it is grey once the server says that the
  // next is overdue, or says nothing at all.
  look() {
    if (!this.heard) return;
    const silent = Date.now() - this.heard;
    const open = this.socket.readyState === WebSocket.OPEN;
    if (open && silent > LOST_AFTER) this.socket.close();
    for (const tile of this.tiles.values()) {
      if (!tile.visible || tile.state === "refused") continue;
      if (!open || silent > SILENT_AFTER) tile.tell("reconnecting", true);
      else if (tile.broken) tile.tell("broken picture", true);
      else if (tile.captured) this.tellAge(tile);
    }
  }

  tellAge(tile) {
    const age = (Date.now() + this.offset - tile.captured) / 1000;
    if (tile.state === "failed") tile.tell(`reconnecting · ${ago(age)} ago`, true);
    else if (tile.state === "late") tile.tell(`no new picture · ${ago(age)} ago`, true);
    else if (tile.state === "live") tile.tell(age >= TOLD_FROM ? `live · ${ago(age)} ago` : "live");
  }
}
