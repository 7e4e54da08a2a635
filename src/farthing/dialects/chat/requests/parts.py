"""The parts of a message: text, images, files, sound."""

from typing import Any

from farthing.dialects.chat.answers.sources import BadSource, read_data, read_source
from farthing.dialects.chat.fields import extras_of, invalid
from farthing.dialects.chat.reasoning import reasoning_of
from farthing.dialects.chat.requests.tools import odd_call
from farthing.dialects.conversation import (
    NOTHING,
    Audio,
    Block,
    Composed,
    Document,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Refusal,
    Source,
    Stored,
    Text,
    ToolResult,
)
from farthing.types import Json, replace

TEXT = frozenset({"type", "text", "cache_control", "citations"})
HELD = frozenset({"type", "image_url", "file", "cache_control"})
DOCUMENT = frozenset({"type", "text", "content", "title", "cache_control"})
AUDIO = frozenset({"type", "input_audio", "cache_control"})
"""Fields of a part that have a name in the model."""


def read_content(content: Any, where: str, own: str = "") -> list[Block]:
    """`own`: the other dialect that a request was sent in, of which this is the pipeline's form: its blocks
    may have more to say. Empty: it is chat."""
    if content.__class__ is str:
        return [Text(content)]
    if content is None:
        return []
    if content.__class__ is dict:
        content = [content]
    if content.__class__ is not list:
        raise invalid(f"{where}.content", "must be a string or a list of parts")
    blocks: list[Block] = []
    for index, part in enumerate(content):
        if part.__class__ is str:
            blocks.append(Text(part))
        elif part.__class__ is not dict:
            raise invalid(f"{where}.content[{index}]", "must be an object")
        elif part.get("type") == "text" or ("type" not in part and "text" in part):
            blocks.append(_text_part(part, f"{where}.content[{index}]", own))
        elif own:
            blocks.append(_own_part(part, f"{where}.content[{index}]", own))
        else:
            blocks.append(_part(part, f"{where}.content[{index}]"))
    return blocks


def _text_part(part: Json, where: str, own: str) -> Text:
    text = part.get("text")
    if text.__class__ is not str:
        raise invalid(f"{where}.text", "must be a string")
    if own and len(part) > 2:
        cited = part.get("citations")
        citations = tuple(cited) if cited.__class__ is list else ()
        return Text(text, part.get("cache_control"), citations, extras_of(part, TEXT))
    if len(part) > 2:
        return Text(text, part.get("cache_control"), extras=extras_of(part, TEXT))
    return Text(text)


def _own_part(part: Json, where: str, own: str) -> Block:
    """A part that a block of another dialect was written as."""
    mark = part.get("cache_control")
    match part.get("type"):
        case "image_url":
            held = part.get("image_url")
            detail = held.get("detail") if isinstance(held, dict) else None
            told = detail if isinstance(detail, str) else ""
            return Image(_own_source(held, where), told, mark, extras_of(part, HELD))
        case "file":
            held = part.get("file")
            name = held.get("filename") if isinstance(held, dict) else None
            called = name if isinstance(name, str) else ""
            return Document(_own_source(held, where), called, mark, extras_of(part, HELD))
        case "document":
            text, name = part.get("text"), part.get("title")
            source: Source = Plain(text) if isinstance(text, str) else _composed(part, where, own)
            return Document(source, name if isinstance(name, str) else "", mark, extras_of(part, DOCUMENT))
        case "refusal" if own == "responses":
            return _part(part, where)
        case "input_audio" if own == "responses":
            sound: Audio = replace(_audio(part, where, mark), extras=extras_of(part, AUDIO))
            return sound
        case str() as kind:
            return Opaque(own, kind, part)
        case _:
            raise invalid(f"{where}.type", "must name the kind of the part")


def _own_source(held: Any, where: str) -> Source:
    """As it was said: what it is called is for who gets it to judge."""
    told = held if isinstance(held, dict) else NOTHING
    file_id = told.get("file_id")
    if isinstance(file_id, str):
        return Stored(file_id)
    for name in ("url", "file_data", "file_url"):
        url = told.get(name)
        if isinstance(url, str):
            head, marked, data = url.partition(";base64,")
            return Inline(head[5:], data) if marked and head.startswith("data:") else Link(url)
    raise invalid(where, "must have a source")


