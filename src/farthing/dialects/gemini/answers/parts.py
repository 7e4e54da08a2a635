"""The objects of an answer of `generateContent`, whole or streamed, as events of the model.

A whole answer is one object, a stream several of the same form, each with a piece. Strict where the answer
would be missing: an object that is none, a piece after the end, an end that says that the model has failed.
Lenient elsewhere: a candidate without content, parts of an unknown kind (kept as they are), counts of any
shape. Of several candidates the first is read.

A finish reason that says that the model's own words could not be read as an answer (`FAILURES`) is an error,
not an end: an agent that took it for one would ask the same again, or take half a call for none.
"""

import secrets
from typing import Any

from farthing.dialects.chat.answers.answer_reader import new_id
from farthing.dialects.conversation import (
    ArgumentsDelta,
    Audio,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Event,
    Image,
    Inline,
    Opaque,
    Reasoning,
    ReasoningDelta,
    SignatureDelta,
    Started,
    Stop,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.dialects.events import BadStream, ProviderSaid
from farthing.dialects.gemini import signatures
from farthing.dialects.gemini.answers.grounding import citations_of
from farthing.dialects.gemini.usage import read_usage, stated, with_searches
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage

STOPS: dict[str, Stop] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "LANGUAGE": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "ESCALATION": "filter",
    "PUP_LIMITED_DISABLED": "filter",
    "MODEL_ARMOR": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
}
FAILURES = frozenset({
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE",
    "TOO_MANY_TOOL_CALLS", "UNEXPECTED_TOOL_CALL",
})  # fmt: skip
BLOCKS_MAX = 10_000
GROUNDING_CHARS_MAX = 1_000_000
"""Of the text that sources are placed in."""
_FAILED = 502
_OWN_PARTS = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")


