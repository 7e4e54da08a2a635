"""The blocks of a message of Messages: text, images, documents, calls and results, thinking.

A block whose kind nobody here knows is kept as it is (`Opaque`), and so is every field that has no name here
(`extras`). Blocks nest three deep at most: a result has blocks, and a document among them has its own.
"""

from typing import Any

from farthing.dialects.chat.fields import extras_of, invalid
from farthing.dialects.conversation import (
    NOTHING,
    Block,
    Composed,
    Document,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Reasoning,
    Source,
    Stored,
    Text,
    ToolCall,
    ToolResult,
)
from farthing.text.lenient_json import write_json
from farthing.types import Json

FOREIGN = {
    "file": "a file is a `document` with a `source`",
    "function": "a call is a `tool_use`",
    "image_url": "an image is an `image` with a `source`",
    "input_audio": "it has no sound",
    "input_file": "a file is a `document` with a `source`",
    "input_image": "an image is an `image` with a `source`",
    "refusal": "a refusal is `text`",
}
"""Kinds of parts of chat completions, which a block must not be taken for, and what Messages has instead."""
_TEXT = frozenset({"type", "text", "cache_control", "citations"})
_IMAGE = frozenset({"type", "source", "cache_control"})
_DOCUMENT = frozenset({"type", "source", "title", "cache_control"})
_CALL = frozenset({"type", "id", "name", "input", "cache_control"})
_RESULT = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})
_THINKING = frozenset({"type", "thinking", "signature"})
_REDACTED = frozenset({"type", "data"})
_OF_ANSWERS = ("tool_use", "thinking", "redacted_thinking")
_OF_THE_FORM = frozenset({
    "content", "custom", "data", "file", "function", "image_url", "maker", "name", "place", "role",
    "signature", "text", "thinking", "tool_call_id", "turn",
})  # fmt: skip
"""Fields that the form of the pipeline has for something of its own."""


def read_blocks(content: Any, role: str, where: str) -> tuple[Block, ...]:
    """`where` names the field that has `content`, as the errors of Messages name it."""
    if content.__class__ is str:
        return (Text(content),)
    if content.__class__ is not list:
        raise invalid(where, "must be a string or a list of blocks")
    if len(content) == 1:  # as in most messages
        return (_block(content[0], role, where, 0),)
    return tuple([_block(block, role, where, at) for at, block in enumerate(content)])


def _block(block: Any, role: str, within: str, at: int) -> Block:
    if block.__class__ is not dict:
        raise invalid(f"{within}.{at}", "must be an object")
    kind = block.get("type")
    if kind == "text" and len(block) == 2:
        text = block.get("text")
        if text.__class__ is str:
            return Text(text)
    where = f"{within}.{at}"
    if kind == "text":
        return _text(block, where)
    if kind == "tool_result":
        if role != "user":
            raise invalid(f"{where}.type", "`tool_result` stands in messages of the role `user` alone")
        return _result(block, where)
    if kind in _OF_ANSWERS:
        if role != "assistant":
            raise invalid(f"{where}.type", f"`{kind}` stands in messages of the role `assistant` alone")
        return _call(block, where) if kind == "tool_use" else _reasoning(block, kind, where)
    return _other(block, kind, where)


def _other(block: Json, kind: Any, where: str) -> Block:
    """A block that may stand anywhere, in results and documents too."""
    if kind == "image":
        mark = block.get("cache_control")
        source = _source(block, where)
        if isinstance(source, Plain | Composed):
            raise invalid(f"{where}.source.type", "must be base64, url or file")
        return Image(source, cache=mark, extras=more_of(block, _IMAGE, where))
    if kind == "document":
        return _document(block, where)
    if kind.__class__ is not str or not kind:
        raise invalid(f"{where}.type", "must name the kind of the block")
    if kind in FOREIGN:
        raise invalid(f"{where}.type", f"`{kind}` is no kind of block that Messages has: {FOREIGN[kind]}")
    return Opaque("messages", kind, block)


def _inner(content: Any, where: str) -> tuple[Block, ...]:
    """The blocks of a result or a document, which may not hold results, calls or thoughts of their own."""
    if content.__class__ is not list:
        raise invalid(where, "must be a string or a list of blocks")
    blocks: list[Block] = []
    for at, block in enumerate(content):
        if block.__class__ is not dict:
            raise invalid(f"{where}.{at}", "must be an object")
        kind = block.get("type")
        if kind == "text":
            blocks.append(_text(block, f"{where}.{at}"))
        elif kind == "tool_result" or kind in _OF_ANSWERS:
            raise invalid(f"{where}.{at}.type", f"`{kind}` cannot stand in another block")
        else:
            blocks.append(_other(block, kind, f"{where}.{at}"))
    return tuple(blocks)


