// Jobs in the admin go on while they are looked at. The topic of jobs tells how far each is; when one begins or ends,
// the page is fetched again, and what has changed is put in its place. What somebody has ticked or typed stays. Who may
// not read the topic has the page fetched every two seconds, as long as a job is not over.
import { follow } from "./topic.js";

const CHANGING = ".field-progress, .field-reason, .field-took, .field-attempts, .field-log, .field-jobs .readonly, "
  + ".model-job.change-form .submit-row";
const EVERY = 2000; // milliseconds
const GATHER = 300; // several jobs begin at once

const item = location.pathname.match(/\/media_library\/media\/([0-9a-f-]{36})\//)?.[1];
const unfinished = () => document.querySelector("[data-job][data-state=running], [data-job][data-state=queued]");
let fetching = 0;

const rows = (page) => [...page.querySelectorAll("#result_list tbody th a")].map((link) => link.href).join();

// Others are there, or in another order.
function replaceRows(fresh) {
  const [old, news] = [document, fresh].map((page) => page.querySelector("#result_list tbody"));
  const used = old?.contains(document.activeElement) || old?.querySelector("input:checked");
  if (old && news && !used) old.replaceWith(document.adoptNode(news));
}

async function look() {
  fetching = 0;
  if (document.hidden) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (rows(fresh) !== rows(document)) return replaceRows(fresh);
  const news = fresh.querySelectorAll(CHANGING);
  document.querySelectorAll(CHANGING).forEach((cell, index) => {
    if (news[index] && cell.innerHTML !== news[index].innerHTML) cell.innerHTML = news[index].innerHTML;
  });
}

function lookSoon() {
  fetching ||= setTimeout(look, GATHER);
}

function take(event, data) {
  if (event === "reset" || event === "gap") return lookSoon();
  if (event !== "message") return;
  const shown = document.querySelector(`[data-job="${data.job}"]`);
  if (!shown || shown.dataset.state !== data.state) return lookSoon();
  shown.firstChild.nodeValue = `${data.told} `;
  const bar = shown.querySelector("progress");
  if (bar && data.percent !== null) bar.value = data.percent;
  else if (data.percent !== null) lookSoon(); // it has none yet
}

function say(state) {
  if (state === "live" && !say.live) lookSoon(); // what came between the page and the stream
  say.live = state === "live";
  if (state === "refused") setInterval(() => { if (unfinished()) lookSoon(); }, EVERY);
}

if (item || /\/jobs\/job\//.test(location.pathname)) {
  document.addEventListener("visibilitychange", lookSoon);
  follow(item ? `jobs.${item}` : "jobs", { take, say, after: "" });
}
