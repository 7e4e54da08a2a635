"""The messages of a request of another dialect, in the pipeline's form, as plain chat completions.

Chat has a strict order (the results of calls stand right after them, in messages of their own) and narrow
messages: a result is text. So images and files of a result go into the user's message after the results,
with a note which call gave them, and what stands between a call and its result comes after it.
"""

from collections.abc import Iterable
from hashlib import blake2b
from itertools import takewhile
from typing import Any

from farthing.dialects.chat.models import Abilities
from farthing.dialects.chat.reasoning import BY_NAME
from farthing.dialects.chat.requests.lowering_notes import LoweringNotes
from farthing.dialects.chat.requests.parts import AUDIO, DOCUMENT, HELD, TEXT
from farthing.dialects.gemini.signatures import unnamed
from farthing.dialects.proofs import is_proof, opened
from farthing.dialects.tool_names import CHARS_MAX as NAME_CHARS_MAX
from farthing.dialects.tool_names import short_name
from farthing.types import Json

ID_CHARS_MAX = 40  # of a call, at OpenAI
FILE_NAME = "document.pdf"
"""Of a file without a title: servers want one."""
_INSTRUCTS = frozenset({"system", "developer"})
_PLAIN_CALL = frozenset({"id", "type", "function"})
_SAID = frozenset({"role", "content"})
_ANSWER = _SAID | {"thinking_blocks", "tool_calls"}
_THOUGHT = frozenset({"type", "thinking", "signature", "data", "maker", "place"})
_CALL = _PLAIN_CALL | {"cache_control", "place"}
_RESULT = _SAID | {"tool_call_id", "is_error", "cache_control", "turn"}
_PARTS = {
    "text": TEXT,
    "image_url": HELD,
    "file": HELD | {"citations", "context"},
    "document": DOCUMENT | {"citations", "context"},
    "input_audio": AUDIO,
    "refusal": frozenset({"type", "refusal"}),
    "search_result": frozenset({"type", "title", "source", "content", "cache_control"}),
    "tool_reference": frozenset({"type", "tool_name", "cache_control"}),
}
"""Fields of messages, calls, thoughts and parts that are read, or noted under a name of their own."""
GIVES_WAY = frozenset({"caller", "citations", "detail", "toolset_name", "transformations"})
"""Other fields that a client can do without: agents send back what an answer had."""
NEUTRAL: dict[str, Json] = {"caller": {"type": "direct"}, "citations": {"enabled": False}}
"""Values of them that ask for what happens anyway."""


