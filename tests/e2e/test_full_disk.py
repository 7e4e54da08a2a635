"""A disk that is really full, and a kill in the middle: what was acknowledged is there, or is counted."""

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.disk import Disk, small_disk
from tests.e2e.gateway import Reply, Running, start, until
from tests.faults.provider import FaultProvider

from farthing.cli.main import cli
from farthing.ledger import files, read
from farthing.types import Receipt, Signal

pytestmark = pytest.mark.timeout(240)
LONG_S = 60.0
CLIENTS = 4
SEGMENT_BYTES = 262_144


def config(upstream: FaultProvider, on_full: str) -> str:
    return f"""
[providers.a]
base_url = "{upstream.base_url}"
auth = "none"
[tiers.cheap]
targets = ["a/m-1"]
[[prices]]
target = "a/m-1"
input = 1.0
output = 1.0
[brain]
timeout_s = 5.0
[cache.store]
kind = "sqlite"
[ledger]
segment_bytes = {SEGMENT_BYTES}
on_full = "{on_full}"
"""


class Clients:
    """Some that ask the same over and over, and note what they were told."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        self.answered: list[str] = []
        self.refused: list[Reply] = []

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                reply = self._gateway.chat(timeout_s=LONG_S)
            except (OSError, http.client.HTTPException):
                return  # killed
            if reply.status == 200:
                self.answered.append(reply.headers["x-request-id"])
            else:
                self.refused.append(reply)
                self._stop.wait(0.02)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def filled(
    tmp_path: Path, upstream: FaultProvider, on_full: str
) -> Iterator[tuple[Running, Disk, list[str]]]:
    """A gateway with one answer in its cache and a disk that is full now; and what it acknowledged."""
    with small_disk(tmp_path / "state") as disk:
        gateway = start(config(upstream, on_full), tmp_path)
        try:
            first = gateway.chat(timeout_s=LONG_S)
            again = until(lambda: _hit(gateway), LONG_S)
            disk.fill(gateway)
            yield gateway, disk, [first.headers["x-request-id"], again.headers["x-request-id"]]
        finally:
            ended(gateway)


def _hit(gateway: Running) -> Reply | None:
    reply = gateway.chat(timeout_s=LONG_S)
    return reply if reply.headers["x-farthing-cache"] == "exact" else None


def ended(gateway: Running) -> None:
    if gateway.process.poll() is None:
        gateway.signal(signal.SIGKILL)
    gateway.process.wait()
    assert gateway.process.stdout is not None
    gateway.process.stdout.close()


def feedback(gateway: Running, request_id: str) -> Reply:
    return gateway.post("/v1/feedback", {"request_id": request_id, "thumb": "up"}, timeout_s=LONG_S)


def feedback_refused(gateway: Running, request_id: str) -> Reply:
    """Send it until it is refused: one is smaller than a receipt, and may still find room."""

    def refused() -> Reply | None:
        reply = feedback(gateway, request_id)
        return reply if reply.status != 202 else None

    reply = until(refused, LONG_S)
    assert (reply.status, reply.error["code"]) == (503, "ledger_unavailable")
    return reply


def on_disk(gateway: Running) -> tuple[set[str], set[str]]:
    """Ids of receipts, and of requests that there is feedback about."""
    rows = list(read.read_all(gateway.state / "ledger"))
    return (
        {row.request_id for row in rows if isinstance(row, Receipt)},
        {row.request_id for row in rows if isinstance(row, Signal)},
    )


def reported(gateway: Running, capsys: pytest.CaptureFixture[str]) -> str:
    cli(["report", "--since", "all", "--ledger", str(gateway.state / "ledger")], standalone_mode=False)
    return " ".join(capsys.readouterr().out.split())


def test_what_cannot_be_written_is_not_acknowledged(
    tmp_path: Path, upstream: FaultProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    with filled(tmp_path, upstream, "refuse") as (gateway, disk, acknowledged):
        assert feedback(gateway, acknowledged[0]).status == 202  # the segment still has room
        clients = Clients(gateway)
        clients.start()
        until(lambda: len(clients.refused) > 20, LONG_S)
        told = feedback_refused(gateway, acknowledged[0])
        assert int(told.headers["retry-after"]) >= 1
        paid = gateway.chat("another question", timeout_s=LONG_S)
        assert (paid.status, paid.error["code"]) == (503, "ledger_unavailable")
        assert gateway.metric("farthing_ledger_available") == 0
        assert gateway.metric("farthing_ledger_requests_refused") > 20
        assert gateway.metric("farthing_ledger_rows_lost") == 0
        gateway.signal(signal.SIGKILL)
        clients.stop()
        gateway.process.wait()
        for reply in clients.refused:
            assert (reply.status, reply.error["code"]) == (503, "ledger_unavailable")
            assert int(reply.headers["retry-after"]) >= 1
        assert len(clients.answered) > 100
        receipts, judged = on_disk(gateway)
        assert {*acknowledged, *clients.answered} <= receipts
        assert judged == {acknowledged[0]}
        assert files.unwritten([gateway.state / "ledger"]) == files.Unwritten()
        assert "lost:" not in reported(gateway, capsys)

        again = start(gateway.config.read_text(), tmp_path)  # on the disk as it is
        try:
            disk.fill(again)
            until(lambda: again.chat(timeout_s=LONG_S).status == 503, LONG_S)
            disk.free(again)
            reply = until(lambda: _answered(again), LONG_S)
            until(lambda: again.metric("farthing_ledger_available") == 1, LONG_S)
            assert feedback(again, acknowledged[1]).status == 202
            assert again.stop() == 0
            receipts, judged = on_disk(again)
            assert {*acknowledged, *clients.answered, reply.headers["x-request-id"]} <= receipts
            assert judged == set(acknowledged)
        finally:
            ended(again)
        few_lines(gateway)


def _answered(gateway: Running) -> Reply | None:
    reply = gateway.chat(timeout_s=LONG_S)
    return reply if reply.status == 200 else None


def few_lines(gateway: Running) -> None:
    """A full disk is told of now and then, not at each request."""
    lines = [line for line in gateway.logged().splitlines() if '"level":"info"' not in line]
    assert len(lines) < 60, "\n".join(lines[:80])


def test_what_is_lost_by_choice_is_counted_over_a_kill(
    tmp_path: Path, upstream: FaultProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    with filled(tmp_path, upstream, "count") as (gateway, disk, acknowledged):
        clients = Clients(gateway)
        clients.start()
        until(lambda: gateway.metric("farthing_ledger_rows_waiting") > 200, LONG_S)
        feedback_refused(gateway, acknowledged[0])
        paid = gateway.chat("another question", timeout_s=LONG_S)
        assert (paid.status, paid.error["code"]) == (503, "ledger_unavailable")
        assert not clients.refused
        assert "not yet written:" in reported(gateway, capsys)
        gateway.signal(signal.SIGKILL)
        clients.stop()
        gateway.process.wait()
        receipts, _ = on_disk(gateway)
        gone = {*acknowledged, *clients.answered} - receipts
        counted = files.unwritten([gateway.state / "ledger"])
        assert len(gone) > 200 and counted.waiting == 0
        # The paid call that was refused had a receipt too, and so may have what was under way.
        assert len(gone) <= counted.lost <= len(gone) + 1 + CLIENTS
        assert f"lost: {counted.lost:,} receipts and signals between" in reported(gateway, capsys)

        disk.free(gateway)
        again = start(gateway.config.read_text(), tmp_path)
        try:
            assert again.metric("farthing_ledger_rows_lost_before") == counted.lost
            assert f"{counted.lost} receipts and signals of the previous run are lost" in again.logged()
            assert again.chat(timeout_s=LONG_S).status == 200
            assert again.stop() == 0
            assert json.loads(_json(again, capsys))["unwritten"]["lost"] == counted.lost
        finally:
            ended(again)
        few_lines(gateway)


def _json(gateway: Running, capsys: pytest.CaptureFixture[str]) -> str:
    words = ["report", "--since", "all", "--json", "--ledger", str(gateway.state / "ledger")]
    cli(words, standalone_mode=False)
    return capsys.readouterr().out
