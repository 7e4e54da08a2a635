"""What a chat asks of a model that not every model can, by the words of the catalogue (`types.FEATURES`)."""

from collections.abc import Sequence
from typing import Any

from farthing.types import Json, Target

ASKED = frozenset({"vision", "audio_in", "video", "documents", "tools", "structured_output"})
"""The words that `asked` knows."""
_PARTS = {
    "image_url": "vision",
    "input_image": "vision",
    "image": "vision",
    "input_audio": "audio_in",
    "audio": "audio_in",
    "audio_url": "audio_in",
    "file": "documents",
    "input_file": "documents",
    "document": "documents",
    "video_url": "video",
    "input_video": "video",
    "video": "video",
}
_NONE: frozenset[str] = frozenset()


def asked(body: Json, media: bool) -> frozenset[str]:
    """What `body` needs. `media`: it holds more than text, which is known by then; without it only tools and
    formats are looked at."""
    form = body.get("response_format")
    schema = form.__class__ is dict and form.get("type") == "json_schema"
    tools = body.get("tools") or body.get("functions")
    if not (tools or schema or media):
        return _NONE
    found = {word for word, needed in (("tools", tools), ("structured_output", schema)) if needed}
    if media:
        found |= _media(body.get("messages"))
    return frozenset(found)


def _media(messages: Any) -> set[str]:
    found = set[str]()
    for message in messages if messages.__class__ is list else ():
        content = message.get("content") if message.__class__ is dict else None
        for part in content if content.__class__ is list else ():
            kind = part.get("type") if part.__class__ is dict else None
            word = _PARTS.get(kind) if kind.__class__ is str else None
            if word is not None:
                found.add(word)
    return found


def able(
    targets: Sequence[Target], body: Json, *, media: bool, output_tokens: int | None
) -> tuple[tuple[Target, ...], dict[str, str]]:
    """The targets that are not known to lack what `body` asks for, and of the others what they lack. All of
    them, and nobody, where that would leave none: a list may be wrong, and they say so themselves.

    `output_tokens`: what the client wants at most; None: it leaves that open, or the limit is fitted.
    """
    if not any(target.lacks or _is_over(target, output_tokens) for target in targets):
        return tuple(targets), {}
    needed = asked(body, media)
    lacking = {}
    for target in targets:
        words = sorted(target.lacks & needed)
        if _is_over(target, output_tokens):
            words.append(f"{output_tokens} tokens of output")
        if words:
            lacking[target.name] = ", ".join(words)
    if not lacking or len(lacking) == len(targets):
        return tuple(targets), {}
    return tuple(target for target in targets if target.name not in lacking), lacking


def _is_over(target: Target, output_tokens: int | None) -> bool:
    most = target.output_tokens_max
    return output_tokens is not None and most is not None and output_tokens > most
