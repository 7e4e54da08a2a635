"""Measures the text, images, audio and files of a chat in OpenAI's format.

Media data is not text: an image of 600 kB is some hundred tokens, while its base64 would be 400,000. If a
header can be read cheaply, the figure depends on the size, otherwise it is flat. Pure, and lenient: a field
of an unexpected type counts as text.
"""

import binascii
from typing import Any

import msgspec

IMAGE_TOKENS = 1_105  # OpenAI's documented example of a large image at high detail; for unknown sizes
IMAGE_TOKENS_LOW = 85
IMAGE_TOKENS_MAX = 20_000  # above the largest figure a provider publishes for one image at full detail,
MINI_IMAGE_TOKENS_MAX = 50_000  # except for gpt-4o-mini, which counts every tile 33 times
TILE_TOKENS, TILE_PX = 170, 512
AUDIO_TOKENS_PER_S = 10  # OpenAI's; Gemini counts 32, and no provider is known to count more
AUDIO_TOKENS_PER_S_MAX = 32
AUDIO_BYTES_PER_S = {"wav": 48_000, "pcm16": 48_000}  # 24 kHz, 16 bit, mono: the format that the API returns
COMPRESSED_BYTES_PER_S = 16_000  # 128 kbit/s
AUDIO_BYTES_PER_S_MIN = 1_000  # no speech codec in use needs less
FILE_BYTES_PER_PAGE, PAGE_TOKENS = 50_000, 2_000  # Anthropic: 1,500 to 3,000 tokens for a page of a PDF
FILE_TOKENS_MAX = 1_000_000  # files and videos may be anything up to the context window
JPEG_SEGMENTS_MAX = 100  # before its size; cameras and editors write some twenty
HEADER_CHARS_MAX = 98_304  # of base64 that are decoded to find the size of a JPEG: its EXIF comes first

