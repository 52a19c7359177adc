// A topic by any of its ways out. Each comes again by itself and goes on where it stood: EventSource does so of its own
// (Last-Event-ID), the other two are told the cursor of the last event by `after`.
//
// `take(event, data, key)` gets each event, `say(state)` how the stream is: live, reconnecting or refused.

const AGAIN = [500, 10000]; // ms until a lost stream is opened again: first, at most
const SAID = ["gap", "reset", "retract"]; // by every topic

const base = (topic) => `/feeds/${encodeURIComponent(topic)}`;
const query = (after) => (after ? `?after=${encodeURIComponent(after)}` : "");

function parsed(text) {
  try { return JSON.parse(text); } catch { return text; }
}

// `names`: those of its events; an EventSource gives only the ones that are asked for.
function byEvents(topic, { take, say, after, names = [] }) {
  const source = new EventSource(`${base(topic)}/events${query(after)}`);
  source.onopen = () => say("live");
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? "refused" : "reconnecting");
  source.onmessage = (event) => take("message", parsed(event.data));
  for (const name of [...SAID, ...names]) source.addEventListener(name, (event) => take(name, parsed(event.data)));
  return () => source.close();
}

// A stream that has to be opened again by hand: `once` resolves when it is lost, and rejects when it is refused.
function again(once, say) {
  const ending = new AbortController();
  (async () => {
    for (let pause = AGAIN[0]; !ending.signal.aborted; pause = Math.min(2 * pause, AGAIN[1])) {
      const began = Date.now();
      try { await once(ending.signal); } catch (refused) {
        if (refused.final) { say("refused"); return; }
      }
      if (ending.signal.aborted) return;
      say("reconnecting");
      if (Date.now() - began > AGAIN[1]) pause = AGAIN[0];
      await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random() / 2)));
    }
  })();
  return () => ending.abort();
}

function byStream(topic, { take, say, after }) {
  let at = after;
  return again(async (signal) => {
    const response = await fetch(`${base(topic)}/stream${query(at)}`, { signal });
    if (!response.ok) throw Object.assign(new Error(response.status), { final: response.status < 500 });
    say("live");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const lines = (rest + read.value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) at = lineOf(line, take, at);
    }
  }, say);
}

function lineOf(text, take, at) {
  const { id, event, data, key } = JSON.parse(text);
  take(event, data, key);
  return id ?? at;
}

// `unhad`: called when no socket has ever opened, as where the server has none.
function bySocket(topic, { take, say, after, unhad }) {
  let at = after;
  let had = false;
  return again((signal) => new Promise((lost, refused) => {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws${base(topic)}/${query(at)}`);
    signal.addEventListener("abort", () => socket.close());
    socket.onmessage = (message) => { had = true; say("live"); at = lineOf(message.data, take, at); };
    socket.onclose = ({ code, reason }) => {
      if (code >= 4400 && code < 4500) return refused(Object.assign(new Error(reason), { final: true }));
      if (!had) unhad?.();
      lost();
    };
  }), say);
}

export const WAYS = { events: byEvents, stream: byStream, socket: bySocket };

// For a page that is about something else. A browser opens six connections to one server and any number of sockets: so
// by a socket, and by an event stream where there is none. Returns what ends it.
export function follow(topic, options) {
  let end = bySocket(topic, {
    ...options,
    unhad: () => { end(); end = byEvents(topic, options); },
  });
  return () => end();
}
