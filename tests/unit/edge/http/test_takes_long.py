"""Which bodies are read in a thread, so that nobody else waits for them (promise P10)."""

import pytest

from farthing.edge.http.body import takes_long
from farthing.edge.http.content_type import is_form


@pytest.mark.parametrize(
    "raw, aside",
    [
        (b'{"messages":[%b]}' % b",".join([b'{"role":"user","content":"hello"}'] * 20_000), True),
        (b'{"x":[%b]}' % b",".join([b"[]"] * 20_000), True),
        (b'{"x":%b1%b}' % (b"[" * 20_000, b"]" * 20_000), True),
        (b'{"x":{%b}}' % b",".join([b'"k%d":1' % number for number in range(20_000)]), True),
        (b'{"x":"%b"}' % (b"a" * 2_000_000), True),
        (b'{"x":"%b"}' % (b"Well, one sentence more. " * 20_000), True),  # they might be values
        (b'{"x":"%b"}' % (b"a sentence " * 80_000), False),
        (b'{"messages":[%b]}' % b",".join([b'{"role":"user","content":"hello"}'] * 500), False),
    ],
)
def test_what_may_take_long_is_told_by_its_values_and_its_bytes(raw: bytes, aside: bool) -> None:
    assert takes_long(raw) is aside


@pytest.mark.parametrize(
    ("said", "form"),
    [
        (b"multipart/form-data; boundary=b", True),
        (b"Multipart/Form-Data;boundary=b", True),
        (b"multipart/form-data", True),
        (b"multipart/form-datax", False),
        (b"multipart/form-data+json", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_only_a_form_is_read_as_one(said: bytes, form: bool) -> None:
    assert is_form({b"content-type": said}) is form
