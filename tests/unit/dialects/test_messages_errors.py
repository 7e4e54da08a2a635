"""Errors of Messages and the headers of its limits."""

import json

import pytest

from farthing.dialects.messages.errors import STATUSES, read_error


@pytest.mark.parametrize("kind", STATUSES)
def test_every_kind_is_known(kind: str) -> None:
    body = {"type": "error", "error": {"type": kind, "message": "why"}, "request_id": "req_1"}
    error = read_error(json.dumps(body).encode())
    assert (error.kind, error.message, error.request_id) == (kind, "why", "req_1")
    assert error.status == STATUSES[kind] and error.said == body["error"]


def test_overload_may_be_tried_again_and_a_bad_request_not() -> None:
    overloaded = read_error(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert overloaded.status == 529 and overloaded.again
    assert not read_error(b'{"error":{"type":"invalid_request_error"}}').again


def test_the_header_has_the_id_of_the_request() -> None:
    assert read_error(b"{}", {b"request-id": b"req_2"}).request_id == "req_2"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error":7}', b'{"error":{"type":[]}}', b"[" * 99_999]
)
def test_anything_else_is_an_error_of_no_kind(body: bytes) -> None:
    error = read_error(body)
    assert (error.kind, error.message, error.status) == ("", "", None)


def test_words_alone_are_the_message() -> None:
    assert read_error(b'{"error":"no"}').message == read_error(b'{"message":"no"}').message == "no"
