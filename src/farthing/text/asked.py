"""What a chat asks of a model that not every model can, by the words of the catalogue (`types.FEATURES`)."""

from collections.abc import Mapping, Sequence
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
_NOBODY: Mapping[str, str] = {}


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


def lacking(
    targets: Sequence[Target], body: Json, media: bool, output_tokens: int | None
) -> Mapping[str, str]:
    """The targets that are known to lack what `body` asks for, by their names, and what they lack. Nobody,
    where that would leave none: a list may be wrong, and they say so themselves. 0.2 us where no target lacks
    anything.

    `output_tokens`: what the client wants at most; None: it leaves that open, or the limit is fitted.
    """
    for target in targets:
        if target.lacks:
            break
        most = target.output_tokens_max
        if output_tokens is not None and most is not None and output_tokens > most:
            break
    else:
        return _NOBODY
    needed = asked(body, media)
    if not needed and output_tokens is None:
        return _NOBODY
    found = {}
    for target in targets:
        words = sorted(target.lacks & needed)
        most = target.output_tokens_max
        if output_tokens is not None and most is not None and output_tokens > most:
            words.append(f"{output_tokens} tokens of output")
        if words:
            found[target.name] = ", ".join(words)
    return found if len(found) < len(targets) else _NOBODY
