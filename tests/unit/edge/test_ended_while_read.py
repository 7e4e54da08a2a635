"""Requests that go on from a stored response, while they are read: each leaves a receipt however it ends, and
what they are completed with counts as their body does."""

import asyncio
import json
import time
from typing import Any, cast

import pytest
from tests.wired import parts_in_memory

from farthing.config import loads
from farthing.edge.admit import Admission
from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.connection import ClientConnection
from farthing.edge.routes import ROUTES, Edge, Inference, Serving
from farthing.ledger.memory import MemoryLedger
from farthing.protocols import StoredResponse
from farthing.stores.responses.bounds import Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.types import Receipt, Request, replace
from farthing.wiring.build import build

CONFIG = """
[[answers]]
name = "opening"
text = "from nine to five"
when = "input_tokens >= 0"
"""
BODY = json.dumps({"model": "auto", "input": "and then?", "previous_response_id": "resp_1"}).encode()


def asked(path: str) -> HttpRequest:
    headers = {b"content-type": b"application/json", b"host": b"localhost"}
    return HttpRequest(b"POST", path, headers, BODY)


async def read(serving: Serving, connection: ClientConnection, http: HttpRequest, path: str) -> Request:
    edge = Edge(serving, Admission(9), metrics=lambda: b"", clock=time.monotonic)
    route = ROUTES[path][b"POST"]
    assert isinstance(route, Inference)
    return await edge._read_request(connection, http, "req_1", serving, route)


class Counting:
    """As much of a connection as reading needs."""

    known: Any = None
    also = b""

    def __init__(self) -> None:
        self.held: list[int] = []

    def hold(self, size: int) -> None:
        self.held.append(size)


class SlowResponses(MemoryResponses):
    """A store that is asked and has not answered yet."""

    def __init__(self) -> None:
        super().__init__(Bounds(responses_max=9, bytes_max=9_999, response_bytes_max=999))
        self.asked = asyncio.Event()

    async def get(self, tenant: str, id: str) -> StoredResponse | None:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("it never answers")


@pytest.mark.parametrize(
    ("path", "left"), [("/v1/responses", ["responses"]), ("/v1/responses/input_tokens", [])]
)
def test_who_leaves_while_a_stored_response_is_fetched(path: str, left: list[str]) -> None:
    async def go() -> list[Receipt]:
        ledger = MemoryLedger()
        store = SlowResponses()
        serving = build(loads(CONFIG, {}), replace(parts_in_memory(ledger), responses=store))
        connection = cast(ClientConnection, None)  # nothing is said to a client that has left
        reading = asyncio.ensure_future(read(serving, connection, asked(path), path))
        await store.asked.wait()
        reading.cancel("client_gone")
        with pytest.raises(asyncio.CancelledError):
            await reading
        return [row for row in ledger.rows() if isinstance(row, Receipt)]

    assert [row.dialect for row in asyncio.run(go())] == left


def test_what_it_is_completed_with_is_counted_with_the_bodies_of_all() -> None:
    async def go() -> tuple[list[int], int]:
        parts = parts_in_memory(MemoryLedger())
        now_s = time.time()
        kept = StoredResponse(
            id="resp_1",
            tenant="default",
            endpoint="default",
            created_unix_s=now_s,
            expires_unix_s=now_s + 60,
            body=b'{"output":[]}',
            items=json.dumps([{"role": "user", "content": "when?" * 100}]).encode(),
        )
        assert await parts.responses.put(kept)
        connection, http = Counting(), asked("/v1/responses")
        await read(build(loads(CONFIG, {}), parts), cast(ClientConnection, connection), http, http.path)
        return connection.held, len(http.body) - len(BODY)

    held, more = asyncio.run(go())
    assert held == [more] and more > 500
