// What this browser plays, in the words that transcode/player.py knows. Pixel formats are not asked about: browsers
// say yes to H.264 High 4:4:4 by its name and then show nothing. Of video it is asked, too, whether it keeps up with
// pictures of this size and rate (W3C Media Capabilities): HEVC of 4K may be known by name and stutter all the same.

const TYPES = {
  mp4: "video/mp4", mov: "video/quicktime", webm: "video/webm", matroska: "video/x-matroska", mpegts: "video/mp2t",
  ogg: "audio/ogg", "mp3-file": "audio/mpeg", "flac-file": "audio/flac", wav: "audio/wav", adts: "audio/aac",
  h264: 'video/mp4; codecs="avc1.640028"', hevc: 'video/mp4; codecs="hvc1.1.6.L93.B0"',
  "hevc-10": 'video/mp4; codecs="hvc1.2.4.L120.B0"', vp8: 'video/webm; codecs="vp8"',
  vp9: 'video/webm; codecs="vp09.00.10.08"', av1: 'video/mp4; codecs="av01.0.04M.08"',
  aac: 'audio/mp4; codecs="mp4a.40.2"', mp3: "audio/mpeg", ac3: 'audio/mp4; codecs="ac-3"',
  eac3: 'audio/mp4; codecs="ec-3"', opus: 'audio/webm; codecs="opus"', vorbis: 'audio/webm; codecs="vorbis"',
  flac: "audio/flac", pcm: 'audio/wav; codecs="1"',
};

// Of H.264 it is not asked, as that is what the server would make of the others.
const HEAVY = ["hevc", "hevc-10", "vp8", "vp9", "av1"];
const PATIENCE = 1000; // milliseconds

async function keepsUp(word, picture) {
  const asked = navigator.mediaCapabilities?.decodingInfo({ type: "file", video: { contentType: TYPES[word], ...picture } });
  const late = new Promise((done) => { setTimeout(done, PATIENCE); });
  const found = await Promise.race([asked, late]).catch(() => null);
  return !found || (found.supported && found.smooth);
}

// `picture`: width, height, framerate and bitrate of the item's video; null if it has none, or not all is known.
export async function abilities(video, picture) {
  const known = Object.keys(TYPES).filter((word) => video.canPlayType(TYPES[word]));
  const kept = await Promise.all(known.map((word) => !picture || !HEAVY.includes(word) || keepsUp(word, picture)));
  return known.filter((_, index) => kept[index]).join(",");
}
