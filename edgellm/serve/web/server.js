// Requests to the server that this page came from, with the key that it asks for, and what goes wrong in words.

const STORED = "edgellm.key";
const MOST_DETAIL = 300;

/** Event of the window: whoever waits to try again may do so now. */
export const AGAIN = "edgellm-again";

/** Why there is no answer. kind: lost, key, busy, refused, broken */
export class Problem extends Error {
  constructor(kind, words) {
    super(words);
    this.kind = kind;
  }
}

export const cut = () => new Problem("lost", "The connection was lost before the answer was complete.");

/** A response that is well; throws Problem, or AbortError when the signal says so. */
export async function call(path, options = {}) {
  const key = sessionStorage.getItem(STORED);
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("lost", "The server cannot be reached. It may be starting again, or the network is down.");
  }
  if (!response.ok) throw await problem(response, key);
  return response;
}

/** `error` of a body in OpenAI's shape, as a sentence. */
export function detail(body) {
  const words = typeof body?.error?.message === "string" ? body.error.message.trim().slice(0, MOST_DETAIL) : "";
  if (!words) return "";
  return words[0].toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

async function problem(response, key) {
  const said = detail(await response.json().catch(() => null));
  const { status } = response;
  if (status === 401) {
    return new Problem("key", key ? "The server does not accept this API key." : "The server asks for an API key.");
  }
  if (status === 429) {
    const after = Number.parseFloat(response.headers.get("Retry-After"));
    const when = after > 0 ? ` Try again in ${Math.ceil(after)} s.` : " Try again soon.";
    return new Problem("busy", `The server is busy. ${said}${when}`.replace("  ", " "));
  }
  if (status === 503) return new Problem("busy", `The server is not ready. ${said}`.trim());
  if (status < 500) return new Problem("refused", said || `The server refuses the request (status ${status}).`);
  return new Problem("broken", said || "Something failed in the server.");
}

let asking = null;

/** Asks for the key, once for all who need it; false when nobody gives one. */
export function askForKey(words) {
  asking ??= new Promise((resolve) => openDialog(words, resolve)).finally(() => {
    asking = null;
  });
  return asking;
}

function openDialog(words, resolve) {
  const find = (id) => document.getElementById(id);
  const dialog = find("key-dialog");
  const field = find("key");
  find("key-text").textContent = words;
  field.value = "";
  dialog.returnValue = "";
  find("key-cancel").onclick = () => dialog.close();
  find("key-form").onsubmit = (event) => {
    event.preventDefault();
    sessionStorage.setItem(STORED, field.value.trim());
    dialog.close("given");
    window.dispatchEvent(new Event(AGAIN));
  };
  dialog.onclose = () => {
    field.value = "";
    resolve(dialog.returnValue === "given");
  };
  dialog.showModal();
}

/** What `work` gives; where a key is missing, it is asked for and `work` is done again. */
export async function withKey(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error.kind !== "key" || !(await askForKey(error.message))) throw error;
    }
  }
}