class MessageLowering:
    """Writes the messages of one request."""

    __slots__ = ("_after", "_can", "_goes_on", "_held", "_notes", "_open", "_run", "_written")

    def __init__(self, notes: LoweringNotes, can: Abilities, *, goes_on: bool = True) -> None:
        """`goes_on`: an answer at the end is begun, and the model is to go on with it."""
        self._notes = notes
        self._can = can
        self._goes_on = goes_on
        self._written: list[Json] = []
        self._open: set[str] = set()
        """Calls of the last answer that have no result yet: nothing may come between."""
        self._held: list[Json] = []
        """What came between all the same."""
        self._run: list[Any] = []
        """The contents that the last message is to have, where more than one message became it."""
        self._after: list[Json] = []
        """Parts for the user's message after the results."""

    def write(self, messages: list[Json]) -> list[Json]:
        for message in messages:
            role = message["role"]
            if role == "tool":
                self._result(message)
            elif role == "assistant":
                self._release()
                self._assistant(message)
            elif self._open:
                self._held.append(message)
            else:
                self._say(message)
        self._release()
        if messages and messages[-1]["role"] == "user" and self._only_instructs():
            self._add({"role": "user", "content": ""})  # else servers say that there are no messages
        self._join()
        if self._goes_on and self._written and self._written[-1]["role"] == "assistant":
            self._notes.lacks(
                "prefill",
                "chat completions do not go on with an answer that is begun; end `messages` with the user",
            )
        return self._written

    def _only_instructs(self) -> bool:
        """Whether nothing but instructions has been written."""
        return all(message["role"] in _INSTRUCTS for message in self._written)

    def _release(self) -> None:
        """Write what stood between a call and its result, and what the results showed."""
        self._open.clear()
        held, self._held = self._held, []
        for message in held:
            self._say(message)
        if self._after:
            self._put({"role": "user", "content": self._shown()})

    def _put(self, message: Json) -> None:
        """Write a message of the user or an instruction, in one with the message before it where the model
        takes no two of a role in a row."""
        written = self._written
        if self._can.alternates and written and written[-1]["role"] == message["role"]:
            if not self._run:
                self._run.append(written[-1]["content"])
            self._run.append(message["content"])
        else:
            self._add(message)

    def _add(self, message: Json) -> None:
        self._join()
        self._written.append(message)

    def _join(self) -> None:
        """Write what has become one message, once: each by each would copy all before it."""
        if self._run:
            last = self._written[-1]
            self._written[-1] = {"role": last["role"], "content": _joined(self._run)}
            self._run = []

    def _shown(self) -> list[Json]:
        shown, self._after = self._after, []
        return shown

    def _further(self, said: Json, known: frozenset[str] = frozenset()) -> None:
        """Name the fields of a message or a part that chat has no word for."""
        if said.keys() <= known:
            return
        for name, value in said.items():
            if name in known or (name in NEUTRAL and value == NEUTRAL[name]):
                continue
            if name in GIVES_WAY:
                self._notes.yielded.append(f"messages.{name}")
            else:
                self._notes.lacks(f"messages.{name}", "chat completions have no such field; leave it out")

    def _say(self, message: Json) -> None:
        """Write a message of the user, or an instruction in its place."""
        if len(message) > 2:
            self._further(message, _SAID)
        content, role = message.get("content"), message["role"]
        if role != "user":
            text = content if content.__class__ is str else self._texts(content, "\n\n")
            self._instruct("system", text)  # which is `developer` at the models that know it
            return
        if content.__class__ is str:
            if self._after:
                parts = [*self._shown(), {"type": "text", "text": content}] if content else self._shown()
                self._put({"role": role, "content": parts})
            elif content:
                self._put(message if len(message) == 2 else {"role": role, "content": content})
            return
        parts = self._shown()
        for part in content or ():
            self._part(part, parts)
        if len(parts) == 1 and parts[0]["type"] == "text":
            self._put({"role": role, "content": parts[0]["text"]})
        elif parts:
            self._put({"role": role, "content": parts})

    def _instruct(self, role: str, text: str) -> None:
        """Write an instruction in its place; where the model takes it first alone, as a part of the user's
        turn: at the head it would change the prefix of every later request."""
        if self._after:
            self._put({"role": "user", "content": self._shown()})
        if not text:
            return
        if self._can.alternates and self._written and self._written[-1]["role"] != role:
            self._put({"role": "user", "content": f"<system>\n{text}\n</system>"})
        else:
            self._put({"role": role, "content": text})

    def _part(self, part: Json, into: list[Json]) -> None:
        """Add a part as chat has it, which may be several or none."""
        if "cache_control" in part:
            self._notes.marked = True
        kind = part.get("type")
        if len(part) > 2 and kind in _PARTS:
            self._further(part, _PARTS[kind])
        match kind:
            case "text":
                self._text(part, into)
            case "image_url":
                self._image(part["image_url"], into)
            case "file":
                self._file(part, into)
            case "document":
                self._document(part, into)
            case _:
                self._other(part, kind, into)

    def _other(self, part: Json, kind: Any, into: list[Json]) -> None:
        match kind:
            case "input_audio":
                into.append({"type": "input_audio", "input_audio": part["input_audio"]})
            case "refusal":
                into.append({"type": "text", "text": part["refusal"]})
            case _:
                told = told_as_text(part)
                if told is None:
                    self._notes.lacks(str(kind), "chat completions have no such block; leave it out")
                else:
                    into.append({"type": "text", "text": told})

    def _text(self, part: Json, into: list[Json]) -> None:
        text = part["text"]
        if "citations" in part:
            self._notes.yielded.append("messages.citations")
        if text:
            into.append(part if len(part) == 2 else {"type": "text", "text": text})

    def _image(self, image: Json, into: list[Json]) -> None:
        if "url" not in image:
            self._notes.lacks("image.source.file_id", _FILE_ID)
            return
        if image.get("detail", "high") not in _DETAILS:
            self._notes.yielded.append("image_url.detail")
            image = {**image, "detail": "high"}
        into.append({"type": "image_url", "image_url": image})

    def _file(self, part: Json, into: list[Json]) -> None:
        held = part["file"]
        self._about(part, into)
        if "file_data" in held:
            name = held.get("filename") or FILE_NAME
            into.append({"type": "file", "file": {"filename": name, "file_data": held["file_data"]}})
        elif "file_id" in held:
            self._notes.lacks("document.source.file_id", _FILE_ID)
        else:
            self._notes.lacks(
                "document.source.url", "chat completions take no link to a document; send its data"
            )

    def _about(self, part: Json, into: list[Json]) -> None:
        """Say what is said of a document, and note what cannot be asked of it."""
        cited = part.get("citations")
        if cited.__class__ is dict and cited.get("enabled"):
            self._notes.lacks("document.citations", "chat completions cite nothing; leave it out")
        context = part.get("context")
        if context.__class__ is str and context:
            into.append({"type": "text", "text": context})

    def _document(self, part: Json, into: list[Json]) -> None:
        """A document of text, or of parts, between two lines that say so."""
        self._about(part, into)
        title = str(part.get("title") or "").replace('"', "'")
        begin = f'<document title="{title}">' if title else "<document>"
        if "text" in part:
            into.append({"type": "text", "text": f"{begin}\n{part['text']}\n</document>"})
            return
        into.append({"type": "text", "text": begin})
        for inner in part["content"]:
            self._part(inner, into)
        into.append({"type": "text", "text": "</document>"})

    def _texts(self, content: Any, between: str) -> str:
        """The text of a message that can have nothing else."""
        parts: list[Json] = []
        for part in content or ():
            self._part(part, parts)
        for part in parts:
            if part["type"] != "text":
                self._notes.lacks(_KINDS.get(part["type"]) or str(part["type"]), _NOT_HERE)
        return between.join(part["text"] for part in parts if part["type"] == "text")

    def _assistant(self, message: Json) -> None:
        content, calls = message.get("content"), message.get("tool_calls")
        if content.__class__ is not str:
            content = self._texts(content, "")
        thoughts: list[Json] = message.get("thinking_blocks") or []
        if len(message) > 2:
            self._further(message, _ANSWER)
        written: Json = {"role": "assistant", "content": content or None}
        if calls:
            self._open.update(call["id"] for call in calls)
            if any("cache_control" in call for call in calls):
                self._notes.marked = True
            for call in calls:
                if len(call) > 3:
                    self._further(call, _CALL)
            written["tool_calls"] = [_called(call) for call in calls]
        if thoughts or self._can.thinks_on:
            self._think(thoughts, written)
            if self._can.proves:
                _prove(thoughts, calls or (), written)
        if calls or content:
            self._add(written)
        elif thoughts:
            self._notes.yielded.append("messages.thinking")

    def _think(self, thoughts: list[Json], into: Json) -> None:
        """Tell what was thought before an answer, if the model wants it, or told it under the name by which
        it is told here. Of an answer with calls it wants something in any case, and takes white space."""
        for block in thoughts:
            if "maker" not in block and not block.keys() <= _THOUGHT:
                self._notes.yielded += [f"messages.{name}" for name in block if name not in _THOUGHT]
        texts = [block["thinking"] for block in thoughts if block.get("thinking")]
        proofs = [block for block in thoughts if block.get("signature") or "data" in block]
        if self._can.proves:
            proofs = [block for block in proofs if not is_proof(block.get("signature", ""))]
        by_name = not self._can.openai and any(block.get("maker") == BY_NAME for block in thoughts)
        thinks_on = self._can.thinks_on or by_name
        if proofs or (texts and not thinks_on):
            self._notes.yielded.append("messages.thinking")
        text = "\n".join(texts) or (" " if "tool_calls" in into else "")
        if thinks_on and text:
            into["reasoning_content"] = text

    def _result(self, message: Json) -> None:
        call_id, content = message["tool_call_id"], message.get("content")
        self._open.discard(call_id)
        if "cache_control" in message:
            self._notes.marked = True
        if len(message) > 3:
            self._further(message, _RESULT)
            if "turn" in message:
                self._further(message["turn"])
        called = short_id(call_id)
        text = content if content.__class__ is str else self._shown_by(called, content or ())
        if message.get("is_error") and not text[:6].lower().startswith("error"):
            text = f"Error: {text}" if text else "Error"
        self._add({"role": "tool", "tool_call_id": called, "content": text})

    def _shown_by(self, called: str, content: Any) -> str:
        """The text of a result; its images and files are kept for after all results."""
        parts: list[Json] = []
        for part in content:
            self._part(part, parts)
        shown = [part for part in parts if part["type"] != "text"]
        texts = [part["text"] for part in parts if part["type"] == "text"]
        if shown:
            self._after.append({"type": "text", "text": f"What the tool call {called} has shown:"})
            self._after += shown
            if not texts:
                texts = ["What it has shown follows in the next message of the user."]
        return "\n".join(texts)


