"""Where the data of an image or a file lies, and of what kind it is.

What data begins with says more than what it is called: clients call a PNG `image/jpeg`, or anything
`application/octet-stream`, and OpenAI looks at the data. A provider that goes by the name would refuse it.
"""

from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from urllib.parse import unquote_to_bytes

from farthing.dialects.conversation import Inline, Link, Plain, Source

ESCAPES_MAX = 100_000  # in a data URL; each costs as much as a kilobyte of base64
HEAD_CHARS_MAX = 300  # of a data URL, before its data
MAGIC_CHARS = 16  # of base64: 12 bytes
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_NO_KIND = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_TEXTS = frozenset({
    "application/json", "application/jsonl", "application/x-ndjson", "application/xml", "application/yaml",
    "application/x-yaml", "application/toml", "application/javascript", "application/x-javascript",
    "application/typescript", "application/x-sh", "application/x-python", "application/sql",
})  # fmt: skip
_TEXT_ENDINGS = (
    ".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".htm", ".yaml", ".yml", ".toml",
    ".ini", ".log", ".py", ".js", ".ts", ".sh", ".sql", ".css", ".c", ".h", ".java", ".go", ".rs", ".rb",
)  # fmt: skip


class BadSource(ValueError):
    """There is no data to be had; the message completes "`field` …"."""


def read_source(url: str, media_type: str = "", name: str = "") -> Source:
    """`url` is a link or a data URL. `media_type` is what the client says beside it, `name` that of the file.

    Raises:
        BadSource: a data URL that cannot be read.
    """
    if url[:5].lower() != "data:":
        return Link(url)
    comma = url.find(",", 0, HEAD_CHARS_MAX)
    if comma < 0:
        raise BadSource("is a data URL without a comma")
    told, _, parameters = url[5:comma].partition(";")
    data = url[comma + 1 :]
    if not parameters.lower().endswith("base64"):
        if data.count("%") > ESCAPES_MAX:
            raise BadSource(f"has more than {ESCAPES_MAX} escaped bytes: send it as base64")
        data = b2a_base64(unquote_to_bytes(data), newline=False).decode()
    elif "\n" in data:  # as base64 is in e-mails
        data = "".join(data.split())
    return _source(_kind(media_type if "/" in media_type else told.strip().lower(), data, name), data)


def read_data(data: str, media_type: str, name: str) -> Source:
    """`data` is base64 alone.

    Raises:
        BadSource: as `read_source`.
    """
    return read_source(
        f"data:{media_type or _kind_of_name(name) or 'application/pdf'};base64,{data}", "", name
    )


def _source(kind: str, data: str) -> Source:
    if not kind.startswith("text/") and kind not in _TEXTS and not kind.endswith(("+json", "+xml")):
        return Inline(kind, data)
    if kind.startswith("image/"):
        return Inline(kind, data)
    try:
        return Plain(a2b_base64(data).decode())
    except (NotBase64, ValueError):
        if not kind.startswith("text/"):
            return Inline(kind, data)
        raise BadSource("is no text in base64 and UTF-8") from None


def _kind(told: str, data: str, name: str) -> str:
    if told.startswith("text/"):
        return told
    found = _kind_of_data(data)
    if found:
        return found
    if told in _NO_KIND:
        return _kind_of_name(name) or told or "text/plain"
    return "image/jpeg" if told == "image/jpg" else told


def _kind_of_data(data: str) -> str:
    """By what it begins with; empty: nothing that is known."""
    try:
        head = a2b_base64(data[:MAGIC_CHARS])
    except (NotBase64, ValueError):
        return ""
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")


def _kind_of_name(name: str) -> str:
    return "text/plain" if name.lower().endswith(_TEXT_ENDINGS) else ""
