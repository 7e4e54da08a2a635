"""The parts of a message of Responses, and of what a tool gave: text, images, files, sound."""

from typing import Any

from farthing.dialects.chat.answers.sources import BadSource, read_data, read_source
from farthing.dialects.chat.fields import extras_of, invalid
from farthing.dialects.conversation import (
    NOTHING,
    Audio,
    Block,
    Document,
    Image,
    Inline,
    Opaque,
    Refusal,
    Stored,
    Text,
)
from farthing.types import Json

FOREIGN = {
    "text": "text is `input_text`, and in earlier answers `output_text`",
    "image_url": "an image is `input_image` with `image_url`",
    "image": "an image is `input_image` with `image_url`",
    "file": "a file is `input_file` with `file_data`, `file_url` or `file_id`",
    "document": "a file is `input_file` with `file_data`, `file_url` or `file_id`",
    "tool_use": "a call is an item `function_call`",
    "tool_result": "what a tool gave is an item `function_call_output`",
}
"""Kinds of parts of other dialects, which a part must not be taken for, and what Responses has instead."""
_TEXTS = ("input_text", "output_text")
BREAKPOINT = "prompt_cache_breakpoint"
"""The end of a prefix that is worth keeping, on a part."""
_TEXT = frozenset({"type", "text", "annotations", "logprobs", BREAKPOINT})
_IMAGE = frozenset({"type", "image_url", "file_id", "detail", BREAKPOINT})
_FILE = frozenset({"type", "file_data", "file_id", "file_url", "filename", "detail", BREAKPOINT})
_AUDIO = frozenset({"type", "input_audio"})
_OF_THE_FORM = frozenset({
    "cache_control", "citations", "content", "custom", "data", "file", "function", "maker", "name", "place",
    "role", "signature", "thinking", "tool_call_id", "turn",
})  # fmt: skip
"""Fields that the form of the pipeline has for something of its own."""


def read_content(content: Any, where: str) -> list[Block]:
    """`where` names the field that has `content`, as the errors of Responses name it."""
    if content.__class__ is str:
        return [Text(content)]
    if content.__class__ is not list:
        raise invalid(where, "must be a string or a list of parts")
    return [_part(part, f"{where}[{at}]") for at, part in enumerate(content)]


def _part(part: Any, where: str) -> Block:
    if part.__class__ is not dict:
        raise invalid(where, "must be an object")
    kind = part.get("type")
    if kind in _TEXTS:
        text = part.get("text")
        if text.__class__ is not str:
            raise invalid(f"{where}.text", "must be a string")
        if len(part) == 2 or (len(part) == 3 and part.get("annotations") == []):
            return Text(text)
        return _text(part, text, where)
    match kind:
        case "input_image":
            return _image(part, where)
        case "input_file":
            return _file(part, where)
        case "input_audio":
            return _audio(part, where)
        case "refusal":
            return Refusal(_str(part, "refusal", where))
        case str() if kind:
            if kind in FOREIGN:
                raise invalid(
                    f"{where}.type", f"`{kind}` is no kind of part that Responses has: {FOREIGN[kind]}"
                )
            return Opaque("responses", kind, part)
        case _:
            raise invalid(f"{where}.type", "must name the kind of the part")


def _text(part: Json, text: str, where: str) -> Text:
    cited = part.get("annotations")
    if cited is not None and cited.__class__ is not list:
        raise invalid(f"{where}.annotations", "must be a list")
    return Text(text, _mark(part), tuple(cited) if cited else (), more_of(part, _TEXT, where))


def _image(part: Json, where: str) -> Image:
    url, held, detail = part.get("image_url"), part.get("file_id"), _detail(part, where)
    mark, extras = _mark(part), more_of(part, _IMAGE, where)
    if url is None and held.__class__ is str and held:
        return Image(Stored(held), detail, mark, extras)
    if url.__class__ is not str or not url:
        raise invalid(f"{where}.image_url", "must be a link or a data URL, in a string")
    try:
        source = read_source(url)
    except BadSource as error:
        raise invalid(f"{where}.image_url", str(error)) from None
    if isinstance(source, Inline) and not source.media_type.startswith("image/"):
        raise invalid(f"{where}.image_url", f"is no image: its data are {source.media_type}"[:200])
    return Image(source, detail, mark, extras)


def _file(part: Json, where: str) -> Block:
    name = part.get("filename")
    if name is not None and name.__class__ is not str:
        raise invalid(f"{where}.filename", "must be a string")
    mark, extras, detail = _mark(part), more_of(part, _FILE, where), _detail(part, where)
    if detail:
        extras = {**extras, "detail": detail}
    held = part.get("file_id")
    field = next((one for one in ("file_data", "file_url") if part.get(one) is not None), "")
    if not field and held.__class__ is str and held:
        return Document(Stored(held), name or "", mark, extras)
    given = part.get(field)
    if given.__class__ is not str or not given:
        raise invalid(
            f"{where}.{field or 'file_data'}", "must be a string: send `file_data`, `file_url` or `file_id`"
        )
    bare = field == "file_data" and given[:5].lower() != "data:"
    try:
        source = read_data(given, "", name or "") if bare else read_source(given, "", name or "")
    except BadSource as error:
        raise invalid(f"{where}.{field}", str(error)) from None
    if isinstance(source, Inline) and source.media_type.startswith("image/"):
        return Image(source, "", mark, extras)
    return Document(source, name or "", mark, extras)


def _audio(part: Json, where: str) -> Audio:
    told = part.get("input_audio")
    if told.__class__ is not dict:
        raise invalid(f"{where}.input_audio", "must be an object with `data` and `format`")
    form = _str(told, "format", f"{where}.input_audio")
    data = _str(told, "data", f"{where}.input_audio")
    return Audio(Inline(f"audio/{form}", data), form, extras=more_of(part, _AUDIO, where))


def _mark(part: Json) -> Json | None:
    """The mark for a prefix cache as the model of a conversation has it, which is that of Messages: it lives
    as long as its provider likes, or for the longer time there if the client names a time."""
    said = part.get(BREAKPOINT)
    if said is None:
        return None
    lasting = said.__class__ is dict and said.get("ttl") is not None
    return {"type": "ephemeral", "ttl": "1h"} if lasting else {"type": "ephemeral"}


def _detail(part: Json, where: str) -> str:
    """How closely to look; empty: as the model likes."""
    said = part.get("detail")
    if said is None or said == "auto":
        return ""
    if said.__class__ is not str:
        raise invalid(f"{where}.detail", "must be auto, low, high or original")
    return str(said)


def _str(value: Json, name: str, where: str) -> str:
    said = value.get(name)
    if said.__class__ is not str:
        raise invalid(f"{where}.{name}", "must be a string")
    return str(said)


def more_of(value: Json, known: frozenset[str], where: str) -> Json:
    """The fields of an item, a part or a tool that have no name in the model.

    Raises:
        InvalidRequest: one would be taken for a field of another dialect.
    """
    extras = extras_of(value, known)
    if not extras:
        return NOTHING
    if not _OF_THE_FORM.isdisjoint(extras):
        name = min(_OF_THE_FORM & extras.keys())
        raise invalid(f"{where}.{name}", f"is no field of `{value.get('type', 'message')}`"[:200])
    return extras
