// The page: its form, its state, and what goes between chat and live figures.

import { Chat, announce } from "./chat.js";
import { count } from "./format.js";
import { draw, follow, rateOf } from "./live.js";
import { AGAIN } from "./server.js";

const NARROW = matchMedia("(max-width: 60rem)");
const MOST_STOPS = 4; // OpenAI's limit
const SHOWN = 8000; // ms that good news stay
const LOST = "The connection to the server is lost.";
const UNKNOWN = "The server has not told yet which models it has.";

const find = (id) => document.getElementById(id);
const message = find("message");
const chat = new Chat(showBusy, edit);
let snapshot = null;
let before = null; // the last snapshot
let lost = false;

/** The request of a text with the parameters as they are; fields that are empty are left out. */
function request(text) {
  const stops = find("stop").value.split("\n").filter(Boolean).slice(0, MOST_STOPS);
  const wanted = {
    temperature: find("temperature").valueAsNumber,
    seed: find("seed").valueAsNumber,
    max_tokens: find("most").valueAsNumber,
  };
  const given = Object.entries(wanted).filter(([, value]) => Number.isFinite(value));
  const base = { model: find("model").value, messages: [{ role: "user", content: text }] };
  return { ...base, ...Object.fromEntries(given), ...(stops.length && { stop: stops }) };
}

/** What the parameters are, while their fields are out of sight. */
function showChosen() {
  const value = (id, name) => find(id).value && `${name} ${find(id).value}`;
  const stops = find("stop").value.split("\n").filter(Boolean).length;
  const hot = find("temperature").valueAsNumber > 0;
  const parts = [
    find("model").value,
    hot ? value("temperature", "temperature") : "greedy",
    value("seed", "seed"),
    value("most", "at most"),
    stops > 0 && `stops: ${stops}`,
  ];
  find("chosen").textContent = parts.filter(Boolean).join(" · ");
  if (snapshot) show(snapshot);
}

/** A message that the server refused, to be changed. */
function edit(text) {
  message.value = text;
  message.focus();
}

function showBusy(busy) {
  find("send").textContent = busy ? "Stop" : "Send";
  find("send").classList.toggle("stopping", busy);
}

function submit() {
  if (chat.busy) {
    chat.stop();
    return;
  }
  const text = message.value;
  if (!text.trim()) {
    message.focus();
    return;
  }
  if (!find("model").value) {
    notify(`${UNKNOWN} The message stays in its field.`, "Try now", again);
    return;
  }
  if (!find("composer").checkValidity()) {
    find("parameters").open = true;
    find("composer").reportValidity();
    return;
  }
  message.value = "";
  message.focus();
  chat.send(request(text));
}

function onKey(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!chat.busy) submit();
  }
}

/** Models to choose from; the choice stays where the model does. */
function offer(names) {
  const select = find("model");
  const offered = [...select.options].map((option) => option.value);
  if (offered.join("\n") === names.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(chosen)) select.value = chosen;
  showChosen();
}

function notify(words, action, onAction) {
  find("banner-text").textContent = words;
  find("banner").hidden = false;
  find("banner-action").textContent = action;
  find("banner-action").onclick = onAction;
  announce(words);
}

const again = () => window.dispatchEvent(new Event(AGAIN));

function quiet() {
  if (find("banner").contains(document.activeElement)) message.focus();
  find("banner").hidden = true;
}

function showStatus(state, words) {
  find("status").dataset.state = state;
  if (find("status-text").textContent !== words) find("status-text").textContent = words;
}

/** A snapshot on the page, of the model that is chosen. */
function show(news) {
  const model = news.models.find((one) => one.name === find("model").value) ?? news.models[0];
  if (!news.ready || !model) showStatus("bad", `not ready: ${news.reasons.join("; ") || "no reason given"}`);
  if (!model) return;
  find("empty-title").textContent = `Say something to ${model.name}`;
  find("empty-text").textContent = model.description;
  draw(news, model, before);
  const backends = [...new Set(model.workers.filter((one) => one.alive).map((one) => one.backend))].join(", ");
  const rate = model.activity ? ` · ${count(rateOf(model.activity))} tokens/s` : "";
  if (news.ready) showStatus("ready", `${backends || "no back end"}${rate}`);
}

function onNews(news) {
  const anew = snapshot !== null && news.started !== snapshot.started;
  if (lost || anew) {
    notify(anew ? "The server was started again and is back." : "The server is back.", "Close", quiet);
    setTimeout(() => lost || quiet(), SHOWN);
  }
  lost = false;
  before = anew ? null : snapshot;
  snapshot = news;
  document.body.classList.remove("stale");
  offer(news.models.map((model) => model.name));
  show(news);
}

function onLost(problem) {
  showStatus("bad", "not connected");
  document.body.classList.add("stale");
  if (problem?.kind === "key") notify(problem.message, "Give a key", again);
  else if (!lost) notify(`${problem?.kind ? problem.message : LOST} The page tries again by itself.`, "Try now", again);
  lost = true;
}

function showLive(open) {
  document.body.classList.toggle("with-live", open);
  find("toggle-live").setAttribute("aria-expanded", String(open));
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
find("parameters").addEventListener("input", showChosen);
message.addEventListener("keydown", onKey);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("key-dialog").open) chat.stop();
});
find("clear").addEventListener("click", () => {
  chat.clear();
  message.focus();
});
find("toggle-live").addEventListener("click", () => showLive(!document.body.classList.contains("with-live")));
NARROW.addEventListener("change", () => showLive(!NARROW.matches));
showLive(!NARROW.matches);
showChosen();
follow(onNews, onLost);
