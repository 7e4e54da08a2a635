"""AWS's event stream, written."""

import json
from base64 import b64encode
from binascii import crc32
from struct import pack
from typing import Any

MEDIA_TYPE = "application/vnd.amazon.eventstream"


def text_header(name: str, value: str) -> bytes:
    told, text = name.encode(), value.encode()
    return bytes([len(told)]) + told + b"\x07" + pack(">H", len(text)) + text


def message(headers: bytes, payload: bytes) -> bytes:
    prelude = pack(">II", len(headers) + len(payload) + 16, len(headers))
    head = prelude + pack(">I", crc32(prelude)) + headers + payload
    return head + pack(">I", crc32(head))


def framed(name: str, payload: bytes, kind: str = "event") -> bytes:
    headers = {
        f":{'exception' if kind == 'exception' else 'event'}-type": name,
        ":content-type": "application/json",
        ":message-type": kind,
    }
    return message(b"".join(text_header(*header) for header in headers.items()), payload)


def event(name: str, **fields: Any) -> bytes:
    """An event of Converse."""
    return framed(name, json.dumps(fields, ensure_ascii=False).encode())


def exception(name: str, words: str, **fields: Any) -> bytes:
    return framed(name, json.dumps({"message": words, **fields}).encode(), "exception")


def chunk(value: Any) -> bytes:
    """An event of Messages, or its JSON, as `InvokeModelWithResponseStream` holds it."""
    told = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return framed("chunk", json.dumps({"bytes": b64encode(told).decode(), "p": "abcdefg"}).encode())