def told_as_text(part: Json) -> str | None:
    """The words for a block that only Messages has: a passage that the client has found, a tool that it has
    looked up (what is told of all tools is in the request already). None: there are none for it."""
    match part.get("type"):
        case "search_result":
            content = part.get("content")
            parts = content if content.__class__ is list else []
            text = "\n".join(str(one.get("text", "")) for one in parts if one.__class__ is dict)
            head = " - ".join(str(part[name]) for name in ("title", "source") if part.get(name))
            return f"<search_result>\n{head}\n{text}\n</search_result>"
        case "tool_reference":
            return f"Found the tool {part.get('tool_name', '')}."
        case _:
            return None


_DETAILS = ("low", "high", "auto")
_KINDS = {"image_url": "image", "file": "document"}
_FILE_ID = "a file that its provider stores is unknown to other servers; send its data"
_NOT_HERE = "chat completions take it from the user alone; move it there"


def _is_text(content: Any) -> bool:
    return content.__class__ is str


def _joined(contents: list[Any]) -> Any:
    """The content of several messages as that of one."""
    texts = [*takewhile(_is_text, contents)]
    text = "\n\n".join(texts)
    if len(texts) == len(contents):
        return text
    parts: list[Json] = [{"type": "text", "text": text}] if texts else []
    for one in contents[len(texts) :]:
        parts += [{"type": "text", "text": one}] if one.__class__ is str else one
    return parts


