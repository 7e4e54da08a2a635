"""A disk that is really full, and a kill in the middle: what was acknowledged is there, or is counted.

Who speaks Messages is told the same as who speaks chat completions."""

import http.client
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.disk import Disk, small_disk
from tests.e2e.gateway import Reply, Running, start, until
from tests.e2e.messages_said import chunks, claude_stream, closing, opening, words
from tests.faults.provider import FaultProvider

from farthing.cli.main import cli
from farthing.ledger import files, read
from farthing.types import Receipt, Signal

pytestmark = pytest.mark.timeout(240)
LONG_S = 60.0
CLIENTS = 4
SEGMENT_BYTES = 262_144
STREAMS = 200
"""Their receipts take more than the reserve, which is a quarter of a segment."""


@dataclass(frozen=True)
class Door:
    """A dialect of clients, before a model."""

    path: str
    model: str
    provider: str = "chat"

    @property
    def is_messages(self) -> bool:
        return self.path == "/v1/messages"

    def body(self, text: str, **fields: Any) -> dict[str, Any]:
        limit = {"max_tokens": 50} if self.is_messages else {}
        return {"model": self.model, "messages": [{"role": "user", "content": text}], **limit, **fields}

    def ask(self, gateway: Running, text: str = "hello", **fields: Any) -> Reply:
        return gateway.post(self.path, self.body(text, **fields), timeout_s=LONG_S)

    def said(self, reply: Reply) -> str:
        """The text of a whole answer."""
        if self.is_messages:
            assert reply.json["type"] == "message" and reply.json["stop_reason"] == "end_turn"
            return "".join(block["text"] for block in reply.json["content"])
        return str(reply.json["choices"][0]["message"]["content"])

    def check_refusal(self, reply: Reply) -> None:
        """It is the refusal of a full disk, in the words of this dialect."""
        assert int(reply.headers["retry-after"]) >= 1
        assert "ledger" in self.error_of(reply.json, reply.headers["x-request-id"])
        assert reply.status == (529 if self.is_messages else 503)

    def error_of(self, told: Any, request_id: str) -> str:
        """The words of the error of a full disk."""
        if not self.is_messages:
            assert told["error"]["code"] == "ledger_unavailable", told
            return str(told["error"]["message"])
        assert told.keys() == {"type", "error", "request_id"}
        assert (told["type"], told["request_id"]) == ("error", request_id)
        assert told["error"].keys() == {"type", "message"}
        return str(told["error"]["message"])


CHAT: Final = Door("/v1/chat/completions", "auto")
MESSAGES: Final = Door("/v1/messages", "auto")
DOORS: Final = {"chat": CHAT, "messages": MESSAGES}
STREAMED: Final = {
    "chat": Door("/v1/chat/completions", "a/held"),
    "messages told by chat": Door("/v1/messages", "a/held"),
    "messages as they came": Door("/v1/messages", "claude/held", "messages"),
}


