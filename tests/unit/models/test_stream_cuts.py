"""A stream reads the same however its bytes come, here truly one by one: a socket may put them together."""

import asyncio
import json

import pytest
from tests.unit.models.test_broadcast import Scene

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
