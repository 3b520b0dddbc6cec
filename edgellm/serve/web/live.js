// The live figures: follows the server's events and draws them.

import { events } from "./events.js";
import { count, duration, percent, several } from "./format.js";
import { AGAIN, askForKey, call } from "./server.js";

const SILENCE = 6000; // ms without an event after which the connection counts as lost
const SOON = 0.2; // s
const LONGEST = 15; // s between attempts
const RATE = 5; // s that the rate is the mean of
const MOST_CELLS = 64;
const OUTCOMES = {
  stop: "ended by themselves",
  length: "at the token limit",
  context: "at the end of the context",
  deadline: "out of time",
  repetition: "began to repeat",
  confidence: "model unsure",
  cancelled: "cancelled",
  refused: "refused, server busy",
  invalid: "not possible",
  failed: "failed",
};

const find = (id) => document.getElementById(id);

/** Changes a text only where it differs: selections stay, nothing is laid out again. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Follows the events for ever. `onNews` gets snapshots, `onLost` why there are none. */
export async function follow(onNews, onLost) {
  let wait = 0; // the first attempt behind a connection that worked is at once, and nobody is told of it
  for (;;) {
    const problem = await once((snapshot) => {
      wait = 0;
      onNews(snapshot);
    }).catch((error) => error);
    if (problem?.kind === "key" && (await askForKey(problem.message))) continue;
    if (document.hidden) {
      await shown();
      continue;
    }
    if (wait || problem?.kind) onLost(problem);
    await rest(problem?.kind === "key" ? Infinity : Math.max(wait, SOON));
    wait = Math.min(Math.max(2 * wait, 1), LONGEST);
  }
}

const shown = () => new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));

/** Waits so many seconds; less when the network comes back or somebody says "again". */
function rest(seconds) {
  return new Promise((resolve) => {
    const listening = new AbortController();
    const wake = () => {
      listening.abort();
      clearTimeout(timer);
      resolve();
    };
    const timer = Number.isFinite(seconds) ? setTimeout(wake, 1000 * seconds) : 0;
    for (const name of ["online", AGAIN]) window.addEventListener(name, wake, { signal: listening.signal });
  });
}

/** One connection, to its end. It is given up when nothing comes, and while nobody sees the page. */
async function once(onNews) {
  const giving = new AbortController();
  const hide = () => document.hidden && giving.abort();
  let timer = setTimeout(() => giving.abort(), SILENCE);
  document.addEventListener("visibilitychange", hide);
  try {
    const { body } = await call("live/events", { signal: giving.signal });
    for await (const data of events(body)) {
      clearTimeout(timer);
      timer = setTimeout(() => giving.abort(), SILENCE);
      onNews(JSON.parse(data));
    }
  } finally {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", hide);
  }
}

/** Tokens a second, of the last few. */
export function rateOf(activity) {
  const last = activity.tokens_each_second.slice(-RATE);
  return last.reduce((sum, tokens) => sum + tokens, 0) / last.length;
}

/** Requests in progress, on the mean since the snapshot before; just now without one. */
function progress(activity, seconds, before) {
  if (!before || !(seconds > 0)) return activity.open;
  return Math.max(activity.open_seconds - before.open_seconds, 0) / seconds;
}

/** Draws what a snapshot says of a model; `before` is the last snapshot, or null. */
export function draw(snapshot, model, before) {
  put(find("live-model"), model.name);
  drawWorkers(model.workers);
  const hours = duration(snapshot.time - snapshot.started);
  put(find("about"), `edgellm ${snapshot.version}, up for ${hours}. A context of ${several(model.context, "token")}.`);
  if (!model.activity) return;
  const last = before?.models.find((one) => one.name === model.name)?.activity;
  put(find("open"), count(progress(model.activity, snapshot.time - before?.time, last)));
  drawActivity(model.activity, snapshot.most_waiting);
}

function drawActivity(activity, mostWaiting) {
  drawRate(activity);
  drawLatency(activity.latency);
  drawCaches(activity);
  put(find("waiting"), activity.waiting === null ? "not known" : `${activity.waiting} of at most ${count(mostWaiting)}`);
  drawOutcomes(activity.outcomes);
}

