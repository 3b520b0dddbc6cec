"""Parameters that clients know from elsewhere: why this service has not got them, and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping

TOOLS = "the models here call no tools: leave it out"
ONE_TEXT = "answers are plain text: leave it out"

REASONS: Mapping[str, str] = {
    "best_of": "one answer is generated for each choice: ask for n choices with logprobs and take the best",
    "echo": "a prompt is put into the model's template, so there is no text to repeat: leave it out",
    "suffix": "the models here continue a text, they do not fill it in: leave it out",
    "tools": TOOLS,
    "tool_choice": TOOLS,
    "parallel_tool_calls": TOOLS,
    "functions": TOOLS,
    "function_call": TOOLS,
    "modalities": ONE_TEXT,
    "audio": ONE_TEXT,
    "prediction": "guesses come from the prompt and the answer so far (speculate): leave it out",
    "reasoning_effort": "the models here do not reason: leave it out",
    "verbosity": "the models here cannot be told to be brief: use max_tokens",
    "service_tier": "there is one tier: use priority",
    "store": "nothing is stored: leave it out",
    "metadata": "nothing is stored: leave it out",
    "web_search_options": "the models here search nothing: leave it out",
    "safety_identifier": "use user",
    "prompt_cache_key": "prompts that begin alike are found by themselves: leave it out",
    "prompt_cache_retention": "prompts that begin alike are found by themselves: leave it out",
    "prompt_cache_options": "prompts that begin alike are found by themselves: leave it out",
    "moderation": "prompts and answers are not judged: use filters",
    "include_obfuscation": "chunks are not padded: leave it out",
    "description": "the models here read no descriptions: leave it out",
    "name": "the models here know one person: leave it out",
    "tool_calls": TOOLS,
    "tool_call_id": TOOLS,
    "refusal": ONE_TEXT,
    "annotations": ONE_TEXT,
    "guided_json": "use response_format",
    "guided_regex": "use regex",
    "guided_choice": "use choices",
    "guided_grammar": "use grammar",
    "structured_outputs": "use response_format, regex, choices or grammar",
    "json_schema": "use response_format",
    "repetition_penalty": "use presence_penalty or frequency_penalty",
    "min_tokens": "an answer ends where the model ends it: leave it out",
    "ignore_eos": "an answer ends where the model ends it: leave it out",
    "stop_token_ids": "use stop",
    "top_a": "use min_p",
    "typical_p": "use top_p",
    "cache_prompt": "prompts that begin alike are found by themselves: leave it out",
}
