"""A request that is ended before it is known what it asks leaves its receipt all the same."""

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
from farthing.edge.routes import ROUTES, Edge, Inference
from farthing.ledger.memory import MemoryLedger
from farthing.protocols import StoredResponse
from farthing.stores.responses.bounds import Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.types import Receipt, replace
from farthing.wiring.build import build

CONFIG = """
[[answers]]
name = "opening"
text = "from nine to five"
when = "input_tokens >= 0"
"""
BODY = json.dumps({"model": "auto", "input": "and then?", "previous_response_id": "resp_1"}).encode()


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
        edge = Edge(serving, Admission(9), metrics=lambda: b"", clock=time.monotonic)
        http = HttpRequest(b"POST", path, {b"content-type": b"application/json"}, BODY)
        connection = cast(ClientConnection, None)  # nothing is said to a client that has left
        route: Any = ROUTES[path][b"POST"]
        assert isinstance(route, Inference)
        reading = asyncio.ensure_future(edge._read_request(connection, http, "req_1", serving, route))
        await store.asked.wait()
        reading.cancel("client_gone")
        with pytest.raises(asyncio.CancelledError):
            await reading
        return [row for row in ledger.rows() if isinstance(row, Receipt)]

    assert [row.dialect for row in asyncio.run(go())] == left
