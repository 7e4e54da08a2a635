"""The turns of a conversation as `contents`, and its instructions as `systemInstruction`.

A content is of the user or of the model, and no two of one come in a row. What tools gave belongs to the
user: all results of one step in one content, first in it, in the order of the calls, each by the name of its
function. The signatures of calls and texts go back to where they stood (`signatures`).
"""

import mimetypes
from urllib.parse import urlsplit

from farthing.dialects.call_inputs import InputReader
from farthing.dialects.chat.requests.lowered_messages import GIVES_WAY as MESSAGES_GIVE_WAY
from farthing.dialects.chat.requests.lowered_messages import NEUTRAL, told_as_text
from farthing.dialects.conversation import (
    Audio,
    Block,
    Composed,
    Document,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Reasoning,
    Refusal,
    Source,
    Stored,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.dialects.gemini import signatures
from farthing.dialects.gemini.requests.notes import Notes
from farthing.dialects.tool_names import short_name
from farthing.dialects.turns import TurnsInOrder
from farthing.types import Json

PLACEHOLDER = "."
"""What a user says where the conversation holds instructions alone, or begins with an answer."""
MEDIA = ("image/", "audio/", "video/", "text/")
PDF = "application/pdf"
FILES = "https://generativelanguage.googleapis.com/"
"""How the addresses of files begin that were uploaded to Gemini."""
_KNOWN_FILES = (FILES, "gs://")
_VIDEOS = frozenset({"www.youtube.com", "youtube.com", "youtu.be", "m.youtube.com"})
"""Hosts of pages that Gemini takes for the video on them."""
_KINDS = {".webp": "image/webp", ".heic": "image/heic", ".heif": "image/heif", ".avif": "image/avif"}
_READ = frozenset({"citations", "context"})
"""Fields of a document that are read, or noted under a name of their own."""
_NOT_ALLOWED = (
    "it would be read with the gateway's own rights; send its data, or let the operator list how such "
    "addresses begin in file_prefixes of the provider"
)
_FILE_ID = "a file that another provider stores is unknown to Gemini; send its data"


class TurnWriter(TurnsInOrder):
    """Writes the turns of one conversation."""

    __slots__ = ("_inputs", "_known", "_notes", "_order", "_own_names", "_tools")

    CONTENT = "parts"

    def __init__(self, notes: Notes, known: signatures.Known = signatures.unknown) -> None:
        """`known`: as of `request_writer.translate`."""
        super().__init__()
        self._notes = notes
        self._known = known
        self._inputs = InputReader()
        self._tools: dict[str, tuple[str, int]] = {}
        """The function that a call is of, and its place among all calls, by its id."""
        self._order: dict[int, int] = {}
        """The place of a result among all, by the part that it is."""
        self._own_names = notes.said.dialect == "messages"
        """Its client has longer names of tools."""

    def system(self, turns: tuple[Turn, ...]) -> list[Json]:
        """The parts of the instructions that stand before all else."""
        return [{"text": text} for turn in turns for text in self._instructions(turn)]

    def contents(self, turns: tuple[Turn, ...]) -> list[Json]:
        """All turns, in order."""
        self._write(turns)
        contents = self._messages
        for content in contents:
            parts: list[Json] = content["parts"]
            if content["role"] == "user" and len(parts) > 1:
                parts.sort(key=self._place)
        if not contents or contents[0]["role"] == "model":
            contents.insert(0, _content("user", [{"text": PLACEHOLDER}]))
        if contents[-1]["role"] == "model" and self._notes.said.dialect == "responses":  # answered anew there
            contents.append(_content("user", [{"text": PLACEHOLDER}]))
        return contents

    def _place(self, part: Json) -> int:
        return self._order.get(id(part), len(self._tools)) if "functionResponse" in part else 1_000_000_000

    def _instruct(self, turn: Turn) -> None:
        """Write an instruction in its place: at the head it would change the prefix of every later
        request."""
        texts = self._instructions(turn)
        if texts:
            self._into("user").extend({"text": f"<system>\n{text}\n</system>"} for text in texts)

    def _instructions(self, turn: Turn) -> list[str]:
        self._about(turn)
        texts: list[str] = []
        for block in turn.blocks:
            self._notes.marked(getattr(block, "cache", None))
            if isinstance(block, Text):
                self._further(block.extras)
                if block.text and not block.text.isspace():
                    texts.append(block.text)
            else:
                self._notes.cannot(block)
        return texts

    # -- what is noted -----------------------------------------------------------------------------------

    def _about(self, turn: Turn) -> None:
        if turn.name:
            self._notes.unsaid.append("messages.name")
        if turn.extras:
            self._further({name: value for name, value in turn.extras.items() if name != signatures.EXTRA})

    def _further(self, extras: Json) -> None:
        """Name the fields that Gemini has no word for. Those of chat give way: its clients send back what an
        earlier provider added to its answers."""
        if not extras:
            return
        said = self._notes.said
        where = said.name_of("messages")
        for name, value in extras.items():
            if name in NEUTRAL and value == NEUTRAL[name]:
                continue
            if said.dialect == "chat" or name in MESSAGES_GIVE_WAY:
                self._notes.give_way(f"{where}.{name}")
            else:
                self._notes.lacks(f"{where}.{name}", "Gemini has no such field; leave it out")

    def _user(self, turn: Turn) -> None:
        self._about(turn)
        results: list[Json] = []
        others: list[Json] = []
        for block in turn.blocks:
            if isinstance(block, ToolResult):
                self._result(block, results, others)
            else:
                self._add(block, others)
        if results or others:
            self._into("user").extend((*results, *others))

    def _add(self, block: Block, into: list[Json]) -> None:
        """Add a block as Gemini has it, which may be several parts or none."""
        if isinstance(block, Text):
            if block.text:
                into.append({"text": block.text})
            self._about_text(block)
            return
        self._notes.marked(getattr(block, "cache", None))
        match block:
            case Image():
                self._further(block.extras)
                if block.detail and block.detail != "auto":
                    self._notes.give_way(self._notes.said.name_of("image_url.detail"))
                self._data(block.source, "image_url", "image/jpeg", into)
            case Document():
                self._document(block, into)
            case Audio(source=Inline() as source):
                into.append(_inline(source))
            case Refusal(text=text):
                into.append({"text": text})
            case Opaque(kind=kind, value=value):
                told = told_as_text(value) if self._own_names and isinstance(value, dict) else None
                if told is None:
                    self._notes.unsaid.append(kind)
                else:
                    into.append({"text": told})
            case _:
                self._notes.cannot(block)

    def _about_text(self, block: Text) -> None:
        self._notes.marked(block.cache)
        if block.citations:
            self._notes.give_way(self._notes.said.name_of("messages.citations"))
        if block.extras:
            self._further(block.extras)

    def _data(self, source: Source, name: str, kind: str, into: list[Json]) -> None:
        """Add what lies at `source`; `kind` is what it is taken for where nothing says it."""
        match source:
            case Inline():
                into.append(_inline(source))
            case Link(url=url) if _needs_rights(url) and not url.startswith(self._notes.files):
                self._notes.lacks(self._notes.said.name_of(name), _NOT_ALLOWED)
            case Stored(id=url) if url.startswith(_KNOWN_FILES) and not url.startswith(self._notes.files):
                self._notes.lacks(self._notes.said.name_of("file_id"), _NOT_ALLOWED)
            case Link(url=url):
                into.append({"fileData": _file_data(url, kind)})
            case Stored(id=file_id) if file_id.startswith(_KNOWN_FILES):
                into.append({"fileData": _file_data(file_id, kind)})
            case _:
                known = self._notes.said.name_of("file_id" if isinstance(source, Stored) else name)
                self._notes.lacks(known, _FILE_ID)

    def _document(self, block: Document, into: list[Json]) -> None:
        self._further({name: value for name, value in block.extras.items() if name not in _READ})
        cited, context = block.extras.get("citations"), block.extras.get("context")
        if isinstance(cited, dict) and cited.get("enabled"):
            self._notes.lacks("document.citations", "Gemini cites no documents; leave it out")
        if isinstance(context, str) and context:
            into.append({"text": context})
        source = block.source
        if isinstance(source, Plain | Composed):
            self._text_document(block, source, into)
        elif isinstance(source, Inline) and not source.media_type.startswith((*MEDIA, PDF)):
            self._notes.lacks(
                self._notes.said.name_of("file"),
                "Gemini reads PDF, text, images, sound and video; send those",
            )
        else:
            self._data(source, "file", PDF, into)

    def _text_document(self, block: Document, source: Plain | Composed, into: list[Json]) -> None:
        """A document of text, or of parts, between two lines that say so."""
        title = block.name.replace('"', "'")
        begin = f'<document title="{title}">' if title else "<document>"
        if isinstance(source, Plain):
            into.append({"text": f"{begin}\n{source.text}\n</document>"})
            return
        into.append({"text": begin})
        for inner in source.blocks:
            self._add(inner, into)
        into.append({"text": "</document>"})

    def _result(self, result: ToolResult, into: list[Json], after: list[Json]) -> None:
        """Add what a tool gave; what older models cannot be shown there goes behind all results."""
        self._open.discard(result.call_id)
        self._notes.marked(result.cache)
        self._further(result.extras)
        parts: list[Json] = []
        for block in result.blocks:
            self._add(block, parts)
        text = "\n".join([part["text"] for part in parts if "text" in part])
        shown = [part for part in parts if "text" not in part]
        name, place = self._tools.get(result.call_id, (result.name or result.call_id, len(self._tools)))
        told: Json = {}
        if self._notes.abilities.numbers_calls and result.call_id in self._tools:
            told["id"] = result.call_id
        told["name"] = name
        told["response"] = {"error" if result.is_error else "output": text}
        if shown and self._notes.abilities.shows_in_results:
            told["parts"] = shown
        elif shown:
            after.append({"text": f"What the tool {name} has shown:"})
            after += shown
        part: Json = {"functionResponse": told}
        self._order[id(part)] = place
        into.append(part)

    # -- earlier answers ---------------------------------------------------------------------------------

    def _assistant(self, turn: Turn) -> None:
        self._about(turn)
        written: list[Json] = []
        proofs: dict[str, str] = {}
        waiting = ""
        first: Json | None = None
        for block in turn.blocks:
            if isinstance(block, Reasoning):
                waiting = self._thought(block, written, proofs) or waiting
            elif isinstance(block, ToolCall):
                part = self._call(block)
                own = signatures.at(block.extras, self._notes.provider) or proofs.get(block.id, "")
                if not own:
                    own, waiting = waiting or self._known(block.id, part["functionCall"]["name"]), ""
                if own:
                    part["thoughtSignature"] = own
                first = part if first is None else first
                written.append(part)
            else:
                self._add(block, written)
        if written and "text" in written[-1]:
            self._sign(written[-1], signatures.at(turn.extras, self._notes.provider))
        if first is not None and self._notes.abilities.signs:
            first.setdefault("thoughtSignature", signatures.ANY)
        if written:
            self._into("model").extend(written)

    def _sign(self, text: Json, told: str) -> None:
        """Add the signature that the client or the gateway has kept of it."""
        signature = told or text.get("thoughtSignature")
        signature = signature or self._known(signatures.key_of_text(text["text"]), "")
        if signature:
            text["thoughtSignature"] = signature

    def _thought(self, block: Reasoning, written: list[Json], proofs: dict[str, str]) -> str:
        """Take what a thought proves; the signature that the next call is to have, empty: none."""
        proof = signatures.proof_of(block, self._notes.provider)
        if proof is None:
            own = "messages.thinking" if self._own_names else self._notes.said.name_of("reasoning_content")
            self._notes.give_way(own)
        elif proof.text:
            if written and "text" in written[-1]:
                written[-1]["thoughtSignature"] = proof.signature
        elif proof.call_id:
            proofs[proof.call_id] = proof.signature
        else:
            return proof.signature
        return ""

    def _call(self, call: ToolCall) -> Json:
        self._notes.marked(call.cache)
        if call.extras:
            self._further({name: value for name, value in call.extras.items() if name != signatures.EXTRA})
            if signatures.is_anothers(call.extras, self._notes.provider):
                self._notes.give_way(f"{self._notes.said.name_of('messages')}.{signatures.EXTRA}")
        name = self.name(call.name)
        self._open.add(call.id)
        self._tools[call.id] = (name, len(self._tools))
        told: Json = {"id": call.id} if self._notes.abilities.numbers_calls else {}
        told["name"] = name
        told["args"] = {"input": call.arguments} if call.custom else self._inputs.read(call.arguments)
        return {"functionCall": told}

    def name(self, name: str) -> str:
        """What a tool is called: clients of Messages have longer names, and know them by the short one."""
        return short_name(name) if self._own_names else name


def _content(role: str, parts: list[Json]) -> Json:
    return {"role": role, "parts": parts}


def _needs_rights(url: str) -> bool:
    """Whether who reads the address has to be allowed to: what lies there is not for everybody."""
    return url.lower().startswith(_KNOWN_FILES)


def _inline(source: Inline) -> Json:
    return {"inlineData": {"mimeType": source.media_type, "data": source.data}}


def _file_data(url: str, kind: str) -> Json:
    """A link and what lies there: by the ending of its name, else `kind`. Of the page of a video, and of a
    file of Gemini's own, the provider knows it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return {"mimeType": kind, "fileUri": url}
    if parts.hostname in _VIDEOS or url.startswith(FILES):
        return {"fileUri": url}
    ending = parts.path[parts.path.rfind(".") :].lower()
    known = _KINDS.get(ending) or mimetypes.guess_type(f"x{ending}")[0]
    return {"mimeType": known or kind, "fileUri": url}
