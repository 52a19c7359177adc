// What this browser plays, in the words that transcode/player.py knows. Pixel formats are not asked about: browsers
// say yes to H.264 High 4:4:4 by its name and then show nothing.

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

export const abilities = (video) => Object.keys(TYPES).filter((word) => video.canPlayType(TYPES[word])).join(",");