class PartsReader:
    """Give it the objects of one answer in their order."""

    __slots__ = (
        "_calls",
        "_grounding",
        "_id",
        "_kind",
        "_model",
        "_next",
        "_note",
        "_provider",
        "_said",
        "_said_chars",
        "_spoilt",
        "_started",
        "_text",
        "begun",
        "opaque",
        "stopped",
        "usage",
    )

    def __init__(self, note: signatures.Note = signatures.forget, provider: str = "") -> None:
        """`note` is told of each signature of a call. `provider` is whose signatures they are; empty: they
        are carried without a name."""
        self._note = note
        self._provider = provider
        self._id = self._model = ""
        self._started = False
        self._next = 0
        """The index of the next block."""
        self._kind: type[Text] | type[Reasoning] | None = None
        """Of the block that is open, which is the last; None: none is."""
        self._text: int | None = None
        """The index of the last text; None: there is none."""
        self._calls = 0
        self._said: list[str] = []
        """The pieces of the last text, for the places of sources in it."""
        self._said_chars = 0
        self._grounding: Json = {}
        self._spoilt: tuple[str, str] | None = None
        """Why it ended that says that there is no answer, and what was said of it: what it cost is still to
        come."""
        self.begun = False
        """Something of the answer has come, or why it ended."""
        self.stopped = False
        self.opaque = False
        """Something has come that only this dialect has."""
        self.usage: Usage | None = None

    @property
    def open_blocks(self) -> list[int]:
        return [] if self._kind is None else [self._next - 1]

    def take(self, value: Any, raw: bytes, found: list[Event]) -> None:
        """Add to `found` what one object says; `raw` is its JSON.

        Raises:
            BadStream: it is none of an answer. ProviderSaid: it is an error.
        """
        if value.__class__ is list and value and value[0].__class__ is dict:
            for one in value:
                self.take(one, raw, found)
            return
        if value.__class__ is not dict:
            raise BadStream("not a JSON object")
        if value.get("error") is not None:
            raise ProviderSaid(raw)
        response = value.get("response")
        if response.__class__ is dict and "candidates" not in value:  # as Google's own agents are answered
            value = response
        self._start(value, found)
        counts = value.get("usageMetadata")
        self._count(counts, found)
        if self._spoilt is None:
            self._read(value, found)
        if counts is not None:
            self.end()

    def end(self) -> None:
        """No more comes that counts.

        Raises:
            ProviderSaid: the model has spoilt its answer.
        """
        if self._spoilt is not None:
            raise self._failed(*self._spoilt)

    def _read(self, value: Json, found: list[Event]) -> None:
        candidates = value.get("candidates")
        candidate = next(
            (
                one
                for one in (candidates if candidates.__class__ is list else ())
                if one.__class__ is dict and not one.get("index")
            ),
            None,
        )
        if candidate is not None:
            self._candidate(candidate, found)
        elif not candidates:
            self._blocked(value.get("promptFeedback"), found)

    def _start(self, value: Json, found: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        self._id = _str(value.get("responseId")) or secrets.token_hex(8)
        self._model = _str(value.get("modelVersion"))
        found.append(Started(self._id, self._model))

    def _count(self, told: Any, found: list[Event]) -> None:
        usage = read_usage(told)
        if usage is not None and self.stopped and self._grounding:
            usage = with_searches(usage, self._grounding, self._model)
        if usage is not None and usage != self.usage:
            self.usage = usage
            found.append(Counted(usage))

    def _blocked(self, feedback: Any, found: list[Event]) -> None:
        """The prompt itself was refused: nothing is said, and it is charged."""
        reason = _str(feedback.get("blockReason")) if feedback.__class__ is dict else ""
        if reason and not self.stopped:
            self._end("filter", reason, _str(feedback.get("blockReasonMessage")), found)

    # -- what is said ------------------------------------------------------------------------------------

    def _candidate(self, candidate: Json, found: list[Event]) -> None:
        content = candidate.get("content")
        parts = content.get("parts") if content.__class__ is dict else None
        signature = ""
        for part in parts if parts.__class__ is list else ():
            if part.__class__ is not dict:
                raise BadStream("a part is not an object")
            signature = self._part(part, found) or signature
        for name in ("groundingMetadata", "citationMetadata"):
            told = candidate.get(name)
            if told.__class__ is dict and told:
                self._grounding = {**self._grounding, **told}
        said = _str(candidate.get("finishReason"))
        if said and said != "FINISH_REASON_UNSPECIFIED" and not self.stopped:
            self._finish(said, signature, _str(candidate.get("finishMessage")), found)
        elif signature:
            self._sign(signature, found)

    def _part(self, part: Json, found: list[Event]) -> str:
        """Add what a part says; the signature of a text, which is told behind its sources."""
        text, signature = part.get("text"), _str(part.get("thoughtSignature"))
        called = part.get("functionCall")
        if called.__class__ is dict:
            self._call(called, signature, found)
            return ""
        if text.__class__ is not str:
            self._other(part, found)
            return signature
        if not text:
            return signature
        if part.get("thought") is True:
            self._open(Reasoning, found)
            found.append(ReasoningDelta(self._next - 1, text))
            if signature:
                found.append(SignatureDelta(self._next - 1, signatures.carried(signature, self._provider)))
            return ""
        self._open(Text, found)
        found.append(TextDelta(self._next - 1, text))
        if self._said_chars < GROUNDING_CHARS_MAX:
            self._said.append(text)
            self._said_chars += len(text)
        return signature

    def _call(self, called: Json, signature: str, found: list[Event]) -> None:
        name, arguments = _str(called.get("name")), called.get("args")
        if not name:
            raise BadStream("a call without a name")
        call_id = _str(called.get("id")) or new_id(self._id, self._calls)
        self._calls += 1
        if signature:
            self._note(call_id, name, signature)
        extras = signatures.told_at_call(signature, self._provider) if signature else {}
        index = self._add(ToolCall(call_id, name, "", extras=extras), found)
        if arguments:
            found.append(ArgumentsDelta(index, write_json(arguments).decode()))
        found.append(BlockStopped(index))

    def _other(self, part: Json, found: list[Event]) -> None:
        data = part.get("inlineData")
        if data.__class__ is dict and _str(data.get("data")):
            source = Inline(_str(data.get("mimeType")) or "image/png", data["data"])
            media = source.media_type.partition("/")
            block: Block = Audio(source, media[2]) if media[0] == "audio" else Image(source)
            found.append(BlockStopped(self._add(block, found)))
            return
        kind = next((name for name in _OWN_PARTS if name in part), "")
        if not kind and part.keys() <= {"thoughtSignature", "thought", "text", "partMetadata"}:
            return
        self.opaque = True
        kind = kind or next((name for name in part if name != "thoughtSignature"), "part")
        found.append(BlockStopped(self._add(Opaque("gemini", kind, part), found)))

    def _open(self, kind: type[Text] | type[Reasoning], found: list[Event]) -> None:
        """Have a block of `kind` open, the last one or a new one."""
        if self.stopped:
            raise BadStream("a piece of the answer comes after its end")
        if self._kind is not kind:
            self._add(kind(""), found)
            self._kind = kind
            if kind is Text:
                self._text = self._next - 1
                self._said.clear()
                self._said_chars = 0

    def _add(self, block: Block, found: list[Event]) -> int:
        """Begin a block after all others; its index."""
        if self.stopped:
            raise BadStream("a piece of the answer comes after its end")
        if self._next >= BLOCKS_MAX:
            raise BadStream(f"more than {BLOCKS_MAX} blocks")
        self._close(found)
        self.begun = True
        index = self._next
        self._next += 1
        found.append(BlockStarted(index, block))
        return index

    def _close(self, found: list[Event]) -> None:
        if self._kind is not None:
            found.append(BlockStopped(self._next - 1))
            self._kind = None

    def _sign(self, signature: str, found: list[Event]) -> None:
        """Tell the signature of the text before it, and have it remembered: not all clients hear of it."""
        if self._kind is Text and self._said_chars < GROUNDING_CHARS_MAX:
            self._note(signatures.key_of_text("".join(self._said)), "", signature)
        found.append(BlockStopped(self._add(signatures.of_text(signature, self._provider), found)))

    # -- how it ended --------------------------------------------------------------------------------------

    def _finish(self, said: str, signature: str, message: str, found: list[Event]) -> None:
        if said in FAILURES:
            self._spoilt = (said, message)
            return
        grounding = self._grounding
        if grounding:
            if self._text is not None:
                for citation in citations_of(grounding, "".join(self._said)):
                    if not citation["url"]:
                        self.opaque = True
                    found.append(CitationDelta(self._text, citation))
            if self.usage is not None:
                self.usage = with_searches(self.usage, grounding, self._model)
                found.append(Counted(self.usage))
        if signature:
            self._sign(signature, found)
        stop = STOPS.get(said, "unknown")
        self._end("tool_calls" if self._calls and stop == "end" else stop, said, message, found)

    def _end(self, stop: Stop, said: str, message: str, found: list[Event]) -> None:
        self._close(found)
        self.stopped = self.begun = True
        if self.usage is not None and not self._next:
            usage = stated(self.usage)
            if usage != self.usage:
                self.usage = usage
                found.append(Counted(usage))
        found.append(Stopped(stop, said, None, message if stop == "filter" else ""))

    def _failed(self, said: str, message: str) -> ProviderSaid:
        words = f"the model's answer ended with {said}" + (f": {message}" if message else "")
        error = {"code": _FAILED, "message": words, "status": said}
        return ProviderSaid(write_json({"error": error}), self.usage and stated(self.usage))


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""
