// The conversation: questions, answers as they come, what went wrong and how to try again.

import { answer, facts } from "./answers.js";
import { withKey } from "./server.js";

const NEAR = 80; // pixels from the end at which the view still follows it
const SLOT = / (\w+)= /;

const find = (id) => document.getElementById(id);
const log = find("log");

/** Says something to who cannot see the page. */
export function announce(words) {
  find("announcer").textContent = words;
}

function append(template) {
  const turn = find(template).content.firstElementChild.cloneNode(true);
  find("turns").append(turn);
  find("empty").hidden = true;
  find("clear").hidden = false;
  return turn;
}

/** Does something to the conversation; the view stays at its end if it was there. */
function following(change) {
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  change();
  if (near) log.scrollTop = log.scrollHeight;
}

/** The text of an answer: what home models write as `Intent slot= value<TAB>reply` has its form shown apart. */
function write(turn, text) {
  const tab = text.indexOf("\t");
  const [intent, ...slots] = text.slice(0, Math.max(tab, 0)).split(SLOT);
  const known = tab > 0 && /^\w+$/.test(intent);
  const form = turn.querySelector(".form");
  form.hidden = !known;
  if (known && !form.childElementCount) form.append(...parts(intent, slots));
  turn.querySelector(".text").textContent = known ? text.slice(tab + 1) : text;
}

function parts(intent, slots) {
  const texts = [intent];
  for (let index = 0; index < slots.length; index += 2) texts.push(`${slots[index]}: ${slots[index + 1]}`);
  return texts.map((text) => Object.assign(document.createElement("span"), { textContent: text }));
}

/** An answer on the page. */
class Answer {
  constructor(request) {
    this.request = request;
    this.turn = append("answer-template");
    this.begin();
  }

  begin() {
    this.text = "";
    this.frame = 0;
    this.turn.querySelector(".form").replaceChildren();
    this.turn.querySelector(".facts").replaceChildren();
    this.turn.querySelector(".problem").hidden = true;
    this.turn.setAttribute("aria-busy", "true");
    following(() => this.show());
  }

  /** More text: drawn once a frame, however many tokens there are. */
  add(text) {
    this.text += text;
    this.frame ||= requestAnimationFrame(() => following(() => this.show()));
  }

  show() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    write(this.turn, this.text);
  }

  end(phrases) {
    following(() => {
      this.show();
      this.turn.removeAttribute("aria-busy");
      const items = phrases.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
      this.turn.querySelector(".facts").replaceChildren(...items);
    });
  }

  /** What went wrong, and a button for what can be done about it. */
  fail(words, name, onClick) {
    this.end([]);
    following(() => {
      this.turn.querySelector(".problem-text").textContent = words;
      Object.assign(this.turn.querySelector("button"), { textContent: name, onclick: onClick });
      this.turn.querySelector(".problem").hidden = false;
    });
  }
}

/** Asks and shows; one answer at a time. `onBusy` hears when one begins and ends, `onEdit` of a text to be changed. */
export class Chat {
  constructor(onBusy, onEdit) {
    this.onBusy = onBusy;
    this.onEdit = onEdit;
    this.stopping = null;
  }

  get busy() {
    return this.stopping !== null;
  }

  send(request) {
    following(() => {
      append("question-template").querySelector(".text").textContent = request.messages[0].content;
    });
    const shown = new Answer(request);
    log.scrollTop = log.scrollHeight;
    return this.run(shown);
  }

  async retry(shown) {
    if (this.busy) return;
    find("message").focus(); // the button goes away
    shown.begin();
    await this.run(shown);
  }

  stop() {
    this.stopping?.abort();
  }

  async run(shown) {
    this.stopping = new AbortController();
    this.onBusy(true);
    announce("The model answers.");
    try {
      const { signal } = this.stopping;
      const figures = await withKey(() => answer(shown.request, (text) => shown.add(text), signal));
      shown.end(facts(figures));
      announce(`Answer: ${shown.text || "nothing"}`);
    } catch (error) {
      this.failed(shown, error);
    } finally {
      this.stopping = null;
      this.onBusy(false);
    }
  }

  failed(shown, error) {
    if (error.name === "AbortError") {
      shown.end(["stopped"]);
      announce(`Stopped. ${shown.text}`);
    } else {
      const refused = error.kind === "refused";
      const action = refused ? () => this.onEdit(shown.request.messages[0].content) : () => this.retry(shown);
      const name = refused ? "Edit the message" : "Retry";
      shown.fail(error.message, name, action);
      announce(`No answer. ${error.message} Behind the answer is a button: ${name}.`);
    }
  }

  clear() {
    this.stop();
    find("turns").replaceChildren();
    find("empty").hidden = false;
    find("clear").hidden = true;
    announce("The conversation is cleared.");
  }
}