def _text(block: Json, where: str) -> Text:
    text, citations = block.get("text"), block.get("citations")
    if text.__class__ is not str:
        raise invalid(f"{where}.text", "must be a string")
    if citations is not None and citations.__class__ is not list:
        raise invalid(f"{where}.citations", "must be a list")
    return Text(
        text, block.get("cache_control"), tuple(citations) if citations else (), more_of(block, _TEXT, where)
    )


def _document(block: Json, where: str) -> Document:
    title = block.get("title")
    if title is not None and title.__class__ is not str:
        raise invalid(f"{where}.title", "must be a string")
    mark = block.get("cache_control")
    return Document(_source(block, where), title or "", mark, more_of(block, _DOCUMENT, where))


def _source(block: Json, where: str) -> Source:
    source = block.get("source")
    if source.__class__ is not dict:
        raise invalid(f"{where}.source", "must be an object")
    match source.get("type"):
        case "base64":
            return Inline(_media_type(source, where), _str(source, "data", where))
        case "url":
            url = _str(source, "url", where)
            if not url:
                raise invalid(f"{where}.source.url", "must be a link")
            if url[:5].lower() == "data:":
                raise invalid(f"{where}.source.url", "must be a link; send data with the type `base64`")
            return Link(url)
        case "file":
            return Stored(_str(source, "file_id", where))
        case "text":
            return Plain(_str(source, "data", where))
        case "content":
            content = source.get("content")
            if content.__class__ is str:
                return Composed((Text(content),))
            return Composed(_inner(content, f"{where}.source.content"))
        case _:
            raise invalid(f"{where}.source.type", "must be base64, url, file, text or content")


def more_of(value: Json, known: frozenset[str], where: str) -> Json:
    """The fields of a block or a tool that have no name in the model.

    Raises:
        InvalidRequest: one would be taken for a field of another dialect.
    """
    extras = extras_of(value, known)
    if extras and not _OF_THE_FORM.isdisjoint(extras):
        name = min(_OF_THE_FORM & extras.keys())
        raise invalid(f"{where}.{name}", f"is no field of `{value.get('type', 'custom')}`")
    return extras


def _media_type(source: Json, where: str) -> str:
    said = _str(source, "media_type", where)
    if "/" not in said or ";" in said:
        raise invalid(f"{where}.source.media_type", "must be a media type, such as `image/png`")
    return said


def _str(source: Json, name: str, where: str) -> str:
    value = source.get(name)
    if value.__class__ is not str:
        raise invalid(f"{where}.source.{name}", "must be a string")
    return str(value)


def _call(block: Json, where: str) -> ToolCall:
    call_id, name, given = block.get("id"), block.get("name"), block.get("input")
    if call_id.__class__ is not str or not call_id:
        raise invalid(f"{where}.id", "must be the id of the call")
    if name.__class__ is not str or not name:
        raise invalid(f"{where}.name", "must be the name of the tool")
    if given is None:
        given = NOTHING
    elif given.__class__ is not dict:
        raise invalid(f"{where}.input", "must be an object")
    try:
        arguments = write_json(given).decode()
    except RecursionError:
        raise invalid(f"{where}.input", "is nested too deep: flatten it") from None
    if len(block) == 4:
        return ToolCall(call_id, name, arguments)
    return ToolCall(call_id, name, arguments, False, block.get("cache_control"), more_of(block, _CALL, where))


def _result(block: Json, where: str) -> ToolResult:
    call_id, content, failed = block.get("tool_use_id"), block.get("content"), block.get("is_error")
    if call_id.__class__ is not str or not call_id:
        raise invalid(f"{where}.tool_use_id", "must be the id of the call it answers")
    if failed is not None and failed.__class__ is not bool:
        raise invalid(f"{where}.is_error", "must be true or false")
    plain = content is None or content.__class__ is str
    blocks = (Text(content or ""),) if plain else _inner(content, f"{where}.content")
    if len(block) == 3 and "content" in block:
        return ToolResult(call_id, blocks, plain=plain)
    return ToolResult(
        call_id, blocks, failed is True, "", block.get("cache_control"), plain, more_of(block, _RESULT, where)
    )


def _reasoning(block: Json, kind: Any, where: str) -> Reasoning:
    if kind == "redacted_thinking":
        data = block.get("data")
        if data.__class__ is not str:
            raise invalid(f"{where}.data", "must be a string")
        return Reasoning("", "", data, "messages", more_of(block, _REDACTED, where))
    text, signature = block.get("thinking"), block.get("signature")
    if text.__class__ is not str:
        raise invalid(f"{where}.thinking", "must be a string")
    if signature is not None and signature.__class__ is not str:
        raise invalid(f"{where}.signature", "must be a string")
    return Reasoning(text, signature or "", "", "messages", more_of(block, _THINKING, where))