def _prove(thoughts: list[Json], calls: Iterable[Json], into: Json) -> None:
    """Put the proofs of thoughts back where they came from: at the call of that id, or if its server gave it
    none that the client could keep, at the first without a proof."""
    written = into.get("tool_calls", [])
    places: dict[Any, int] = {}
    for at, call in enumerate(calls):
        places.setdefault(call["id"], at)
    bare = (at for at, call in enumerate(written) if "extra_content" not in call)
    for block in thoughts:
        if not is_proof(block.get("signature", "")):
            continue
        told = opened(block["signature"])
        detail, extra = told.get("detail"), told.get("extra_content")
        if detail:
            into.setdefault("reasoning_details", []).append(detail)
        elif extra and written:
            called = told.get("id")
            place = places.get(called) if isinstance(called, str) else None
            at = next(bare, 0) if place is None else place
            written[at] = {**written[at], "extra_content": unnamed(extra)}


def _called(call: Json) -> Json:
    call_id, function = call["id"], call["function"]
    if len(function["name"]) > NAME_CHARS_MAX:
        function = {**function, "name": short_name(function["name"])}
    elif len(call_id) <= ID_CHARS_MAX and call.keys() <= _PLAIN_CALL:
        return call
    return {"id": short_id(call_id), "type": "function", "function": function}


def short_id(call_id: str) -> str:
    """An id of a call as chat takes it: itself where it is short, else one that no other id comes to, and the
    same each time."""
    if len(call_id) <= ID_CHARS_MAX:
        return call_id
    digest = blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{call_id[: ID_CHARS_MAX - 17]}_{digest}"
