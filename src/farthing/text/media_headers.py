"""Sizes of images, seconds of audio and video and pages of documents, from the headers of base64 data.

Nothing is decoded but some kilobytes, whatever the data is; what cannot be read so is None. Never raises.
"""

import binascii
import re

JPEG_SEGMENTS_MAX = 100  # before its size; cameras and editors write some twenty
HEADER_CHARS_MAX = 98_304  # of base64 that are decoded to find the size of a JPEG: its EXIF comes first
SIDE_PX_MAX = 100_000
SECONDS_MAX = 100_000.0
ENDS_CHARS = 65_536  # of base64 that are read at the begin and the end of a PDF, or of a video
WAV_PLAIN = frozenset({1, 3, 0xFFFE})  # samples as they are
WAV_CHANNELS_MAX, WAV_RATE_MAX, WAV_BITS_MAX = 32, 768_000, 64
PAGE_BYTES_MIN = 128  # a page of a PDF is an object of its own
PAGES_MAX = 10_000

_PDF_LINEAR = re.compile(rb"/N\s{1,8}(\d{1,6})\b")
_PDF_COUNT = re.compile(rb"/Count\s{1,8}(\d{1,6})\b")
_PDF_NODES_MAX = 64  # of the tree of pages that are looked at, at each end
_PDF_DICT_BYTES = 400  # in which what belongs together stands


def begin_of_data(url: str) -> int | None:
    """Where the base64 in `url` begins: behind the comma of a data URL, or at once; None: it is elsewhere."""
    if not url.startswith("data:"):
        return None if url.startswith(("http:", "https:", "gs:", "s3:", "file:")) else 0
    return url.find(",", 0, 200) + 1 or None


def base64_bytes(data: str) -> int:
    """Bytes of the data in a data URL or base64; 0 where it is elsewhere."""
    start = begin_of_data(data)
    return 0 if start is None else (len(data) - start) * 3 // 4


def head_of(url: str, chars: int) -> bytes:
    """The first bytes of the data in a data URL or base64; none where it is elsewhere."""
    start = begin_of_data(url)
    return b"" if start is None else _decoded(url, start, chars)


def image_size(url: str) -> tuple[int, int] | None:
    """Width and height of the image in a data URL or base64; None if it is elsewhere, or cannot be determined
    cheaply."""
    start = begin_of_data(url)
    if start is None:
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
    return size if size is not None and min(size) > 0 and max(size) < SIDE_PX_MAX else None


def wav_seconds(url: str) -> float | None:
    """How long the WAV in a data URL or base64 is; None where it is none.

    The length is that of the data that is there, not the one its header claims.
    """
    start = begin_of_data(url)
    head = b"" if start is None else _decoded(url, start, 4_096)
    if start is None or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at = 12
    bytes_per_s = 0
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt " and at + 24 <= len(head):
            bytes_per_s = _wav_bytes_per_s(head[at + 8 : at + 24])
        elif name == b"data":
            there = (len(url) - start) * 3 // 4 - at - 8
            return _seconds(min(size, there) if size else there, bytes_per_s)
        at += 8 + size + size % 2
    return None


def _wav_bytes_per_s(form: bytes) -> int:
    """What a decoder takes for a second: the rate that the header states for it may lie. 0: not known."""
    tag, channels = (int.from_bytes(form[at : at + 2], "little") for at in (0, 2))
    rate, bits = int.from_bytes(form[4:8], "little"), int.from_bytes(form[14:16], "little")
    if tag not in WAV_PLAIN or channels > WAV_CHANNELS_MAX or rate > WAV_RATE_MAX or bits > WAV_BITS_MAX:
        return 0
    return rate * channels * bits // 8


def video_seconds(url: str) -> float | None:
    """How long the MP4 or QuickTime video in a data URL or base64 is, if its `mvhd` box is near an end."""
    start = begin_of_data(url)
    if start is None or _decoded(url, start, 64)[4:8] != b"ftyp":
        return None
    for part in _ends(url, start):
        at = part.find(b"mvhd")
        if at < 0:
            continue
        if part[at + 4 : at + 5] == b"\x01":
            scale, length = part[at + 24 : at + 28], part[at + 28 : at + 36]
        else:
            scale, length = part[at + 16 : at + 20], part[at + 20 : at + 24]
        return _seconds(int.from_bytes(length, "big"), int.from_bytes(scale, "big"))
    return None


def pdf_pages(url: str) -> int | None:
    """How many pages the PDF in a data URL or base64 says it has, near its begin or its end; None where it is
    no PDF, or its page tree is compressed or elsewhere."""
    start = begin_of_data(url)
    if start is None or not _decoded(url, start, 64).startswith(b"%PDF-"):
        return None
    pages_max = min(PAGES_MAX, (len(url) - start) * 3 // 4 // PAGE_BYTES_MIN + 1)
    head, tail = _ends(url, start)
    at = head.find(b"/Linearized")
    linear = None if at < 0 else _PDF_LINEAR.search(head, at, at + _PDF_DICT_BYTES)
    said = max(map(_pdf_count, (head, tail))) if linear is None else int(linear[1])
    return said if 0 < said <= pages_max else None


def _pdf_count(part: bytes) -> int:
    """The largest `/Count` of a node of the tree of pages; 0 without one."""
    at = most = 0
    for _ in range(_PDF_NODES_MAX):
        at = part.find(b"/Pages", at)
        if at < 0:
            break
        begin = part.rfind(b"<<", max(0, at - _PDF_DICT_BYTES), at)
        end = part.find(b">>", at, at + _PDF_DICT_BYTES)
        if begin >= 0 and part[begin:at].rstrip().endswith(b"/Type"):
            node = _PDF_COUNT.search(part, begin, end if end >= 0 else at + _PDF_DICT_BYTES)
            most = most if node is None else max(most, int(node[1]))
        at += 6
    return most


def _ends(url: str, start: int) -> tuple[bytes, bytes]:
    """The first and the last kilobytes; the second is empty where the first are all."""
    head = _decoded(url, start, ENDS_CHARS)
    rest = len(url) - start - ENDS_CHARS
    if rest <= 0:
        return head, b""
    behind = start + max(ENDS_CHARS, (rest + 3) // 4 * 4)  # at a multiple of four, as base64 is read
    return head, _decoded(url, behind, ENDS_CHARS)


def _seconds(amount: int, per_s: int) -> float | None:
    if amount <= 0 or per_s <= 0:
        return None
    found = amount / per_s
    return found if found <= SECONDS_MAX else None


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