_IMAGES = frozenset({"image_url", "input_image", "image"})
_AUDIO = frozenset({"input_audio", "audio"})
_FILES = frozenset({"file", "input_file", "document", "video_url", "input_video", "video"})
_TEXTS = frozenset({"text", "content", "arguments", "reasoning_content", "reasoning", "refusal"})
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
        "media_tokens_max",
        "text_bytes_max",
    )

    def __init__(self) -> None:
        self.chars = 0
        """Characters of text, including the JSON of tools."""
        self.text_bytes_max = 0
        """Upper bound of the text's bytes in UTF-8."""
        self.media_tokens = 0
        """Estimated tokens of everything that is not text."""
        self.media_tokens_max = 0
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

    def _object(self, value: dict[str, Any]) -> None:
        declared = value.get("type")
        kind = declared if declared.__class__ is str else ""
        if kind in _IMAGES:
            self._image(value)
        elif kind in _AUDIO:
            self._audio(value)
        elif kind in _FILES:
            self._file(value)
        else:
            for name, item in value.items():
                if name in ("type", "cache_control"):
                    continue
                self._count(len(name), 4 * len(name))
                if name in _TEXTS and item.__class__ is str:
                    self._text(item)  # even if it spells an image
                else:
                    self.add(item)
        marked = value.get("cache_control")
        if marked.__class__ is dict and marked.get("ttl") not in (None, "5m", "30m"):
            self.long_write = True

    def _media(self, tokens: int, tokens_max: int) -> None:
        self.media = True
        self.media_tokens += tokens
        self.media_tokens_max += tokens_max

    def _image(self, part: dict[str, Any]) -> None:
        url, detail = _image_of(part)
        self.images += 1
        size = None if url is None else image_size(url)
        tokens_max = (
            IMAGE_TOKENS_MAX if size is None else min(IMAGE_TOKENS_MAX, size[0] * size[1] // 750 + 3_000)
        )
        self._media(image_tokens(size, detail), tokens_max)

    def _audio(self, part: dict[str, Any]) -> None:
        held = part.get("input_audio") or part.get("source") or part
        data, form = (held.get("data"), held.get("format")) if held.__class__ is dict else (None, None)
        size_bytes = _base64_bytes(data) if data.__class__ is str else 0
        per_s = AUDIO_BYTES_PER_S.get(form, COMPRESSED_BYTES_PER_S) if form.__class__ is str else 16_000
        if not size_bytes:
            self._media(PAGE_TOKENS, FILE_TOKENS_MAX)
            return
        tokens_max = size_bytes * AUDIO_TOKENS_PER_S_MAX // AUDIO_BYTES_PER_S_MIN + AUDIO_TOKENS_PER_S_MAX
        self._media(size_bytes * AUDIO_TOKENS_PER_S // per_s + 1, tokens_max)

    def _file(self, part: dict[str, Any]) -> None:
        data = next((text for text in _strings(part) if len(text) > 1_000), "")
        pages = -(-_base64_bytes(data) // FILE_BYTES_PER_PAGE) or 1
        self._media(pages * PAGE_TOKENS, FILE_TOKENS_MAX)

    def _data_url(self, url: str) -> None:
        """A data URL of unspecified type."""
        if url.startswith("data:image/"):
            self._image({"image_url": url})
        elif url.startswith("data:audio/"):
            self._audio({"data": url})
        else:
            self._file({"data": url})


def measure(body: dict[str, Any]) -> Measure:
    """Measure a chat, or the input of embeddings."""
    found = Measure()
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


# -- images -----------------------------------------------------------------------------------------


def image_tokens(size: tuple[int, int] | None, detail: str = "auto") -> int:
    """OpenAI's token count for an image of `size` pixels (width, height), None if unknown: at high detail it
    is scaled into a square of 2,048, then to 768 at its shorter side, and counted in tiles."""
    if detail == "low":
        return IMAGE_TOKENS_LOW
    if size is None:
        return IMAGE_TOKENS
    width, height = size
    scale = min(1.0, 2_048 / max(width, height), 768 / min(width, height))
    across, down = -(-int(width * scale) // TILE_PX), -(-int(height * scale) // TILE_PX)
    return IMAGE_TOKENS_LOW + TILE_TOKENS * max(1, across) * max(1, down)


def input_tokens_bound_at(model: str, bound: int, images: int) -> int:
    """The bound of a prompt with this many images at one model: one model family counts images
    differently."""
    return bound + images * MINI_IMAGE_TOKENS_MAX if images and "4o-mini" in model else bound


def image_size(url: str) -> tuple[int, int] | None:
    """Width and height of the image in a data URL or base64; None if it is elsewhere, or cannot be determined
    cheaply."""
    start = url.find(",", 0, 200) + 1 if url.startswith("data:") else 0
    if url.startswith("http") or (start == 0 and url.startswith("data:")):
        return None
    head = _decoded(url, start, 64)
    size: tuple[int, int] | None = None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        size = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    elif head[:4] == b"GIF8":
        size = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        size = _webp_size(head)
    elif head.startswith(b"\xff\xd8"):
        size = _jpeg_size(_decoded(url, start, 4_096)) or _jpeg_size(_decoded(url, start, HEADER_CHARS_MAX))
    return size if size is not None and min(size) > 0 and max(size) < 100_000 else None


def _decoded(url: str, start: int, chars: int) -> bytes:
    """The first bytes of the base64 from `start` on; none if it is not base64."""
    data = url[start : start + chars]
    try:
        return binascii.a2b_base64(data[: len(data) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _webp_size(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(
                head[28:30], "little"
            ) & 0x3FFF
        case _:
            return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """From the first frame header (ITU T.81, B.2.2); None if that is further on, or behind too many
    segments."""
    at = 2
    for _ in range(JPEG_SEGMENTS_MAX):
        if at + 9 > len(head) or head[at] != 0xFF:
            break
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _image_of(part: dict[str, Any]) -> tuple[str | None, str]:
    """The location of a part's image, and the requested detail."""
    held = part.get("image_url") or part.get("source") or part.get("image")
    detail = part.get("detail")
    if held.__class__ is dict:
        detail = held.get("detail", detail)
        held = held.get("url") or held.get("data")
    return held if held.__class__ is str else None, detail if detail.__class__ is str else "auto"


def _base64_bytes(data: str) -> int:
    return len(data) * 3 // 4


def _strings(value: Any) -> list[str]:
    if value.__class__ is str:
        return [value]
    if value.__class__ is dict:
        return [text for item in value.values() for text in _strings(item)]
    return []
