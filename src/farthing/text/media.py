"""Measures the text, images, audio, video and files of a chat in OpenAI's format, with the extensions of the
Messages API that may stand in it.

Media data is not text: an image of 600 kB is some hundred tokens, while its base64 would be 400,000. What it
counts is the rule of the model's family (`media_rules`), by what its header says (`media_headers`); where
that cannot be read, by its bytes. So is what only a provider can read: signatures and encrypted reasoning.
Pure, and lenient: a field of an unexpected type counts as text.
"""

from typing import Any

import msgspec

from farthing.text.media_headers import (
    base64_bytes,
    head_of,
    image_size,
    pdf_pages,
    video_seconds,
    wav_seconds,
)
from farthing.text.media_rules import (
    IMAGE_TOKENS_LOW,
    MINI_IMAGE_TOKENS_MAX,
    OTHER,
    MediaRules,
    image_tokens_max,
)

AUDIO_TOKENS_PER_S_MAX = 32  # Gemini's; no provider is known to count more
AUDIO_BYTES_PER_S = {"wav": 48_000, "pcm16": 48_000}  # 24 kHz, 16 bit, mono: the format that the API returns
COMPRESSED_BYTES_PER_S = 16_000  # 128 kbit/s
AUDIO_BYTES_PER_S_MIN = 1_000  # no speech codec in use needs less
VIDEO_BYTES_PER_S = 250_000  # 2 Mbit/s
FILE_BYTES_PER_PAGE = 50_000
FILE_TOKENS_MAX = 1_000_000  # files and videos may be anything up to the context window
UNSEEN_TOKENS = 2_000  # audio, video or a file that is elsewhere
BYTES_PER_TOKEN = 4  # of a file of text, and of what only a provider can read

# What is surely there, as a share of the estimate.
_LOW_KNOWN = 0.9  # by a documented rule, of a size that is known
_LOW_RULE = 0.5  # either is not
_LOW_BYTES = 0.2  # by the bytes alone

_IMAGES = frozenset({"image_url", "input_image", "image"})
_AUDIO = frozenset({"input_audio", "audio", "audio_url"})
_FILES = frozenset({"file", "input_file", "document", "container_upload"})
_VIDEOS = frozenset({"video_url", "input_video", "video"})
_HELD = (
    "file",
    "source",
    "input_audio",
    "audio",
    "audio_url",
    "video_url",
    "input_video",
    "video",
    "document",
)
_DATA = ("file_data", "data", "url", "file_url")
_OPAQUE = frozenset({"signature", "encrypted_content", "encrypted_index", "encrypted_stdout"})
_TEXTS = frozenset({
    "arguments", "content", "input", "name", "reasoning", "reasoning_content", "refusal", "text",
    "tool_call_id",
})  # fmt: skip
_TOOLS = ("tools", "functions", "response_format")
CHARS_PER_TOKEN = 4
ROLE_CHARS = 20  # for a message's role and field names
_OTHER_CHARS = 8  # for a number, or a JSON literal

_encode = msgspec.json.Encoder().encode


