"""How each family of models counts images, audio, video and documents, as its provider documents it.

    family                     an image of w x h pixels                                        a page    audio, video/s
    OpenAI, tiles              85 + 170 (GPT-5: 70 + 140; o1, o3: 75 + 150; 4o-mini: 2,833     2,000     10, 263
                               + 5,667) for each tile of 512 px, scaled into 2,048, then to
                               768 at the shorter side; detail low: the first number
    OpenAI, patches            32 px patches, scaled to at most 1,536 (GPT-5.4 and later:      2,000     10, 263
                               2,500; detail original: 10,000), times 1.2 (5-nano: 1.5,
                               4.1-mini: 1.62, o4-mini: 1.72, 4.1-nano: 2.46)
    Claude                     28 px patches, scaled to 1,568 px at the longer side and to     2,300     10, 263
                               at most 1,568; from 4.7 on 2,576 px and 4,784
    Gemini 1 and 2             258; over 384 px: for each tile of min(w, h) / 1.5 px           258       32, 263
    Gemini 3 and later         1,120                                                           560       32, 102
    Qwen-VL                    28 px patches, at most 1,280; from Qwen 3 on 32 px, 2,560       2,000     25, 300
    Mistral                    28 px patches (Pixtral 12B: 16 px), scaled to 1,540 px          2,000     12.5, 263
                               (1,024), and one more for each row
    Grok                       256 for each tile of 448 px, at most six, and 256               2,000     10, 263
    any other                  as OpenAI's tiles, with a wide error

The multipliers of GPT-5 are those that users measured, which differ from the documentation. What nobody
documents (pages at OpenAI, Qwen, Mistral and Grok, audio and video where the table has OpenAI's and Gemini 2's
numbers) is taken from the nearest that is documented.
"""  # noqa: E501

import re
from collections.abc import Callable
from functools import lru_cache, partial
from math import sqrt
from typing import Final

from msgspec import Struct

Size = tuple[int, int]
"""Width and height in pixels."""
ImageRule = Callable[[Size | None, str], int]
"""Tokens of an image of this size, or of one whose size is unknown, at the requested detail."""

IMAGE_TOKENS_LOW = 85
IMAGE_TOKENS_MAX = 20_000  # above the largest figure a provider publishes for one image at full detail,
MINI_IMAGE_TOKENS_MAX = 50_000  # except for gpt-4o-mini, which counts every tile 33 times
TILE_TOKENS, TILE_PX = 170, 512
PAGE_TOKENS = 2_000  # Anthropic: 1,500 to 3,000 tokens for a page of a PDF

_GEMINI_TILE_TOKENS = 258
_GEMINI_SMALL_PX = 384


class MediaRules(Struct, frozen=True, kw_only=True):
    """The rules of one family."""

    family: str
    image: ImageRule
    page_tokens: int = PAGE_TOKENS
    audio_tokens_per_s: float = 10.0
    video_tokens_per_s: float = 263.0
    documented: bool = True
    """False: these are another family's, for want of its own."""


# -- images -----------------------------------------------------------------------------------------


