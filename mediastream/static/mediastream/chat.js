// The room of a page. What others have written is text, and never markup: textContent alone.
import { follow } from "./topic.js";

const MOST = 100; // shown, as many as the room keeps

const room = document.querySelector(".chat");
const list = room.querySelector(".messages");
const state = room.querySelector("[role=status]");
const form = room.querySelector("form");
const fault = room.querySelector(".fault");

function line({ id, by, text, time }) {
  const item = document.createElement("li");
  item.dataset.id = id;
  const who = Object.assign(document.createElement("bdi"), { className: "by", textContent: by });
  const at = new Date(time * 1000);
  const when = Object.assign(document.createElement("time"), {
    dateTime: at.toISOString(), title: at.toLocaleString(), textContent: at.toLocaleTimeString([], { timeStyle: "short" }),
  });
  const said = Object.assign(document.createElement("bdi"), { className: "said", textContent: text });
  item.append(who, " ", when, " ", said);
  return item;
}

// In the order they were said: one that is shown again comes late.
function add(message) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.querySelector(`[data-id="${Number(message.id)}"]`)?.remove();
  const after = [...list.children].find(({ dataset }) => Number(dataset.id) > message.id);
  list.insertBefore(line(message), after ?? null);
  while (list.children.length > MOST) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function take(event, data) {
  if (event === "message") add(data);
  else if (event === "retract") list.querySelector(`[data-id="${Number(data.key)}"]`)?.remove();
  else if (event === "reset") list.replaceChildren();
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [text, button] = [form.elements.text, form.querySelector("button")];
  if (button.disabled) return;
  button.disabled = true;
  const sent = { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "application/json" } };
  const answer = await fetch(form.action, sent).catch(() => null);
  button.disabled = false;
  const refusal = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
  fault.textContent = answer?.ok ? "" : refusal.detail ?? "It was not sent: the server does not answer. Try again.";
  if (answer?.ok) text.value = "";
});

const SAID = { reconnecting: "reconnecting", refused: "closed: you may not see it any more" };

room.hidden = false;
follow(room.dataset.topic, { after: "oldest", take, say: (how) => { state.textContent = SAID[how] ?? ""; } });