class Measure:
    """The totals so far."""

    __slots__ = (
        "chars",
        "images",
        "long_write",
        "media",
        "media_tokens",
        "media_tokens_bound",
        "media_tokens_high",
        "media_tokens_low",
        "media_tokens_max",
        "rules",
        "text_bytes_max",
        "texts",
    )

    def __init__(self, rules: MediaRules = OTHER, texts: list[str] | None = None) -> None:
        """`texts` gets every text that is counted as such."""
        self.rules = rules
        self.texts = texts
        self.chars = 0
        """Characters of text, including the JSON of tools."""
        self.text_bytes_max = 0
        """Upper bound of the text's bytes in UTF-8."""
        self.media_tokens = 0
        """Estimated tokens of everything that is not text."""
        self.media_tokens_low = 0.0
        """The part of them that is surely there."""
        self.media_tokens_high = 0.0
        """As many as these may well be."""
        self.media_tokens_bound = 0.0
        """More than this a model that counts by `rules` cannot have, as far as its provider documents."""
        self.media_tokens_max = 0
        """More than this no model has."""
        self.images = 0
        self.media = False
        self.long_write = False
        """Whether a prefix is marked to be cached for longer than the normal time."""

    def add(self, value: Any) -> None:
        """Count any JSON: text, a part of a message, a list of parts, a message."""
        if value.__class__ is str:
            if value.startswith("data:") and ";base64," in value[:200]:
                self._data_url(value)
            else:
                self._text(value)
        elif value.__class__ is list:
            for item in value:
                self.add(item)
        elif value.__class__ is dict:
            self._object(value)
        elif value is not None:
            self._count(_OTHER_CHARS, _OTHER_CHARS)

    def add_json(self, value: Any) -> None:
        """Count JSON that reaches the model as JSON."""
        encoded = _encode(value)
        self._count(len(encoded), len(encoded))

    def _count(self, chars: int, bytes_max: int) -> None:
        self.chars += chars
        self.text_bytes_max += bytes_max

    def _text(self, text: str) -> None:
        chars = len(text)
        self._count(chars, chars if text.isascii() else 4 * chars)
        if self.texts is not None:
            self.texts.append(text)

    def _object(self, value: dict[str, Any]) -> None:
        declared = value.get("type")
        kind = declared if declared.__class__ is str else ""
        if kind in _IMAGES:
            self._image(value)
        elif kind in _AUDIO:
            self._beside(value)
            self._data(value, "audio")
        elif kind in _VIDEOS:
            self._beside(value)
            self._data(value, "video")
        elif kind in _FILES:
            self._beside(value)
            self._file(value)
        elif kind == "redacted_thinking":
            self._opaque(value.get("data"))
        else:
            self._fields(value)
        marked = value.get("cache_control")
        if marked.__class__ is dict and marked.get("ttl") not in (None, "5m", "30m"):
            self.long_write = True

    def _fields(self, value: dict[str, Any]) -> None:
        for name, item in value.items():
            if name in ("type", "cache_control"):
                continue
            self._count(len(name), 4 * len(name))
            if name in _TEXTS and item.__class__ is str:
                self._text(item)  # even if it spells an image
            elif name in _OPAQUE and item.__class__ is str:
                self._opaque(item)
            else:
                self.add(item)

    def _beside(self, part: dict[str, Any]) -> None:
        """The words beside media: a title, what it is, a name."""
        for name in ("title", "context", "filename", "text"):
            word = part.get(name)
            if word.__class__ is str:
                self._text(word)

    def _media(self, tokens: float, low_share: float, tokens_max: float) -> None:
        self.media = True
        tokens_max = max(tokens, tokens_max)
        high = min(tokens_max, tokens / low_share + 1) if low_share else tokens_max
        self.media_tokens += int(tokens)
        self.media_tokens_low += int(tokens) * low_share
        self.media_tokens_high += high
        self.media_tokens_bound += high if low_share >= _LOW_KNOWN else tokens_max
        self.media_tokens_max += int(tokens_max)

    def _opaque(self, data: Any) -> None:
        """What only the provider can read, which counts by what is in it: less than its characters."""
        if data.__class__ is str and data:
            tokens = base64_bytes(data) // BYTES_PER_TOKEN
            self.media_tokens += tokens
            self.media_tokens_high += 2 * tokens
            self.media_tokens_bound += len(data)
            self.media_tokens_max += len(data)

    def _image(self, part: dict[str, Any]) -> None:
        url, detail = _image_of(part)
        self.images += 1
        size = None if url is None else image_size(url)
        tokens = self.rules.image(size, detail)
        if size is None:
            low = min(tokens, IMAGE_TOKENS_LOW) / tokens
        else:
            low = _LOW_KNOWN if self.rules.documented else _LOW_RULE
        most = image_tokens_max(size)
        if size is None and self.rules.family == "gpt-4o-mini":
            most = MINI_IMAGE_TOKENS_MAX
        self._media(tokens, low, most)

    def _audio(self, data: str, form: str | None, size_bytes: int) -> None:
        seconds, low = wav_seconds(data), _LOW_KNOWN
        if seconds is None:
            seconds, low = size_bytes / AUDIO_BYTES_PER_S.get(form or "", COMPRESSED_BYTES_PER_S), _LOW_BYTES
        tokens_max = size_bytes * AUDIO_TOKENS_PER_S_MAX // AUDIO_BYTES_PER_S_MIN + AUDIO_TOKENS_PER_S_MAX
        self._media(seconds * self.rules.audio_tokens_per_s + 1, low, tokens_max)

    def _video(self, data: str, size_bytes: int) -> None:
        seconds, low = video_seconds(data), _LOW_RULE
        if seconds is None:
            seconds, low = size_bytes / VIDEO_BYTES_PER_S, _LOW_BYTES
        self._media(min(FILE_TOKENS_MAX, seconds * self.rules.video_tokens_per_s + 1), low, FILE_TOKENS_MAX)

    def _file(self, part: dict[str, Any]) -> None:
        """A document: text counts as text, what looks like an image, audio or a video as that."""
        source = part.get("source")
        if source.__class__ is dict and source.get("type") in ("text", "content"):
            self._texts(source.get("data") or source.get("content"))
            return
        if part.get("content") is not None or part.get("text").__class__ is str:
            self._texts(part.get("content"))  # `text` is counted beside it
            return
        self._data(part)

    def _data(self, part: dict[str, Any], medium: str | None = None) -> None:
        """What a part holds, as this medium; None: as what it looks like. Nothing is known of what is
        elsewhere."""
        data, form = _held(part)
        size_bytes = 0 if data is None else base64_bytes(data)
        if data is None or not size_bytes:
            self._media(UNSEEN_TOKENS, 0.0, FILE_TOKENS_MAX)
            return
        match medium or _medium(data, form):
            case "image":
                self._image({"image_url": data})
            case "audio":
                self._audio(data, form, size_bytes)
            case "video":
                self._video(data, size_bytes)
            case "text":
                self._media(size_bytes // BYTES_PER_TOKEN + 1, _LOW_RULE, size_bytes)
            case _:
                pages, low = pdf_pages(data), _LOW_RULE
                if pages is None:
                    pages, low = -(-size_bytes // FILE_BYTES_PER_PAGE), _LOW_BYTES
                tokens = min(FILE_TOKENS_MAX, pages * self.rules.page_tokens)
                self._media(tokens, low, FILE_TOKENS_MAX)

    def _texts(self, value: Any) -> None:
        if value.__class__ is str:
            self._text(value)  # even if it spells an image
        else:
            self.add(value)

    def _data_url(self, url: str) -> None:
        """A data URL of unspecified type."""
        self._file({"data": url})


def measure(body: dict[str, Any], rules: MediaRules = OTHER) -> Measure:
    """Measure a chat, or the input of embeddings, for a model that counts media by `rules`."""
    found = Measure(rules)
    messages = body.get("messages")
    for message in messages if messages.__class__ is list else ():
        content = message.get("content") if message.__class__ is dict else None
        if content.__class__ is str and len(message) == 2:  # the normal case: a role and a text
            chars = len(content)
            found.chars += chars + ROLE_CHARS
            found.text_bytes_max += (chars if content.isascii() else 4 * chars) + ROLE_CHARS
        else:
            found.add(message)
    for name in _TOOLS:
        if body.get(name):
            found.add_json(body[name])
    if messages is None:
        _add_input(found, body.get("input"))
    if body.get("prompt_cache_retention") or body.get("prompt_cache_options"):
        found.long_write = True
    modalities = body.get("modalities")
    if body.get("audio") or (modalities.__class__ is list and "audio" in modalities):
        found.media = True
    return found


def _add_input(found: Measure, given: Any) -> None:
    """The input of embeddings: texts, images, or token ids, which count as one token each."""
    if given.__class__ is not list:
        found.add(given)
        return
    ids = 0
    if given and given[0].__class__ is int:
        ids, given = len(given), ()
    for item in given:
        if item.__class__ is list:
            ids += len(item)
        else:
            found.add(item)
    found.chars += CHARS_PER_TOKEN * ids
    found.text_bytes_max += CHARS_PER_TOKEN * ids


def input_tokens_bound_at(model: str, bound: int, images: int) -> int:
    """The bound of a prompt with this many images at one model: one model family counts images
    differently."""
    return bound + images * MINI_IMAGE_TOKENS_MAX if images and "4o-mini" in model else bound


def _image_of(part: dict[str, Any]) -> tuple[str | None, str]:
    """The location of a part's image, and the requested detail."""
    held = part.get("image_url") or part.get("source") or part.get("image")
    detail = part.get("detail")
    if held.__class__ is dict:
        detail = held.get("detail", detail)
        held = held.get("url") or held.get("data")
    return held if held.__class__ is str else None, detail if detail.__class__ is str else "auto"


def _held(part: dict[str, Any]) -> tuple[str | None, str | None]:
    """The data of a part that is audio, a video or a file, or where it is; and its format or media type."""
    held: Any = part
    for name in _HELD:
        inner = part.get(name)
        if inner.__class__ is str and inner:
            return inner, None
        if inner.__class__ is dict:
            held = inner
            break
    data = next((held[name] for name in _DATA if held.get(name).__class__ is str and held[name]), None)
    kind = held.get("format") or held.get("media_type") or held.get("mime_type")
    return data, kind if kind.__class__ is str else None


def _medium(data: str, kind: str | None) -> str:
    """What a file is: by the type it is said to have, else by its first bytes; `pdf` where nothing tells."""
    said = data[5 : data.find(",", 0, 200)] if data.startswith("data:") else kind or ""
    medium = said.partition("/")[0]
    if medium in ("image", "audio", "video", "text"):
        return medium
    if medium == "application" and "pdf" in said:
        return "pdf"
    head = head_of(data, 64)
    if head.startswith((b"\x89PNG", b"GIF8", b"\xff\xd8\xff")) or head[8:12] == b"WEBP":
        return "image"
    if head[8:12] == b"WAVE" or head.startswith((b"ID3", b"OggS", b"fLaC")):
        return "audio"
    return "video" if head[4:8] == b"ftyp" else "pdf"
