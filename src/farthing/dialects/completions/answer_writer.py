"""Answers of chat completions as those of completions, whole and event by event.

A text is all that they have. What was thought, called, shown or cited beside it has no place there.
"""

from typing import Any

from farthing.text.lenient_json import NotJson, read_json, write_json
from farthing.types import Json

TEXT_PARTS = ("text", "output_text")
_KEPT = ("created", "model", "system_fingerprint", "service_tier", "farthing")
_ENDS = {"tool_calls": "stop", "function_call": "stop"}
"""Why a choice ended, where completions have no such word."""


def whole(body: bytes, prefix: str = "") -> bytes:
    """A whole chat completion. `prefix` stands before each text (`echo`).

    Raises:
        NotJson: it is none.
    """
    said = read_json(body)
    if not isinstance(said, dict):
        raise NotJson("it is no object")
    written = _head(said)
    written["choices"] = choices = []
    for at, choice in enumerate(_listed(said.get("choices"))):
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        text = text_of(message)
        probable = logprobs(choice.get("logprobs"), 0)
        refused = bool(message.get("refusal"))
        choices.append(_choice(choice, _index(choice, at), prefix + text, probable, refused=refused))
    if said.get("usage") is not None:
        written["usage"] = said["usage"]
    return write_json(written)


class EventWriter:
    """Writes one stream."""

    __slots__ = ("_chars", "_prefix", "_refused")

    def __init__(self, prefix: str = "") -> None:
        """`prefix`: as of `whole`."""
        self._prefix = prefix
        self._chars: dict[int, int] = {}
        """What each choice has said so far, in characters; absent: nothing."""
        self._refused: set[int] = set()
        """Choices that have words of a refusal."""

    def write(self, events: bytes) -> bytes:
        """Whole events of chat completions as those of completions. Comments go out as they are."""
        if not events:
            return b""
        return b"".join([self._event(event) for event in events.split(b"\n\n") if event])

    def _event(self, event: bytes) -> bytes:
        if event.startswith(b":"):
            return event + b"\n\n"
        payload = b"".join([line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]).strip()
        if payload == b"[DONE]":
            return b"data: [DONE]\n\n"
        try:
            chunk = read_json(payload)
        except NotJson:
            return b""
        return self._chunk(chunk) if isinstance(chunk, dict) else b""

    def _chunk(self, chunk: Json) -> bytes:
        told = [
            found for choice in _listed(chunk.get("choices")) if (found := self._told(choice)) is not None
        ]
        usage = chunk.get("usage")
        if not told and usage is None:
            return b""
        written = _head(chunk)
        written["choices"] = told
        if "usage" in chunk:
            written["usage"] = usage
        return b"data: %b\n\n" % write_json(written)

    def _told(self, choice: Json) -> Json | None:
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        text, index = text_of(delta), _index(choice, 0)
        said = self._chars.get(index)
        probable = logprobs(choice.get("logprobs"), said or 0)
        if not (text or choice.get("finish_reason") or (probable and probable["tokens"])):
            return None
        if said is None:
            text = self._prefix + text
        self._chars[index] = (said or 0) + len(text)
        if delta.get("refusal"):
            self._refused.add(index)
        return _choice(choice, index, text, probable, refused=index in self._refused)


def _head(said: Json) -> Json:
    written: Json = {"id": said.get("id"), "object": "text_completion"}
    written.update((name, said[name]) for name in _KEPT if said.get(name) is not None)
    return written


def _choice(choice: Json, index: int, text: str, probable: Json | None, *, refused: bool) -> Json:
    reason = choice.get("finish_reason")
    if refused and reason == "stop":
        reason = "content_filter"
    reason = _ENDS.get(reason, reason) if isinstance(reason, str) else None
    return {"text": text, "index": index, "logprobs": probable, "finish_reason": reason}


def _index(choice: Json, otherwise: int) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else otherwise


def _listed(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text_of(message: Json) -> str:
    """The text of a message or a piece of one, which may come in parts; the words of a refusal are some."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [_part(part) for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    refusal = message.get("refusal")
    return (content if isinstance(content, str) else "") + (refusal if isinstance(refusal, str) else "")


def _part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return part.get("text") if part.get("type", "text") in TEXT_PARTS else None


def logprobs(said: Any, offset: int) -> Json | None:
    """The probabilities of chat completions as completions have them. `offset`: how many characters of the
    text came before."""
    tokens = said.get("content") if isinstance(said, dict) else None
    if not isinstance(tokens, list):
        return None
    written: Json = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for told in _listed(tokens):
        token = told.get("token")
        token = token if isinstance(token, str) else ""
        written["tokens"].append(token)
        written["token_logprobs"].append(told.get("logprob"))
        written["top_logprobs"].append(
            {str(one.get("token")): one.get("logprob") for one in _listed(told.get("top_logprobs"))}
        )
        written["text_offset"].append(offset)
        offset += len(token)
    return written