def config(upstream: FaultProvider, on_full: str) -> str:
    return f"""
[providers.a]
base_url = "{upstream.base_url}"
auth = "none"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
auth = "none"
pass_through = true
[tiers.cheap]
targets = ["a/m-1"]
[[prices]]
target = "a/m-1"
input = 1.0
output = 1.0
[[prices]]
target = "a/held"
input = 1.0
output = 1.0
[[prices]]
target = "claude/held"
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

    def __init__(self, gateway: Running, door: Door) -> None:
        self._gateway = gateway
        self._door = door
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        self.answered: list[str] = []
        self.refused: list[Reply] = []

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                reply = self._door.ask(self._gateway)
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
    tmp_path: Path, upstream: FaultProvider, on_full: str, door: Door
) -> Iterator[tuple[Running, Disk, list[str]]]:
    """A gateway with one answer in its cache and a disk that is full now; and what it acknowledged."""
    with small_disk(tmp_path / "state") as disk:
        gateway = start(config(upstream, on_full), tmp_path)
        try:
            first = door.ask(gateway)
            assert first.status == 200, first.body
            again = until(lambda: _hit(gateway, door), LONG_S)
            assert door.said(again) == door.said(first)
            disk.fill(gateway)
            yield gateway, disk, [first.headers["x-request-id"], again.headers["x-request-id"]]
        finally:
            ended(gateway)


def _hit(gateway: Running, door: Door) -> Reply | None:
    reply = door.ask(gateway)
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


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_what_cannot_be_written_is_not_acknowledged(
    door: Door, tmp_path: Path, upstream: FaultProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    with filled(tmp_path, upstream, "refuse", door) as (gateway, disk, acknowledged):
        assert feedback(gateway, acknowledged[0]).status == 202  # the segment still has room
        clients = Clients(gateway, door)
        clients.start()
        until(lambda: len(clients.refused) > 20, LONG_S)
        told = feedback_refused(gateway, acknowledged[0])
        assert int(told.headers["retry-after"]) >= 1
        door.check_refusal(door.ask(gateway, "another question"))
        door.check_refusal(door.ask(gateway, stream=True))
        if door.is_messages:
            door.check_refusal(
                gateway.post("/v1/messages/count_tokens", door.body("hello"), timeout_s=LONG_S)
            )
        assert gateway.metric("farthing_ledger_available") == 0
        assert gateway.metric("farthing_ledger_requests_refused") > 20
        assert gateway.metric("farthing_ledger_rows_lost") == 0
        gateway.signal(signal.SIGKILL)
        clients.stop()
        gateway.process.wait()
        for reply in clients.refused:
            door.check_refusal(reply)
        assert len(clients.answered) > 100
        receipts, judged = on_disk(gateway)
        assert {*acknowledged, *clients.answered} <= receipts
        assert judged == {acknowledged[0]}
        assert files.unwritten([gateway.state / "ledger"]) == files.Unwritten()
        assert "lost:" not in reported(gateway, capsys)

        again = start(gateway.config.read_text(), tmp_path)  # on the disk as it is
        try:
            disk.fill(again)
            refusal = until(lambda: _refused(again, door), LONG_S)
            door.check_refusal(refusal)
            disk.free(again)
            reply = until(lambda: _answered(again, door), LONG_S)
            until(lambda: again.metric("farthing_ledger_available") == 1, LONG_S)
            assert feedback(again, acknowledged[1]).status == 202
            assert again.stop() == 0
            receipts, judged = on_disk(again)
            assert {*acknowledged, *clients.answered, reply.headers["x-request-id"]} <= receipts
            assert judged == set(acknowledged)
        finally:
            ended(again)
        few_lines(gateway)


def _answered(gateway: Running, door: Door) -> Reply | None:
    reply = door.ask(gateway)
    return reply if reply.status == 200 else None


def _refused(gateway: Running, door: Door) -> Reply | None:
    reply = door.ask(gateway)
    return reply if reply.status != 200 else None


def few_lines(gateway: Running) -> None:
    """A full disk is told of now and then, not at each request."""
    lines = [line for line in gateway.logged().splitlines() if '"level":"info"' not in line]
    assert len(lines) < 60, "\n".join(lines[:80])


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_what_is_lost_by_choice_is_counted_over_a_kill(
    door: Door, tmp_path: Path, upstream: FaultProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    with filled(tmp_path, upstream, "count", door) as (gateway, disk, acknowledged):
        clients = Clients(gateway, door)
        clients.start()
        until(lambda: gateway.metric("farthing_ledger_rows_waiting") > 200, LONG_S)
        feedback_refused(gateway, acknowledged[0])
        door.check_refusal(door.ask(gateway, "another question"))
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
            assert door.ask(again).status == 200
            assert again.stop() == 0
            assert json.loads(_json(again, capsys))["unwritten"]["lost"] == counted.lost
        finally:
            ended(again)
        few_lines(gateway)


class Stream:
    """One that was begun, and of which the first words have come."""

    def __init__(self, gateway: Running, door: Door) -> None:
        self._door = door
        raw = json.dumps(door.body("tell me", stream=True)).encode()
        self._socket = gateway.dial(LONG_S)
        self._socket.sendall(gateway.wire(door.path, raw, "connection: close"))
        self._read = b""
        while b"first" not in self._read:
            self._more()

    def _more(self) -> bool:
        came = self._socket.recv(65_536)
        self._read += came
        return bool(came)

    @property
    def request_id(self) -> str:
        head = self._read.partition(b"\r\n\r\n")[0].decode("latin-1")
        return next(line.split(": ")[1] for line in head.splitlines() if line.startswith("x-request-id"))

    def ended(self) -> bool:
        """Read the rest; whether it is a whole answer. Else it has broken with the error of a full disk."""
        with self._socket:
            while self._more():
                pass
        events = [line[6:] for line in self._read.splitlines() if line.startswith(b"data: ")]
        kinds = [] if not self._door.is_messages else [json.loads(one)["type"] for one in events]
        if kinds.count("message_stop") == 1 or events[-1] == b"[DONE]":
            assert b"last" in self._read and b"ledger" not in self._read
            return True
        assert b"[DONE]" not in events and "message_delta" not in kinds
        assert "ledger" in self._door.error_of(json.loads(events[-1]), self.request_id)
        assert self._read.count(b"event: error") == self._door.is_messages
        return False


@pytest.mark.parametrize("door", STREAMED.values(), ids=STREAMED)
def test_a_stream_is_ended_as_whole_only_when_it_is_written_down(
    door: Door, tmp_path: Path, upstream: FaultProvider
) -> None:
    more = threading.Event()
    if door.provider == "chat":
        held = chunks({"content": "first "}, {"content": "last"}).held_at(3, more)
    else:
        held = claude_stream(opening(), words(0, "first ", "last"), closing()).held_at(4, more)
    upstream.exactly("held", held)
    with filled(tmp_path, upstream, "refuse", MESSAGES) as (gateway, disk, acknowledged):
        disk.free(gateway)
        streams = [Stream(gateway, door) for _ in range(STREAMS)]
        disk.fill(gateway)
        clients = Clients(gateway, MESSAGES)
        clients.start()
        until(lambda: len(clients.refused) > 20, LONG_S)  # what is left is the reserve
        clients.stop()
        more.set()
        answered = [stream.request_id for stream in streams if stream.ended()]
        assert 0 < len(answered) < STREAMS
        receipts, _ = on_disk(gateway)
        assert receipts == {*acknowledged, *clients.answered, *answered}

        disk.free(gateway)
        until(lambda: gateway.metric("farthing_ledger_rows_waiting") == 0, LONG_S)
        assert gateway.stop() == 0
        times = Counter(receipt.request_id for receipt in gateway.receipts())
        assert {times[stream.request_id] for stream in streams} == {1}
        written = {receipt.request_id: receipt for receipt in gateway.receipts()}
        for stream in streams:
            receipt = written[stream.request_id]
            assert receipt.cost_nusd is not None and receipt.cost_nusd > 0
            if stream.request_id in answered:
                assert (receipt.status, receipt.error) == (200, None)
            else:
                assert (receipt.status, receipt.error) == (503, "ledger_unavailable")


def _json(gateway: Running, capsys: pytest.CaptureFixture[str]) -> str:
    words = ["report", "--since", "all", "--json", "--ledger", str(gateway.state / "ledger")]
    cli(words, standalone_mode=False)
    return capsys.readouterr().out
