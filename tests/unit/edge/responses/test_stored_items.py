"""Items of stored responses: joined byte for byte, without what is encrypted, listed as SDKs read them."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from farthing.edge.responses import items

THOUGHT = b'{ "type":"reasoning","id":"rs_1","summary":[] , "encrypted_content":"secret","n":1.0 }'
SAID = b'{"type":"message","role":"assistant","content":[{"type":"output_text","text":"encrypted_content"}]}'
Json = dict[str, Any]


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ((b"[]", b"[]"), b"[]"),
        ((b"[1]", b"[]", b"[2,3]"), b"[1,2,3]"),
        ((b" [ 1 ] ", b"[ ]", b"[ 2 ]\n"), b"[1,2]"),
    ],
)
def test_lists_are_joined(parts: tuple[bytes, ...], whole: bytes) -> None:
    assert bytes(items.joined(*parts)) == whole


def test_what_is_encrypted_is_left_out_of_reasoning_alone() -> None:
    response = b'{"id":"resp_1","output":[%b,%b],"n":1.0,"x":{"b":1,"a":2}}' % (THOUGHT, SAID)
    told = items.changed(response, {"id": "resp_2"}, shows_encrypted=False)
    assert b"secret" not in told and SAID in told and b'"n":1.0,"x":{"b":1,"a":2}' in told
    assert json.loads(told)["output"][0] == {"type": "reasoning", "id": "rs_1", "summary": [], "n": 1.0}
    kept = items.changed(response, {"id": "resp_2"}, shows_encrypted=True)
    assert kept == response.replace(b"resp_1", b"resp_2")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"output":5}', b"null"])
def test_what_is_no_response_is_an_error_and_never_a_crash(raw: bytes) -> None:
    if raw == b'{"output":5}':
        assert items.changed(raw, {}, shows_encrypted=False) == raw
    else:
        with pytest.raises(ValueError, match=r".*"):
            items.changed(raw, {}, shows_encrypted=False)


def test_items_are_listed_as_the_sdk_reads_them() -> None:
    given = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "1", "status": "completed"},
        json.loads(THOUGHT),
    ]
    told = items.listed(json.dumps(given).encode(), shows_encrypted=False)
    for one in told:
        TypeAdapter(ResponseItem).validate_python(one)
    assert [one["id"][:4] for one in told] == [
        "msg_",
        "msg_",
        "msg_",
        "fc_" + told[3]["id"][3],
        "item",
        "rs_1",
    ]
    assert told[1]["content"] == [{"type": "output_text", "text": "hello", "annotations": []}]
    assert "encrypted_content" not in told[-1]
    assert len({one["id"] for one in told}) == len(told)


def test_the_same_words_at_two_places_are_two_items() -> None:
    one: Json = {"role": "user", "content": "again"}
    first, second = items.listed(json.dumps([one, one]).encode(), shows_encrypted=False)
    assert first["id"] != second["id"]
    assert items.listed(json.dumps([one]).encode(), shows_encrypted=False) == [first]


@pytest.mark.parametrize("odd", [[1], ["text"], [None], [{"type": 7}], [{"type": None, "id": ""}], [[]]])
def test_items_that_are_none_are_listed_all_the_same(odd: list[Any]) -> None:
    (told,) = items.listed(json.dumps(odd).encode(), shows_encrypted=False)
    assert told["id"]