def _composed(part: Json, where: str, own: str) -> Composed:
    content = part.get("content")
    if content.__class__ is not list:
        raise invalid(where, "must have `text` or `content`")
    return Composed(tuple(read_content(content, where, own)))


def _part(part: Json, where: str) -> Block:
    kind = part.get("type")
    mark = part.get("cache_control")
    match kind:
        case "image_url" | "input_image":
            return _image(part, where, mark)
        case "file" | "input_file":
            return _file(part, where, mark)
        case "input_audio":
            return _audio(part, where, mark)
        case "refusal":
            refusal = part.get("refusal")
            if refusal.__class__ is not str:
                raise invalid(f"{where}.refusal", "must be a string")
            return Refusal(refusal)
        case "thinking" | "redacted_thinking":
            found = reasoning_of({"thinking_blocks": [part]})
            return found[0][1] if found else Opaque("chat", str(kind), part)
        case "tool_use":
            return odd_call(
                {**part, "function": {"name": part.get("name"), "arguments": part.get("input")}}, where
            )
        case "tool_result":
            call_id = part.get("tool_use_id")
            if call_id.__class__ is not str or not call_id:
                raise invalid(f"{where}.tool_use_id", "must be the id of the call it answers")
            inner = tuple(read_content(part.get("content"), where))
            return ToolResult(call_id, inner, part.get("is_error") is True, "", mark, inner[1:] == ())
        case str():
            return Opaque("chat", kind, part)
        case _:
            raise invalid(f"{where}.type", "must name the kind of the part")


def _image(part: Json, where: str, mark: Any) -> Block:
    given = part.get("image_url")
    detail, media_type = part.get("detail"), None
    if given.__class__ is dict:
        detail, media_type, held = given.get("detail"), given.get("format"), given.get("file_id")
        given = given.get("url")
        if given is None and isinstance(held, str) and held:
            return Image(Stored(held), "", mark)
    if given.__class__ is not str or not given:
        raise invalid(f"{where}.image_url", "must have a `url`: https, or data with base64")
    source = _source(given, media_type, f"{where}.image_url.url")
    if isinstance(source, Inline) and not source.media_type.startswith("image/"):
        return Document(source, "", mark)
    return Image(source, detail if isinstance(detail, str) else "", mark)


def _file(part: Json, where: str, mark: Any) -> Block:
    told = part.get("file", part)
    if told.__class__ is not dict:
        raise invalid(f"{where}.file", "must be an object")
    name, data, held = told.get("filename"), told.get("file_data"), told.get("file_id")
    called = name if isinstance(name, str) else ""
    given = data if data is not None else told.get("file_url")
    if given is None and isinstance(held, str) and held:
        if not held.startswith(("http://", "https://")):
            return Document(Stored(held), called, mark)
        given = held
    if given.__class__ is not str or not given:
        raise invalid(f"{where}.file", "must have `file_data` or `file_id`")
    said = told.get("format")
    media_type = said if isinstance(said, str) and "/" in said else ""
    bare = not given.startswith(("data:", "http://", "https://"))
    try:
        source = (read_data if bare else read_source)(given, media_type, called)
    except BadSource as error:
        raise invalid(f"{where}.file.file_data", str(error)) from None
    if isinstance(source, Inline) and source.media_type.startswith("image/"):
        return Image(source, "", mark)
    return Document(source, called, mark)


def _source(url: str, media_type: Any, where: str) -> Source:
    try:
        return read_source(url, media_type if isinstance(media_type, str) else "")
    except BadSource as error:
        raise invalid(where, str(error)) from None


def _audio(part: Json, where: str, mark: Any) -> Audio:
    told = part.get("input_audio")
    if told.__class__ is not dict or told.get("data").__class__ is not str:
        raise invalid(f"{where}.input_audio", "must have `data` and `format`")
    form = told.get("format")
    form = form if isinstance(form, str) else ""
    return Audio(Inline(f"audio/{form}", told["data"]), form, mark)
