"""A request that a shutdown ends is in the ledger as its client heard it."""

import http.client
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tests.e2e.gateway import LIMIT_S, Reply, Running, running, until
from tests.e2e.wire import answer
from tests.faults.passing import AUDIO, PassingProvider, Told
from tests.faults.provider import FaultProvider

from farthing.types import Receipt

CONFIG = """
[server]
drain_s = 4.0
[providers.a]
base_url = "{a}"
[tiers.cheap]
targets = ["a/good"]
"""

ENDS: dict[str, dict[str, Any]] = {
    "whole": {"model": "a/fault:delay=20"},
    "a stream that has not begun": {"model": "a/fault:delay=20", "stream": True},
    "a stream that has begun": {"model": "a/fault:gap=3", "stream": True},
    "a long body": {"model": "a/fault:delay=20", "user": "u" * 2_000_000},
    "done in time": {"model": "a/fault:delay=2"},
}


def test_it_is_recorded_as_what_its_client_got(upstream: FaultProvider, tmp_path: Path) -> None:
    heard: dict[str, Reply] = {}
    with running(CONFIG.format(a=upstream.base_url), tmp_path) as gateway:

        def ask(name: str, number: int) -> None:
            heard[f"{name} {number}"] = gateway.chat("one two three four five six seven", **ENDS[name])

        asking = [threading.Thread(target=ask, args=(name, number)) for name in ENDS for number in (0, 1)]
        for each in asking:
            each.start()
        until(lambda: gateway.metric("farthing_requests_in_progress") == len(asking))
        gateway.signal(signal.SIGTERM)
        for each in asking:
            each.join()
        gateway.process.wait(60)
        by_id = {row.request_id: row for row in gateway.receipts()}
    assert len(heard) == len(asking)
    for name, reply in heard.items():
        row = by_id[reply.headers["x-request-id"]]
        _as_heard(name, reply, row)


def test_sound_that_it_ends_is_no_whole_sound(tmp_path: Path) -> None:
    def listen(gateway: Running, heard: list[int]) -> None:
        asked = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT_S)
        body = json.dumps({"model": "a/v", "voice": "alloy", "input": "x"})
        asked.request("POST", "/v1/audio/speech", body, {"content-type": "application/json"})
        try:
            heard.append(len(asked.getresponse().read()))
        except http.client.IncompleteRead as error:
            heard.append(-len(error.partial))

    heard: list[int] = []
    with PassingProvider() as provider:
        provider.answers["/v1/audio/speech"] = Told(kind="audio/mpeg", pieces=(AUDIO,) * 99, pause_s=1.0)
        config = CONFIG.format(a=provider.base_url).replace("drain_s = 4.0", "drain_s = 0.5")
        with running(config, tmp_path) as gateway:
            listening = threading.Thread(target=listen, args=(gateway, heard))
            listening.start()
            until(lambda: gateway.metric("farthing_requests_in_progress") == 1 and bool(provider.came))
            time.sleep(0.5)
            gateway.signal(signal.SIGTERM)
            listening.join()
            gateway.process.wait(60)
            (row,) = gateway.receipts()
    assert len(heard) == 1 and heard[0] < 0 and heard[0] % len(AUDIO) == 0
    assert row.error == "draining"


def _as_heard(name: str, reply: Reply, row: Receipt) -> None:
    cut = b'"code":"draining"' in reply.body
    assert row.stop_reason == ("draining" if cut else "stop"), (name, row)
    assert row.error == ("draining" if cut else None), (name, row)
    begun = reply.headers["content-type"].startswith("text/event-stream")
    assert row.status == (503 if cut else 200), (name, row)
    assert reply.status == (200 if begun or not cut else 503), (name, reply)


def test_a_request_that_is_still_arriving_is_told_so(upstream: FaultProvider, tmp_path: Path) -> None:
    with running(CONFIG.format(a=upstream.base_url), tmp_path) as gateway, gateway.dial() as client:
        client.sendall(gateway.chat_bytes("x" * 300_000)[:-1])
        until(lambda: gateway.metric("farthing_connections") > 1)
        gateway.signal(signal.SIGTERM)
        reply = answer(client)
    assert reply.status == 503 and "shutting down" in reply.error["message"]
