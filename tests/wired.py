"""The parts of a gateway without files, for tests that wire one configuration by themselves."""

import asyncio

from farthing.brain.cache.flight import Flights
from farthing.brain.contract.memory import MemoryContract
from farthing.ledger.memory import MemoryLedger
from farthing.models.transport.http1 import Http1Transport
from farthing.runtime.loop_batch import LoopBatch
from farthing.runtime.redact import Redactor
from farthing.stores.kv.memory import MemoryStore
from farthing.stores.responses.bounds import Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.wiring.build import Parts
from farthing.wiring.credentials import CredentialsParts
from farthing.wiring.providers import reach_issuer


def parts_in_memory(ledger: MemoryLedger) -> Parts:
    """Real parts, on the loop of now."""
    loop = asyncio.get_running_loop()
    transport = Http1Transport(loop, LoopBatch(loop))
    return Parts(
        ledger=ledger,
        transport=transport,
        credentials=CredentialsParts(transport, Redactor(), reach_issuer),
        store=MemoryStore(entries_max=100, bytes_max=1_000_000),
        responses=MemoryResponses(
            Bounds(responses_max=100, bytes_max=1_000_000, response_bytes_max=1_000_000)
        ),
        contract=MemoryContract(),
        flights=Flights(),
        health={},
        user_key=b"k" * 32,
    )
