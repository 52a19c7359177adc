// An item over HLS: by hls.js where there is Media Source Extensions, else by the browser itself, as in Safari on
// phones. Nothing is asked for before somebody plays, as it takes one of the server's places; and the page says so
// when it goes, so that the server gives the place to somebody else at once.

import Hls from "./vendor/hls.min.js";

export const supported = (video) => Hls.isSupported() || !!video.canPlayType("application/vnd.apple.mpegurl");

const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// A part that is being made may take a while; a server that is full says 503, and the page waits in line.
const PATIENT = {
  maxTimeToFirstByteMs: 40000, maxLoadTimeMs: 120000,
  timeoutRetry: { maxNumRetry: 4, retryDelayMs: 0, maxRetryDelayMs: 0 },
  errorRetry: {
    maxNumRetry: 6, retryDelayMs: 1000, maxRetryDelayMs: 8000,
    shouldRetry: (config, count, _isTimeout, response) => response?.code === 503 || (config && count < config.maxNumRetry
      && !(response?.code >= 400 && response.code < 500) && response?.code !== 507),
  },
};

// The hls.js at work; null where the browser does it by itself.
export function playHls(video, { address, leaving, plays, say, from = 0 }) {
  const viewer = random();
  const master = `${address}?viewer=${viewer}&plays=${encodeURIComponent(plays)}`;
  addEventListener("pagehide", () => navigator.sendBeacon(`${leaving}?viewer=${viewer}`));
  if (!Hls.isSupported()) {
    video.src = master;
    if (from) video.addEventListener("loadedmetadata", () => { video.currentTime = from; }, { once: true });
    return null;
  }
  const hls = new Hls({
    autoStartLoad: false, startPosition: from || -1, backBufferLength: 60,
    fragLoadPolicy: { default: PATIENT }, playlistLoadPolicy: { default: PATIENT }, manifestLoadPolicy: { default: PATIENT },
  });
  let revived = 0;
  hls.on(Hls.Events.ERROR, (_event, data) => {
    const code = data.response?.code;
    if (code === 503) say("The server is busy. Waiting in line…");
    if (!data.fatal) return;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && revived++ < 3) return hls.recoverMediaError();
    fetch(data.frag?.url ?? data.url ?? master).then((answer) => answer.ok ? null : answer.json()).catch(() => null)
      .then((fault) => say(fault?.detail ?? "The video broke off. Reload the page to try again."));
  });
  hls.on(Hls.Events.FRAG_BUFFERED, () => say(""));
  const start = () => hls.startLoad(video.currentTime || from || -1); // the bar may have been moved before
  video.addEventListener("play", start, { once: true });
  // The page may come back out of the browser's memory, with a session that it has left: the next part begins anew.
  hls.loadSource(master);
  hls.attachMedia(video);
  return hls;
}
