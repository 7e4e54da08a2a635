"""What ends a stream that was cut, whatever number of answers its client asked for."""

import json
from typing import Any

import pytest
from tests.asking import ACME

from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.models import answers
from farthing.types import DEFAULT_ENDPOINT, Receipt, Request, choices_said


class Cut:
    """A stream of which one choice has begun when the deadline came."""

    cut = "deadline_s"

    def __init__(self) -> None:
        self.reader = EventReader(1_000)
        self.reader.feed(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n')

    def own_end(self) -> bytes | None:
        return self.reader.own_end(self.cut)


@pytest.mark.parametrize(
    "said, choices",
    [
        *[(None, 1), (0, 1), (-1, 1), (1, 1), (2, 2), (2.5, 3), (True, 1), ("3", 1), ([3], 1)],
        *[(3.5, 4), (2_000_000_000, 128), (1e308, 128)],
    ],
)
def test_every_choice_asked_for_is_ended_and_no_more_than_there_can_be(said: Any, choices: int) -> None:
    body = {"model": "m", "messages": [], "n": said}
    request = Request(
        id="r",
        tenant=ACME,
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="m",
        body=body,
        text="",
        prompt_chars=0,
        stream=True,
    )
    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0)
    events = answers.closing(request, Cut(), receipt).body.split(b"\n\n")  # type: ignore[arg-type]
    ended = json.loads(events[0].removeprefix(b"data: "))
    assert [choice["index"] for choice in ended["choices"]] == list(range(choices))
    assert choices <= choices_said(body) <= 100_000_000
