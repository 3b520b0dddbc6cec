// One answer of the model, from the request to the figures about it.

import { events } from "./events.js";
import { count, duration, several } from "./format.js";
import { Problem, call, cut, detail } from "./server.js";

const ENDS = {
  length: "cut at the token limit",
  context: "cut at the end of the context",
  deadline: "cut when its time was over",
  repetition: "ended where it began to repeat itself",
  confidence: "ended where the model was unsure",
  content_filter: "ended by a filter",
};

/** Streams an answer: `onText` gets every portion of text. Gives figures; throws Problem, or AbortError. */
export async function answer(request, onText, signal) {
  const figures = { sent: performance.now() };
  const response = await call("v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return settle(figures);
      take(JSON.parse(data), figures, onText);
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Problem) throw error;
    throw error instanceof SyntaxError ? new Problem("broken", "The server sent what is no answer.") : cut();
  }
  throw cut();
}

function take(chunk, figures, onText) {
  if (chunk.error) throw new Problem("broken", detail(chunk) || "Something failed in the server.");
  const choice = chunk.choices?.[0];
  if (choice?.delta?.content) {
    figures.first ??= (performance.now() - figures.sent) / 1000;
    onText(choice.delta.content);
  }
  if (choice?.finish_reason) figures.reason = choice.edgellm?.finish_reason ?? choice.finish_reason;
  if (choice?.edgellm) figures.own = choice.edgellm;
  if (chunk.usage) figures.usage = chunk.usage;
}

function settle(figures) {
  figures.total = (performance.now() - figures.sent) / 1000;
  return figures;
}

/** What is told of an answer, a phrase each. The server's clock counts where it tells, else this page's. */
export function facts({ usage, own, first, total, reason }) {
  const tokens = usage?.completion_tokens;
  const seconds = own?.timings?.total ?? total;
  const begun = own?.timings?.first_token ?? first;
  return [
    tokens !== undefined && several(tokens, "token"),
    tokens > 0 && seconds > 0 && `${count(tokens / seconds)} tokens/s`,
    begun !== undefined && `first token after ${duration(begun)}`,
    own?.backend,
    usage && origin(own?.origin, usage),
    ENDS[reason],
  ].filter(Boolean);
}

function origin(from, usage) {
  if (from === "cache") return "from the response cache";
  if (from === "shared") return "shared with an identical request";
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return cached ? `generated, ${cached} of ${several(usage.prompt_tokens, "prompt token")} cached` : "generated, nothing cached";
}
