"""The items of a response's output. Source: the types of OpenAI's SDK (`responses.ResponseOutputItem`)."""

from hashlib import blake2b
from math import isfinite
from typing import Any

from farthing.dialects.conversation import Reasoning, Stop, ToolCall
from farthing.dialects.responses import envelopes
from farthing.dialects.responses.ids import CHARS_MAX
from farthing.dialects.responses.tools import ClientTool, ToolNames, added_tools, tools_of
from farthing.text.lenient_json import any_json
from farthing.types import Json

LOGPROBS = "message.output_text.logprobs"
LEAST = -9999.0  # what OpenAI says of a token that is as good as impossible
PAGE = "web_search_result_location"
"""The kind of a citation of a page of the web."""
CALLS = frozenset({"function_call", "custom_tool_call"})
STOPS: dict[Stop, str] = {
    "end": "",
    "tool_calls": "",
    "stop_sequence": "",
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "pause": "max_output_tokens",
    "refusal": "content_filter",
    "filter": "content_filter",
    "unknown": "max_output_tokens",
}
"""Why a response is incomplete; empty: it is not. What is not known to be whole is told as cut: nobody takes
it for the whole answer."""


class Calls:
    """Gives the calls of one answer their ids, and the names that the client knows their tools by."""

    __slots__ = ("_asked", "_names", "_used")

    def __init__(self, asked: Json) -> None:
        """`asked`: the request as its client sent it."""
        self._asked = asked
        self._names: ToolNames | None = None
        """None: nothing was called yet."""
        self._used: set[str] = set()

    def client(self, call: ToolCall) -> ClientTool:
        """The tool that `call` means, as the client knows it."""
        names = self._names
        if names is None:
            names = self._names = ToolNames(tools_of(self._asked, added_tools(self._asked)))
        found = names.client(call.name)
        return ClientTool(found.name, found.namespace, "custom") if call.custom else found

    def new_id(self, said: str) -> str:
        """The id of the next call, which no call before it has."""
        start = given = said if 0 < len(said) <= CHARS_MAX else _short(said)
        times = 2
        while given in self._used:
            given = f"{start[: CHARS_MAX - 8]}_{times}"
            times += 1
        self._used.add(given)
        return given


def _short(said: str) -> str:
    digest = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return f"call_{digest}"


def refuses(stop: Stop, *, by_model: bool) -> str:
    """Why a response that ended with `stop` is incomplete; empty: it is not. `by_model`: the model says in
    so many words that it will not answer, which is an answer."""
    return "" if stop == "refusal" and by_model else STOPS[stop]


def is_cut(arguments: str, custom: bool) -> bool:
    """Whether the arguments of a call, the last of an answer that was cut, are not whole."""
    return custom or any_json(arguments.encode("utf-8", "surrogatepass")) is None


def weighs(asked: Json) -> bool:
    """Whether the probabilities of tokens are to come with their text."""
    include = asked.get("include")
    return isinstance(include, list) and LOGPROBS in include


def logprob(token: Json) -> Json:
    """A token with its probability, as chat completions have it, with all that Responses wants of it."""
    told = _logprob(token)
    others = token.get("top_logprobs")
    found = [one for one in others if isinstance(one, dict)] if isinstance(others, list) else []
    return {**told, "top_logprobs": [_logprob(one) for one in found]}


def _logprob(token: Json) -> Json:
    text, raw, said = token.get("token"), token.get("bytes"), token.get("logprob")
    text = text if isinstance(text, str) else ""
    return {
        "token": text,
        "bytes": raw if isinstance(raw, list) else list(text.encode("utf-8", "replace")),
        "logprob": said if isinstance(said, int | float) and isfinite(said) else LEAST,
    }


def text_part(text: str, annotations: list[Json], logprobs: list[Any]) -> Json:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def refusal_part(text: str) -> Json:
    return {"type": "refusal", "refusal": text}


def summary_part(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def message(item_id: str, status: str, content: list[Json]) -> Json:
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def kind_of(tool: ClientTool) -> str:
    """The type of a call of `tool`."""
    return "custom_tool_call" if tool.kind == "custom" else "function_call"


def call(item_id: str, status: str, call_id: str, tool: ClientTool, text: str) -> Json:
    """A call of a function with its arguments, or of a custom tool with its text."""
    told: Json = {
        "id": item_id,
        "type": kind_of(tool),
        "status": status,
        "call_id": call_id,
        "name": tool.name,
        "input" if tool.kind == "custom" else "arguments": text,
    }
    if tool.namespace:
        told["namespace"] = tool.namespace
    return told


def reasoning(item_id: str, block: Reasoning, *, whole: bool = True) -> Json:
    """Reasoning and, once it is whole, what a client sends back so that it can go on from it."""
    told: Json = {
        "id": item_id,
        "type": "reasoning",
        "summary": [summary_part(block.text)] if block.text else [],
    }
    if whole:
        told["encrypted_content"] = envelopes.of_reasoning(block)
    return told


def compaction(item_id: str, text: str) -> Json:
    return {"id": item_id, "type": "compaction", "encrypted_content": envelopes.of_summary(text)}


def annotation(citation: Json, start: int, end: int) -> Json | None:
    """A citation of what stands from `start` to `end`, in characters; None: it is of no page of the web."""
    url, title = citation.get("url"), citation.get("title")
    if citation.get("type") not in (PAGE, "url_citation") or not isinstance(url, str) or not url:
        return None
    return {
        "type": "url_citation",
        "url": url,
        "title": title if isinstance(title, str) else "",
        "start_index": start,
        "end_index": end,
    }
