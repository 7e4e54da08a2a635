"""Ids of a response and its items. Clients send items back, and OpenAI takes them only with the prefix of
their kind and at most 64 characters."""

import re

CHARS_MAX = 64
RESPONSE = "resp_"
PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "reasoning": "rs_",
    "compaction": "cmp_",
}
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


def response_id(said: str) -> str:
    """The id of a response, made of that of the answer or of the request."""
    return _of(RESPONSE, said)


def item_id(kind: str, response: str, index: int) -> str:
    """The id of the item at `index` of the output of a response, by that response's id."""
    start = _of(PREFIXES.get(kind, "item_"), response.removeprefix(RESPONSE))
    return f"{start[: CHARS_MAX - 6]}_{index}"


def _of(prefix: str, said: str) -> str:
    told = _UNFIT.sub("_", said) or "unnamed"
    return (told if told.startswith(prefix) else prefix + told)[:CHARS_MAX]
