"""Which requests two answers can be compared to."""

from typing import Any

import pytest
from tests.asking import asked

from farthing.text.comparable import comparable

TEXT = [{"role": "user", "content": "When do you open?"}]


def request(messages: list[Any] | None = None, **fields: Any) -> Any:
    return asked(body={"model": "auto", "messages": TEXT if messages is None else messages, **fields})


def test_plain_questions_can_be() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "When?"}]}]
    turns = [
        {"role": "system", "content": "Be brief."},
        *TEXT,
        {"role": "assistant", "content": "At nine."},
        *TEXT,
    ]
    assert all(
        map(comparable, (request(), request(parts), request(turns), request(n=1), request(stream=True)))
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function"}]},
        {"functions": [{}]},
        {"n": 2},
        {"audio": {"voice": "alloy"}},
        {"mcp_servers": [{"name": "m"}]},
        {"container": "c_1"},
        {"messages": [{"role": "tool", "content": "42"}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}, *TEXT]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": ["hello"]},
    ],
)
def test_what_acts_or_shows_more_than_text_cannot_be(fields: dict[str, Any]) -> None:
    assert not comparable(asked(body={"model": "auto", "messages": TEXT, **fields}))


def test_neither_can_an_embedding_nor_a_request_without_words() -> None:
    assert not comparable(asked(operation="embeddings"))
    assert not comparable(asked(""))
