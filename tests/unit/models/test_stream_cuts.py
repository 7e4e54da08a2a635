"""A stream reads the same however its bytes come, here truly one by one: a socket may put them together."""

import asyncio
import json

import pytest
from tests.contract.test_provider import ANTHROPIC, EVENT_BYTES_MAX
from tests.unit.models.providers.test_messages_as_sent import ODD, asked
from tests.unit.models.test_broadcast import NEVER_S, Client, Scene, Upstream

from farthing.dialects.told import Told
from farthing.errors import ProviderError, ProviderUnavailable, StreamBroken
from farthing.models.stream import Stream, Within

WHOLE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hé!"}, "finish_reason": "stop"}]
}
EVENTS = (
    'data: {"choices":[{"index":0,"delta":{"content":"Hé"}}]}\n\n'
    'data: {"choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
).encode()
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("body", [json.dumps(WHOLE, indent=2).encode(), EVENTS], ids=["whole", "events"])
@pytest.mark.parametrize(
    "before", [b"", b"\n", b"\n  ", b"\r\n\r\n", b"\n\n \t", BOM, BOM + b"\n "], ids=repr
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_what_stands_before_it_costs_nothing_of_it(before: bytes, body: bytes, size: int) -> None:
    async def scene() -> str:
        one = Scene()
        stream = one.stream
        opening = asyncio.get_running_loop().create_task(stream.open())
        await asyncio.sleep(0)
        data = before + body
        for at in range(0, len(data), size):
            one.upstream.data(data[at : at + size])
        one.upstream.end(None)
        await opening
        await stream.gather()
        whole = stream.held_whole()
        assert whole is not None
        said: str = whole["choices"][0]["message"]["content"]
        return said

    assert asyncio.run(scene()) == "Hé!"


class OwnClient(Client):
    """A sink of a client of Messages."""

    def send(self, events: bytes) -> None:
        assert isinstance(events, Told)
        self.got += events.own


RAW = ANTHROPIC.stream
BEGUN = RAW.index(b"\n\n", RAW.index(b"event: content_block_delta"))
SAID_WHY = RAW.index(b"\n\n", RAW.index(b"event: message_delta"))
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


async def own_stream(raw: bytes, error: Exception | None) -> tuple[str, bytes]:
    """How a stream of Messages ends for a client of Messages, and what it was sent."""
    upstream, client = Upstream(), OwnClient()
    within = Within(
        first_s=NEVER_S, whole_s=NEVER_S, idle_s=NEVER_S, end_s=NEVER_S, deadline_s=None, bytes_max=1_000_000
    )
    stream = Stream(
        upstream,
        within,
        ANTHROPIC.provider.decoder(EVENT_BYTES_MAX, asked(ODD)),
        choices=1,
        keep_bytes_max=0,
        output_chunks_max=None,
        in_answer=ANTHROPIC.provider.in_answer,
    )
    opening = asyncio.get_running_loop().create_task(stream.open())
    await asyncio.sleep(0)
    upstream.data(raw)
    upstream.end(error)
    try:
        await opening
    except ProviderError:
        return "failed", b""
    try:
        await stream.relay(client)
    except StreamBroken:
        return "broken", client.got
    return "whole", client.got + (stream.own_end() or b"")


@pytest.mark.parametrize("error", [None, ProviderUnavailable("reset")], ids=["end", "reset"])
def test_a_stream_of_messages_is_passed_on_as_far_as_it_came_wherever_it_ends(
    error: Exception | None,
) -> None:
    async def scene() -> None:
        for cut in range(len(RAW) + 1):
            how, sent = await own_stream(RAW[:cut], error)
            come = RAW[: RAW.rfind(b"\n\n", 0, cut) + 2] if b"\n\n" in RAW[:cut] else b""
            if cut == len(RAW):
                assert (how, sent) == ("whole", RAW)
            elif cut >= SAID_WHY + 2:
                last = RAW[: RAW.index(b"event: message_stop")] + STOP
                assert how == "whole" and sent in (last, RAW), cut
            elif how == "whole":  # an event without its end counts where the body ends properly
                assert error is None and cut >= SAID_WHY
            elif cut < BEGUN:
                assert (how, sent) == ("failed", b""), cut
            elif how == "failed":
                assert cut < BEGUN + 2, cut
            else:
                assert how == "broken" and sent.startswith(come) and RAW.startswith(sent.rstrip(b"\n")), cut

    asyncio.run(scene())
