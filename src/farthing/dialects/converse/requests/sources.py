"""Images, documents, sound and films as blocks of Converse.

Converse takes data, and what lies in S3; it fetches no other links. Documents have names, of few characters
and each once in a request.
"""

import re
from binascii import b2a_base64
from typing import Any

from farthing.dialects.chat.requests.lowered_messages import told_as_text
from farthing.dialects.conversation import (
    Audio,
    Block,
    Composed,
    Document,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Source,
    Stored,
    Text,
)
from farthing.dialects.converse.requests.notes import Notes
from farthing.types import Json

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
AUDIO = frozenset({
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm",
    "webm",
})  # fmt: skip
VIDEO = {
    "video/x-matroska": "mkv", "video/quicktime": "mov", "video/mp4": "mp4", "video/webm": "webm",
    "video/x-flv": "flv", "video/mpeg": "mpeg", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
}  # fmt: skip
_FORMATS = frozenset(DOCUMENTS.values())
_TEXTS = frozenset({"csv", "html", "md", "txt"})
S3 = "s3://"
NAME_CHARS_MAX = 100
NO_LINKS = (
    "Bedrock fetches no links but those of S3 that begin as file_prefixes of the provider says; send it as "
    "data"
)
_UNFIT = re.compile(r"[^\w\s()\[\]-]|_", re.ASCII)
_BLANKS = re.compile(r"\s+")


class SourceWriter:
    """Writes those of one request."""

    __slots__ = ("_named", "_notes")

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._named: set[str] = set()
        """Names of documents that are taken, in lower case."""

    def write(self, block: Block) -> Json | None:
        """The block as Converse has it; None where it has none, which is noted."""
        match block:
            case Image():
                return self._image(block)
            case Document():
                return self._document(block)
            case Audio():
                return self._audio(block)
            case Opaque(kind="video_url", value=value):
                return self._video(value)
            case Opaque(kind="search_result", value=value):
                return self._passage(value)
            case Opaque(kind="tool_reference", value=value) if isinstance(value, dict):
                return {"text": told_as_text(value)}
            case Opaque(kind=kind):
                self._notes.unsaid.append(self._notes.said.name_of(kind))
        return None

    def _image(self, block: Image) -> Json | None:
        if block.detail and block.detail != "auto":
            self._notes.yielded.append(self._notes.said.name_of("image_url.detail"))
        form = _image_format(block.source, self._notes.files)
        if not form:
            why = NO_LINKS if isinstance(block.source, Link) else "Bedrock takes png, jpeg, gif and webp"
            self._notes.lacks(
                "image_url",
                "uploaded files are not there; send it as data" if isinstance(block.source, Stored) else why,
            )
            return None
        return {"image": {"format": form, "source": _source(block.source)}}

    def _document(self, block: Document) -> Json | None:
        source, form = block.source, _document_format(block, self._notes.files)
        if isinstance(source, Stored):
            self._notes.lacks("file_id", "uploaded files are not at Bedrock; send it as data")
            return None
        if isinstance(source, Composed):
            texts = [one.text for one in source.blocks if isinstance(one, Text)]
            if len(texts) < len(source.blocks):
                self._notes.lacks("document", "Converse takes documents of texts alone")
                return None
            held: Json = {"content": [{"text": text} for text in texts if text.strip()]}
        elif not form:
            self._notes.lacks(
                "file",
                NO_LINKS if isinstance(source, Link) else f"Bedrock takes {', '.join(sorted(_FORMATS))}",
            )
            return None
        else:
            held = _source(source)
        written: Json = {"name": self._name(block.name), "source": held}
        if form:
            written["format"] = form
        for name, value in block.extras.items():
            if name == "citations" and isinstance(value, dict) and isinstance(value.get("enabled"), bool):
                written["citations"] = {"enabled": value["enabled"]}
            elif name == "context" and isinstance(value, str):
                written["context"] = value
            else:
                self._notes.yielded.append(self._notes.said.name_of(f"document.{name}"))
        return {"document": written}

    def _name(self, told: str) -> str:
        """A name that Converse takes and no other document of the request has."""
        stem = told.rpartition(".")[0] or told
        plain = _BLANKS.sub(" ", _UNFIT.sub("-", stem)).strip()[:NAME_CHARS_MAX] or "document"
        name, count = plain, 1
        while name.lower() in self._named:
            count += 1
            name = f"{plain}-{count}"
        self._named.add(name.lower())
        return name

    def _audio(self, block: Audio) -> Json | None:
        source = block.source
        form = block.format.lower()
        if not isinstance(source, Inline):
            self._notes.unsaid.append(self._notes.said.name_of("audio"))
            return None
        if form not in AUDIO:
            self._notes.lacks("input_audio", f"Bedrock takes {', '.join(sorted(AUDIO))}")
            return None
        return {"audio": {"format": form, "source": _source(source)}}

    def _video(self, part: Any) -> Json | None:
        held = part.get("video_url") if isinstance(part, dict) else None
        url = held.get("url") if isinstance(held, dict) else held
        url = url if isinstance(url, str) else ""
        head, found, data = url.partition(";base64,")
        form = VIDEO.get(head.removeprefix("data:"), "") if found else ""
        if url.startswith(S3) and url.startswith(self._notes.files):
            ending = url.rpartition(".")[2].lower()
            form = ending if ending in VIDEO.values() else "mp4"
            return {"video": {"format": form, "source": {"s3Location": {"uri": url}}}}
        if not form:
            self._notes.lacks("video_url", NO_LINKS)
            return None
        return {"video": {"format": form, "source": {"bytes": data}}}

    def _passage(self, part: Any) -> Json | None:
        told = part if isinstance(part, dict) else {}
        content, cited = told.get("content"), told.get("citations")
        texts = [
            one["text"]
            for one in (content if isinstance(content, list) else ())
            if isinstance(one, dict) and isinstance(one.get("text"), str) and one["text"].strip()
        ]
        source, title = told.get("source"), told.get("title")
        if not (texts and isinstance(source, str) and isinstance(title, str)):
            self._notes.unsaid.append(self._notes.said.name_of("search_result"))
            return None
        written: Json = {"source": source, "title": title, "content": [{"text": text} for text in texts]}
        if isinstance(cited, dict) and isinstance(cited.get("enabled"), bool):
            written["citations"] = {"enabled": cited["enabled"]}
        return {"searchResult": written}