function drawRate(activity) {
  const each = activity.tokens_each_second;
  const most = Math.max(...each, 1);
  put(find("rate"), count(rateOf(activity)));
  put(find("peak"), `most: ${count(Math.max(...each))}`);
  find("spark").setAttribute("aria-label", `Tokens in each second of the last minute: ${count(Math.max(...each))} at most`);
  const bars = each.map((tokens, index) => {
    const height = tokens ? Math.max((23 * tokens) / most, 1) : 0;
    return `M${index + 0.1} 24v${-height.toFixed(2)}h.8V24z`;
  });
  const path = find("spark").firstElementChild ?? document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", bars.join(""));
  if (!path.parentNode) find("spark").append(path);
}

function drawLatency(latency) {
  put(find("latency-note"), latency.end_to_end.count ? `of the last ${several(latency.end_to_end.count, "answer")}` : "no answers yet");
  for (const row of document.querySelectorAll("[data-latency]")) {
    const { p50, p90, p99 } = latency[row.dataset.latency];
    [p50, p90, p99].forEach((seconds, index) => put(row.cells[index + 1], duration(seconds)));
  }
}

function drawCaches({ origins, stored_answers: stored, prompt_tokens: fed, cached_tokens: cached }) {
  const { cache = 0, shared = 0, generated = 0 } = origins;
  drawShare("response", cache + shared, cache + shared + generated);
  const kept = stored === null ? "" : `; ${count(stored)} stored`;
  put(find("response-note"), `${count(cache)} from the cache, ${count(shared)} shared, ${count(generated)} generated${kept}`);
  drawShare("prefix", cached, fed);
  put(find("prefix-note"), fed ? `${count(cached)} of ${count(fed)} from the prefix cache` : "no prompts yet");
}

function drawShare(name, part, whole) {
  put(find(`${name}-share`), percent(part, whole));
  find(`${name}-bar`).firstElementChild.style.width = `${whole ? (100 * part) / whole : 0}%`;
}

function drawWorkers(workers) {
  const list = find("workers");
  while (list.children.length > workers.length) list.lastElementChild.remove();
  while (list.children.length < workers.length) {
    list.append(find("worker-template").content.firstElementChild.cloneNode(true));
  }
  workers.forEach((worker, index) => drawWorker(list.children[index], worker));
}

function drawWorker(item, worker) {
  const busy = Math.max(worker.busy, 0);
  put(item.querySelector("strong"), worker.name);
  put(item.querySelector(".state"), worker.alive ? worker.backend : `${worker.backend}, not working`);
  item.classList.toggle("dead", !worker.alive);
  drawSlots(item.querySelector(".slots"), busy, worker.slots);
  const queued = worker.queued ? `, ${worker.queued} queued` : "";
  const failures = worker.failures.length ? `. Given up: ${worker.failures.join("; ")}` : "";
  const slots = `${count(busy)} of ${several(worker.slots, "slot")} busy${queued}`;
  put(item.querySelector(".note"), `${slots}, ${count(worker.cached_tokens)} tokens kept${failures}`);
}

/** A cell a slot, filled from the left; cells stand for several slots where there are too many. */
function drawSlots(row, busy, slots) {
  const cells = Math.min(slots, MOST_CELLS);
  while (row.children.length > cells) row.lastElementChild.remove();
  while (row.children.length < cells) row.append(document.createElement("i"));
  const filled = (busy * cells) / slots;
  [...row.children].forEach((cell, index) => {
    cell.style.setProperty("--full", `${Math.round(100 * Math.min(Math.max(filled - index, 0), 1))}%`);
  });
}

function drawOutcomes(outcomes) {
  const list = find("outcomes");
  const names = Object.keys(outcomes).filter((name) => outcomes[name]);
  const known = [...list.children].map((pair) => pair.dataset.name);
  if (known.join() !== names.join()) list.replaceChildren(...names.map(outcome));
  names.forEach((name, index) => put(list.children[index].lastElementChild, count(outcomes[name])));
  find("outcomes").classList.toggle("none", !names.length);
}

function outcome(name) {
  const pair = document.createElement("div");
  pair.dataset.name = name;
  const term = Object.assign(document.createElement("dt"), { textContent: OUTCOMES[name] ?? name });
  pair.append(term, document.createElement("dd"));
  return pair;
}
