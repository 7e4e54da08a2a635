"""Requests of Messages, read with what was sent beside them."""

import json
from typing import Any

import pytest

from farthing.edge.messages.reading import read
from farthing.edge.openai import Asked, Reader
from farthing.types import DEFAULT_ENDPOINT, Tenant

PAGE = {"type": "web_search_result_location", "url": "https://e.org", "title": "T", "cited_text": ""}


@pytest.mark.parametrize(
    ("block", "unsigned"),
    [
        ({"type": "text", "text": "x"}, False),
        ({"type": "text", "text": "x", "citations": [{"type": "char_location"}, 7, None]}, False),
        ({"type": "text", "text": "x", "citations": [{**PAGE, "encrypted_index": "aW5k"}]}, False),
        ({"type": "text", "text": "x", "citations": [{**PAGE, "encrypted_index": ""}]}, True),
        ({"type": "text", "text": "x", "citations": [7, PAGE]}, True),
        ({"type": "thinking", "thinking": "x", "signature": "c2ln"}, False),
        ({"type": "thinking", "thinking": "x", "signature": ""}, True),
    ],
)
def test_what_nobody_has_signed_is_seen(block: dict[str, Any], unsigned: bool) -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [block, {"type": "text", "text": "y"}]},
        {"role": "user", "content": "b"},
    ]
    body = {"model": "m", "max_tokens": 9, "messages": turns}
    raw = json.dumps(body).encode()
    asked = Asked(id="r-1", tenant=Tenant(name="t"), headers={}, received_s=0.0, body_bytes=len(raw), raw=raw)
    request = read(Reader({}, DEFAULT_ENDPOINT, b"key"), body, asked)
    assert request.sent is not None and request.sent.unsigned is unsigned