def image_tokens(size: Size | None, detail: str = "auto", base: int = 85, tile: int = TILE_TOKENS) -> int:
    """OpenAI's tiles: at high detail an image is scaled into a square of 2,048, then to 768 at its shorter
    side, and counted in tiles."""
    if detail == "low":
        return base
    if size is None:
        return base + 6 * tile  # OpenAI's documented example of a large image at high detail
    width, height = size
    scale = min(1.0, 2_048 / max(width, height), 768 / min(width, height))
    across, down = -(-int(width * scale) // TILE_PX), -(-int(height * scale) // TILE_PX)
    return base + tile * max(1, across) * max(1, down)


def _patched(size: Size | None, detail: str, *, factor: float, budget: int) -> int:
    """OpenAI's patches of 32 px; `low` changes nothing here."""
    if detail == "original" and budget > 1_536:
        side_max, budget = 6_000, 10_000
    else:
        side_max = 2_048 if budget > 1_536 else 100_000
    if size is None:
        return round(min(budget, 1_536) * factor)
    width, height = _within(size, side_max)
    across, down = _cells(width, 32), _cells(height, 32)
    if across * down > budget:
        scale = sqrt(32 * 32 * budget / (width * height))
        wide, high = width * scale / 32, height * scale / 32
        scale *= min(max(1, int(wide)) / wide, max(1, int(high)) / high)
        across, down = _cells(width * scale, 32), _cells(height * scale, 32)
    return round(min(budget, across * down) * factor)


def _claude(size: Size | None, detail: str, *, side_max: int, budget: int, unknown: int) -> int:
    if size is None:
        return unknown
    width, height = _within(size, side_max)
    tokens = _cells(width, 28) * _cells(height, 28)
    return min(budget, tokens)


def _gemini_tiles(size: Size | None, detail: str = "") -> int:
    if size is None:
        return 4 * _GEMINI_TILE_TOKENS
    width, height = size
    if width <= _GEMINI_SMALL_PX and height <= _GEMINI_SMALL_PX:
        return _GEMINI_TILE_TOKENS
    unit = min(768.0, max(256.0, min(width, height) / 1.5))
    return min(IMAGE_TOKENS_MAX, _GEMINI_TILE_TOKENS * _cells(width, unit) * _cells(height, unit))


def _fixed(size: Size | None, detail: str, *, tokens: int) -> int:
    return tokens


def _qwen(size: Size | None, detail: str, *, cell: int, budget: int) -> int:
    if size is None:
        return budget
    return max(4, min(budget, _cells(size[0], cell) * _cells(size[1], cell))) + 2


def _mistral(size: Size | None, detail: str, *, cell: int, side_max: int) -> int:
    width, height = _within(size or (1_024, 1_024), side_max)
    across, down = _cells(width, cell), _cells(height, cell)
    return (across + 1) * down


def _grok(size: Size | None, detail: str) -> int:
    tiles = 6 if size is None else min(6, _cells(size[0], 448) * _cells(size[1], 448))
    return 256 * (tiles + 1)


def _within(size: Size, side_max: int) -> tuple[float, float]:
    """`size` scaled so that its longer side is at most `side_max` pixels."""
    scale = min(1.0, side_max / max(size))
    return size[0] * scale, size[1] * scale


def _cells(length: float, cell: float) -> int:
    """How many cells cover a length, at least one."""
    return max(1, -int(-length // cell))


def image_tokens_max(size: Size | None) -> int:
    """More than this no family but that of gpt-4o-mini counts for an image."""
    if size is None:
        return IMAGE_TOKENS_MAX
    return min(IMAGE_TOKENS_MAX, max(size[0] * size[1] // 750 + 3_000, _gemini_tiles(size)))


# -- families ---------------------------------------------------------------------------------------


def _openai(name: str, base: int, tile: int) -> MediaRules:
    return MediaRules(family=name, image=partial(image_tokens, base=base, tile=tile))


def _patches(name: str, factor: float, budget: int = 1_536) -> MediaRules:
    return MediaRules(family=name, image=partial(_patched, factor=factor, budget=budget))


OTHER: Final = MediaRules(family="other", image=image_tokens, documented=False)
_CLAUDE = MediaRules(
    family="claude",
    image=partial(_claude, side_max=1_568, budget=1_568, unknown=1_568),
    page_tokens=2_300,
)
_CLAUDE_FINE = MediaRules(
    family="claude from 4.7",
    image=partial(_claude, side_max=2_576, budget=4_784, unknown=2_691),  # that of a screen of 1,920 x 1,080
    page_tokens=2_300,
)
_GEMINI = MediaRules(family="gemini", image=_gemini_tiles, page_tokens=258, audio_tokens_per_s=32.0)
_GEMINI_3 = MediaRules(
    family="gemini from 3",
    image=partial(_fixed, tokens=1_120),
    page_tokens=560,
    audio_tokens_per_s=32.0,
    video_tokens_per_s=102.0,
)
_QWEN = MediaRules(
    family="qwen",
    image=partial(_qwen, cell=28, budget=1_280),
    audio_tokens_per_s=25.0,
    video_tokens_per_s=300.0,
)
_QWEN_3 = MediaRules(
    family="qwen from 3",
    image=partial(_qwen, cell=32, budget=2_560),
    audio_tokens_per_s=25.0,
    video_tokens_per_s=300.0,
)
_MISTRAL = MediaRules(
    family="mistral", image=partial(_mistral, cell=28, side_max=1_540), audio_tokens_per_s=12.5
)
_PIXTRAL = MediaRules(
    family="pixtral 12b", image=partial(_mistral, cell=16, side_max=1_024), audio_tokens_per_s=12.5
)
_GROK = MediaRules(family="grok", image=_grok)

_BY_PART: Final[tuple[tuple[str, MediaRules], ...]] = (
    ("gpt-4o-mini", _openai("gpt-4o-mini", 2_833, 5_667)),
    ("gpt-4.1-mini", _patches("gpt-4.1-mini", 1.62)),
    ("gpt-4.1-nano", _patches("gpt-4.1-nano", 2.46)),
    ("gpt-5-mini", _patches("gpt-5-mini", 1.2)),
    ("gpt-5-nano", _patches("gpt-5-nano", 1.5)),
    ("o4-mini", _patches("o4-mini", 1.72)),
    ("codex-mini", _patches("codex-mini", 1.72)),
    ("computer-use-preview", _openai("computer-use-preview", 65, 129)),
    ("gpt-4", _openai("gpt-4", 85, TILE_TOKENS)),
    ("gpt-5-chat", _openai("gpt-5", 70, 140)),
    ("pixtral-12b", _PIXTRAL),
    ("pixtral", _MISTRAL),
    ("mistral", _MISTRAL),
    ("ministral", _MISTRAL),
    ("magistral", _MISTRAL),
    ("voxtral", _MISTRAL),
    ("grok", _GROK),
)
_GPT_5 = _openai("gpt-5", 70, 140)
_GPT_5_2 = _patches("gpt-5.2", 1.2)
_GPT_5_4 = _patches("gpt-5.4 and later", 1.2, 2_500)
_O_SERIES = _openai("o1, o3", 75, 150)

_CLAUDE_VERSION = re.compile(r"claude(?:-[a-z]+)?-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_GPT_VERSION = re.compile(r"gpt-(\d{1,2})(?:\.(\d{1,2}))?(?!\d)")
_GEMINI_VERSION = re.compile(r"gemini-(\d{1,2})")
_QWEN_VERSION = re.compile(r"qwen-?(\d{1,2})")
_O_VERSION = re.compile(r"(?:^|/)o[13](?:$|-)")


@lru_cache(maxsize=512)
def rules_of(model: str) -> MediaRules:
    """The rules of a model, by its name, with or without its provider's before it."""
    name = model.lower()[:200]
    for part, rules in _BY_PART:
        if part in name:
            return rules
    if "claude" in name:
        return _CLAUDE_FINE if _version(_CLAUDE_VERSION, name, (5, 0)) >= (4, 7) else _CLAUDE
    if "gemini" in name:
        return _GEMINI_3 if _version(_GEMINI_VERSION, name, (3, 0)) >= (3, 0) else _GEMINI
    if "qwen" in name:
        return _QWEN_3 if _version(_QWEN_VERSION, name, (2, 0)) >= (3, 0) else _QWEN
    if _O_VERSION.search(name):
        return _O_SERIES
    version = _version(_GPT_VERSION, name, (0, 0))
    if version >= (5, 4):
        return _GPT_5_4
    if version >= (5, 2):
        return _GPT_5_2
    return _GPT_5 if version >= (5, 0) else OTHER


def _version(pattern: re.Pattern[str], name: str, unsaid: tuple[int, int]) -> tuple[int, int]:
    found = pattern.search(name)
    if found is None:
        return unsaid
    minor = found[2] if found.re.groups > 1 else None
    return int(found[1]), int(minor or 0)
