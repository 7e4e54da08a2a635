"""Images and files by what they are, whatever they are called."""

from base64 import b64encode, encodebytes
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.dialects.chat.answers.sources import BadSource, read_data, read_source
from farthing.dialects.chat.requests.request_reader import read
from farthing.dialects.conversation import Document, Image, Inline, Link, Plain

PNG = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
JPEG = b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode()
GIF = b64encode(b"GIF89a" + bytes(20)).decode()
WEBP = b64encode(b"RIFF\x01\x02\x03\x04WEBPVP8 ").decode()
PDF = b64encode(b"%PDF-1.7\n").decode()
JSON = b64encode(b'{"a": 1}').decode()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (PDF, "application/pdf"),
    ],
)
@pytest.mark.parametrize("told", ["image/jpeg", "image/jpg", "image/*", "application/octet-stream", ""])
def test_data_is_what_it_begins_with(told: str, data: str, kind: str) -> None:
    assert read_source(f"data:{told};base64,{data}") == Inline(kind, data)
    assert read_data(data, "", "what.ever") == Inline(kind, data)


@pytest.mark.parametrize(
    ("url", "name", "source"),
    [
        ("data:image/jpg;base64,AAAA", "", Inline("image/jpeg", "AAAA")),
        ("data:image/svg+xml;base64,PHN2Zz4=", "", Inline("image/svg+xml", "PHN2Zz4=")),
        (f"data:application/json;base64,{JSON}", "", Plain('{"a": 1}')),
        (f"data:application/ld+json;base64,{JSON}", "", Plain('{"a": 1}')),
        (f"data:application/octet-stream;base64,{JSON}", "a.JSON", Plain('{"a": 1}')),
        ("data:application/json;base64,gICA", "", Inline("application/json", "gICA")),
        ("data:application/zip;base64,UEsDBA==", "a.py", Inline("application/zip", "UEsDBA==")),
        ("data:,plain%20text", "", Plain("plain text")),
        ("https://x.test/a.png", "", Link("https://x.test/a.png")),
    ],
)
def test_where_data_says_nothing_its_names_do(url: str, name: str, source: Any) -> None:
    assert read_source(url, "", name) == source


def test_bare_data_of_a_text_is_a_text() -> None:
    assert read_data(JSON, "", "a.json") == Plain('{"a": 1}')
    assert read_data("AAAA", "", "a") == Inline("application/pdf", "AAAA")


def test_base64_in_lines_is_one() -> None:
    raw = b"\x89PNG\r\n\x1a\n" + bytes(200)
    lines = encodebytes(raw).decode()
    assert read_source(f"data:image/png;base64,{lines}") == Inline("image/png", b64encode(raw).decode())


def test_a_part_becomes_what_its_data_is() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PDF}"}},
        {
            "type": "file",
            "file": {"filename": "a.bin", "file_data": f"data:application/octet-stream;base64,{PNG}"},
        },
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF, "format": 7}},
    ]
    pdf = Inline("application/pdf", PDF)
    assert read({"messages": [{"role": "user", "content": parts}]}).turns[0].blocks == (
        Document(pdf, "", None), Image(Inline("image/png", PNG), "", None), Document(pdf, "a.pdf", None)
    )  # fmt: skip


@given(st.text(max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_nothing_else_is_raised(url: str, kind: str, name: str) -> None:
    for start in ("", "data:", "data:;base64,", "data:text/plain;base64,"):
        with suppress(BadSource):
            read_source(start + url, kind, name)