def _image_format(source: Source, files: tuple[str, ...]) -> str:
    match source:
        case Inline(media_type=media_type):
            return IMAGES.get(media_type, "")
        case Link(url=url) if url.startswith(S3) and url.startswith(files):
            ending = url.rpartition(".")[2].lower()
            return "jpeg" if ending == "jpg" else ending if ending in IMAGES.values() else ""
        case _:
            return ""


def _document_format(block: Document, files: tuple[str, ...]) -> str:
    ending = block.name.rpartition(".")[2].lower() if "." in block.name else ""
    ending = {"htm": "html", "markdown": "md"}.get(ending, ending)
    match block.source:
        case Plain():
            return ending if ending in _TEXTS else "txt"
        case Inline(media_type=media_type):
            form = DOCUMENTS.get(media_type, "")
            return form or (ending if ending in _FORMATS else "")
        case Link(url=url) if url.startswith(S3) and url.startswith(files):
            ending = url.rpartition(".")[2].lower()
            return ending if ending in _FORMATS else ""
        case _:
            return ""


def _source(source: Source) -> Json:
    match source:
        case Inline(data=data):
            return {"bytes": data}
        case Plain(text=text):
            return {"bytes": b2a_base64(text.encode("utf-8", "replace"), newline=False).decode()}
        case Link(url=url):
            return {"s3Location": {"uri": url}}
        case _:
            raise AssertionError("whoever writes it has looked at its kind")
