// A camera's low-latency H.264 in a <video>, by Media Source Extensions. The stream begins with a keyframe that may be
// two seconds old: playing starts there, and catches up with the camera, a little faster than time.

const Source = self.ManagedMediaSource ?? self.MediaSource; // the first is what iPhones have
const PLAIN = 'video/mp4; codecs="avc1.64001F"';
const RETRY = [500, 8000]; // milliseconds until the first try to connect again, and at most
const SILENT = 5000; // milliseconds without a byte: the server sends several pictures a second
const FAR = 2; // seconds behind the camera from which on it jumps
const BEHIND = [0.3, 0.6]; // seconds: it hurries from the second on, until the first
const HURRY = 1.2;
const KEPT = 10; // seconds kept of what was played

export const playable = Boolean(Source?.isTypeSupported(PLAIN));

class Unplayable extends Error {}

export class LiveVideo {
  // `tell(text, stale)`: how it is; `unplayable`: called once where the browser takes no such video after all.
  constructor(video, address, tell, unplayable) {
    Object.assign(this, { video, address, tell, unplayable, pause: RETRY[0], running: null });
    video.disableRemotePlayback = true; // Safari wants it beside a ManagedMediaSource
  }

  get shows() {
    return Boolean(this.running?.shows);
  }

  start() {
    if (this.running) return;
    this.pause = RETRY[0];
    this.run();
  }

  stop() {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
    this.video.removeAttribute("src");
    this.video.load();
  }

  async run() {
    const run = this.running = new AbortController();
    let why = "reconnecting";
    try {
      await this.play(run);
    } catch (fault) {
      if (run.signal.aborted && run.signal.reason !== SILENT) return;
      if (fault instanceof Unplayable) return this.unplayable();
      why = fault.told ?? why;
    }
    run.abort();
    run.shows = false;
    if (this.running !== run) return;
    this.tell(why, true);
    this.timer = setTimeout(() => this.run(), this.pause * (0.7 + 0.6 * Math.random()));
    this.pause = Math.min(2 * this.pause, RETRY[1]);
  }

  // One connection, until it ends.
  async play(run) {
    const answer = await fetch(this.address, { signal: run.signal, cache: "no-store" });
    if (!answer.ok) throw Object.assign(new Error(), { told: (await answer.json().catch(() => null))?.detail });
    const type = answer.headers.get("Content-Type");
    if (!Source.isTypeSupported(type)) throw new Unplayable(type);
    const source = new Source();
    const url = URL.createObjectURL(source);
    run.signal.addEventListener("abort", () => URL.revokeObjectURL(url));
    this.video.src = url;
    await once(source, "sourceopen", run.signal);
    const buffer = source.addSourceBuffer(type);
    const reader = answer.body.getReader();
    for (;;) {
      const silent = setTimeout(() => run.abort(SILENT), SILENT);
      const { value, done } = await reader.read().finally(() => clearTimeout(silent));
      if (done) return;
      buffer.appendBuffer(value);
      await once(buffer, "updateend", run.signal);
      if (this.video.error) throw this.video.error;
      await this.follow(buffer, run);
    }
  }

  // Keep near the newest picture, and let go of what was played.
  async follow(buffer, run) {
    const { video } = this;
    const ranges = buffer.buffered;
    if (!ranges.length) return;
    const edge = ranges.end(ranges.length - 1);
    const newest = ranges.start(ranges.length - 1); // after pictures were skipped there are several
    if (!run.shows) {
      run.shows = true;
      this.pause = RETRY[0];
      video.currentTime = ranges.start(0);
      video.play().catch(() => { video.controls = true; }); // a browser that lets nothing play by itself
    } else if (edge - video.currentTime > FAR || video.currentTime < newest) {
      video.currentTime = Math.max(newest, edge - BEHIND[0]);
    }
    const behind = edge - video.currentTime;
    if (behind > BEHIND[1]) video.playbackRate = HURRY;
    else if (behind < BEHIND[0]) video.playbackRate = 1;
    const old = video.currentTime - KEPT;
    if (ranges.start(0) < old - KEPT) {
      buffer.remove(0, old);
      await once(buffer, "updateend", run.signal);
    }
  }
}

function once(target, name, signal) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
