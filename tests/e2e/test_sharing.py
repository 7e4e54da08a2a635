"""Those who share a call see it as it comes, at their own pace; and it is nobody's alone."""

import http.client
import json
import socket
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import LIMIT_S, Reply, Running, running, until
from tests.faults.provider import FaultProvider

from farthing.types import Receipt

NUMBERS = count()
WORDS = " ".join(f"word{i}" for i in range(20))  # 20 chunks, a second at a gap of 50 ms
LARGE = f"gap=0.0004,say={'%20'.join('z' * 60 for _ in range(3000))}"  # some 700 kB of events

MEDIUM = (
    f"gap=0.0004,say={'%20'.join('z' * 60 for _ in range(1000))}"  # all of it is kept, no socket holds it
)


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    scripts = {"large": LARGE, "medium": MEDIUM}
    upstream.on_call = lambda call: scripts.get(call.model)
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
idle_s = 1.5
[tiers.cheap]
targets = ["a/fault:gap=0.05,say={WORDS.replace(" ", "%20")}"]
[tiers.late]
targets = ["a/fault:delay=1"]
[tiers.breaks]
targets = ["a/fault:gap=0.05,say={WORDS.replace(" ", "%20")},truncate=10,end=cut"]
[tiers.large]
targets = ["a/large"]
[tiers.medium]
targets = ["a/medium"]
[endpoints.short]
deadline_s = 0.6
[endpoints.short.cache]
[[prices]]
target = "a/fault:gap=0.05,say={WORDS.replace(" ", "%20")}"
input = 1
output = 2
[cache]
answer_bytes_max = 400_000
""")


@pytest.fixture
def text() -> str:
    """A question that no other test asks."""
    return f"question {next(NUMBERS)}"


class Client(threading.Thread):
    """Asks for a stream and notes when each event came."""

    def __init__(self, gateway: Running, text: str, **fields: Any) -> None:
        super().__init__(daemon=True)
        self.body = json.dumps(
            {"model": "auto", "messages": [{"role": "user", "content": text}], "stream": True, **fields}
        )
        self.http = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT_S)
        self.came_s: list[float] = []
        self.lines: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.asked_s = time.monotonic()
        self.start()

    def run(self) -> None:
        try:
            self.http.request("POST", "/v1/chat/completions", self.body, {"content-type": "application/json"})
            response = self.http.getresponse()
            self.headers = {name.lower(): value for name, value in response.getheaders()}
            while line := response.readline():
                if line.startswith(b"data: "):
                    self.came_s.append(time.monotonic() - self.asked_s)
                    self.lines.append(line)
        finally:
            self.http.close()

    @property
    def reply(self) -> Reply:
        """All of it, when it has come."""
        self.join(LIMIT_S)
        return Reply(200, self.headers, b"".join(line + b"\n" for line in self.lines))


def leave(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_RDWR)
    client.close()


def of_cache(gateway: Running, before: int, cache: str, count: int) -> list[Receipt]:
    """Wait for `count` receipts of that kind beyond the first `before`."""
    return until(
        lambda: (found := [r for r in gateway.receipts()[before:] if r.cache == cache])[count - 1 :] and found
    )


def test_a_follower_sees_what_came_at_once_and_the_rest_as_it_comes(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls, rows = len(upstream.calls), len(gateway.receipts())
    leader = Client(gateway, text)
    until(lambda: len(leader.lines) >= 6)
    early = Client(gateway, text, stream_options={"include_usage": True})
    until(lambda: len(leader.lines) >= 12)
    late = Client(gateway, text)
    replies = [client.reply for client in (leader, early, late)]
    assert {reply.said for reply in replies} == {WORDS} and len(upstream.calls) - calls == 1
    assert [reply.headers["x-farthing-cache"] for reply in replies] == ["miss", "coalesced", "coalesced"]
    for client, there in ((early, 5), (late, 11)):  # a loaded machine is slow at both
        at_once_s = client.came_s[there] - client.came_s[0]
        assert at_once_s < (client.came_s[-1] - client.came_s[there]) / 2, "what came so far, at once"
    assert early.came_s[-1] - early.came_s[5] > 0.3, "and the rest not at the end"
    assert early.came_s[10] < early.came_s[-1] - 0.2
    usage = replies[1].events[-2]
    assert usage["usage"]["completion_tokens"] and usage["farthing"]["cost_usd"] == "0.000000000"
    assert all("usage" not in event or not event["usage"] for event in replies[2].events[:-1])
    followed = of_cache(gateway, rows, "coalesced", 2)
    led = of_cache(gateway, rows, "miss", 1)[0]
    for receipt in followed:
        assert (receipt.status, receipt.calls, receipt.cost_nusd, receipt.stop_reason) == (200, 0, 0, "stop")
        assert receipt.usage == led.usage and receipt.target == led.target and receipt.tier == "cache"
        assert receipt.ttft_ms is not None and receipt.ttft_ms < receipt.total_ms / 2
    assert gateway.chat(text).headers["x-farthing-cache"] == "exact"


def test_who_waits_for_the_first_chunk_sees_it_with_the_one_who_asked(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls = len(upstream.calls)
    clients = [Client(gateway, text, model="late") for _ in range(4)]
    assert {client.reply.said for client in clients} == {f"echo: {text}"}
    assert len(upstream.calls) - calls == 1


@pytest.mark.parametrize("follower_streams", [True, False])
def test_a_call_goes_on_for_the_others_when_the_one_who_asked_leaves(
    gateway: Running, upstream: FaultProvider, text: str, follower_streams: bool
) -> None:
    calls, rows = len(upstream.calls), len(gateway.receipts())
    leader = gateway.open_stream(text)
    leader.recv(1000)
    if follower_streams:
        follower = Client(gateway, text)
        until(lambda: len(follower.lines) >= 3)
        leave(leader)
        assert follower.reply.said == WORDS and follower.reply.events[-1] == "[DONE]"
    else:
        replies: list[Reply] = []
        waits = threading.Thread(target=lambda: replies.append(gateway.chat(text)))
        waits.start()
        gateway.wait_in_progress(2)
        leave(leader)
        waits.join(LIMIT_S)
        assert replies[0].json["choices"][0]["message"]["content"] == WORDS
    assert len(upstream.calls) - calls == 1 and not upstream.calls[calls].aborted
    led = of_cache(gateway, rows, "miss", 1)[0]
    assert (led.status, led.error, led.calls) == (499, "client_gone", 1)
    assert led.cost_nusd and led.usage is not None and not led.usage.estimated, "it is all paid for, once"
    assert of_cache(gateway, rows, "coalesced", 1)[0].cost_nusd == 0
    assert gateway.chat(text).headers["x-farthing-cache"] == "exact", "and kept"


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_has_not_begun_to_answer_goes_on_too(
    gateway: Running, upstream: FaultProvider, text: str, stream: bool
) -> None:
    calls = len(upstream.calls)
    leader = gateway.dial()
    leader.sendall(gateway.chat_bytes(text, model="late", stream=stream))
    until(lambda: len(upstream.calls) > calls)
    follower = Client(gateway, text, model="late")
    gateway.wait_in_progress(2)
    leave(leader)
    assert follower.reply.said == f"echo: {text}"
    assert len(upstream.calls) - calls == 1 and not upstream.calls[calls].aborted


def test_a_call_that_all_have_left_ends_at_once(gateway: Running, upstream: FaultProvider, text: str) -> None:
    calls, rows = len(upstream.calls), len(gateway.receipts())
    leader, *followers = (gateway.open_stream(text) for _ in range(3))
    for client in (leader, *followers):
        client.recv(1000)
    leave(leader)
    time.sleep(0.1)
    leave(followers[0])
    time.sleep(0.1)
    assert not upstream.calls[calls].aborted
    leave(followers[1])
    until(lambda: upstream.calls[calls].aborted)  # never, once it has come to its end
    assert len(upstream.calls) - calls == 1
    receipts = until(lambda: (found := gateway.receipts()[rows:])[2:] and found)
    assert {(receipt.status, receipt.error) for receipt in receipts} == {(499, "client_gone")}
    assert gateway.chat(text, model="late").status == 200


def test_a_follower_that_leaves_disturbs_nobody(gateway: Running, upstream: FaultProvider, text: str) -> None:
    calls = len(upstream.calls)
    leader = Client(gateway, text)
    until(lambda: leader.lines)
    leaving = gateway.open_stream(text)
    stays = Client(gateway, text)
    leaving.recv(1000)
    leave(leaving)
    assert leader.reply.said == stays.reply.said == WORDS
    assert len(upstream.calls) - calls == 1


def test_a_stream_that_breaks_is_broken_for_all_who_saw_a_part_of_it_and_for_nobody_else(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls, rows = len(upstream.calls), len(gateway.receipts())
    leader = Client(gateway, text, model="breaks")
    until(lambda: len(leader.lines) >= 3)
    saw = Client(gateway, text, model="breaks")
    until(lambda: saw.lines)
    whole = gateway.chat(text, model="breaks")
    errors = [client.reply.events[-1]["error"] for client in (leader, saw)]
    assert errors[0] == errors[1] and errors[0]["code"] == "stream_broken"
    assert leader.reply.said == saw.reply.said and "[DONE]" not in saw.reply.events
    followed = of_cache(gateway, rows, "coalesced", 1)[0]
    assert (followed.status, followed.error, followed.cost_nusd) == (502, "stream_broken", 0)
    assert whole.headers["x-farthing-cache"] == "miss", "it asked by itself"
    assert [call.stream for call in upstream.calls[calls:]].count(True) == 1
    again = Client(gateway, text, model="breaks")
    again.join(LIMIT_S)
    assert [call.stream for call in upstream.calls[calls:]].count(True) == 2, "and it is not kept"


def test_who_reads_nothing_holds_up_nobody(gateway: Running, upstream: FaultProvider, text: str) -> None:
    calls = len(upstream.calls)
    leader = Client(gateway, text, model="large")
    until(lambda: leader.lines)
    stuck = gateway.dial(receive_bytes=4096)
    stuck.sendall(gateway.chat_bytes(text, stream=True, model="large"))
    reads = Client(gateway, text, model="large")
    said = leader.reply.said
    assert reads.reply.said == said and len(said) > 180_000
    assert len(upstream.calls) - calls == 1
    got = b""
    while piece := stuck.recv(65_536):
        got += piece
    assert b"fell more than 400000 bytes behind" in got and b"[DONE]" not in got
    stuck.close()


def test_who_asked_and_falls_behind_is_waited_for_and_loses_nothing(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls = len(upstream.calls)
    leader = gateway.dial(receive_bytes=65_536)
    leader.sendall(gateway.chat_bytes(text, stream=True, model="large"))
    leader.recv(1000)
    follower = Client(gateway, text, model="large")
    time.sleep(3)  # the follower is a whole list ahead, and waits
    until(lambda: len(follower.lines) > 1000)
    assert follower.is_alive()
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        rest += leader.recv(65_536)
    assert b"[DONE]" in rest and b"error" not in rest
    assert len(follower.reply.said) > 180_000 and follower.reply.events[-1] == "[DONE]"
    assert len(upstream.calls) - calls == 1


def test_who_asked_first_and_reads_nothing_holds_up_nobody_to_the_very_end(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls = len(upstream.calls)
    leader = gateway.dial(receive_bytes=4096)
    leader.sendall(gateway.chat_bytes(text, stream=True, model="medium"))
    leader.recv(1000)
    follower = Client(gateway, text, model="medium")
    whole = gateway.chat(text, model="medium")
    assert follower.reply.events[-1] == "[DONE]" and follower.reply.said == " ".join(["z" * 60] * 1000)
    assert whole.headers["x-farthing-cache"] == "coalesced"
    assert gateway.chat(text, model="medium").headers["x-farthing-cache"] == "exact", "it is kept already"
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        rest += leader.recv(65_536)
    assert rest.count(b"z" * 60) >= 990 and b"[DONE]" in rest
    assert len(upstream.calls) - calls == 1


def test_what_is_too_large_to_keep_is_seen_by_those_who_were_there_and_asked_anew_by_the_rest(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls = len(upstream.calls)
    leader = Client(gateway, text, model="large")
    until(lambda: leader.lines)
    there = Client(gateway, text, model="large")
    until(lambda: there.lines)
    waits: list[Reply] = []
    whole = threading.Thread(target=lambda: waits.append(gateway.chat(text, model="large")))
    whole.start()
    until(lambda: len(upstream.calls) - calls == 2)
    assert leader.is_alive(), "nobody waits for what will not be there"
    assert leader.reply.said == there.reply.said
    whole.join(LIMIT_S)
    assert waits[0].headers["x-farthing-cache"] == "miss"


def test_what_is_too_large_to_keep_is_not_paid_for_when_all_who_see_it_have_left(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls = len(upstream.calls)
    leader = gateway.open_stream(text, model="large")
    leader.recv(1000)
    waits: list[Reply] = []
    whole = threading.Thread(target=lambda: waits.append(gateway.chat(text, model="large")))
    whole.start()
    gateway.wait_in_progress(2)
    leave(leader)
    until(lambda: upstream.calls[calls].aborted)
    whole.join(LIMIT_S)
    assert waits[0].headers["x-farthing-cache"] == "miss" and len(upstream.calls) - calls == 2


def test_a_limit_cuts_the_stream_for_all_and_says_so(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    calls, rows = len(upstream.calls), len(gateway.receipts())
    leader = Client(gateway, text, model="farthing/short")
    until(lambda: len(leader.lines) >= 2)
    follower = Client(gateway, text, model="farthing/short", stream_options={"include_usage": True})
    for reply in (leader.reply, follower.reply):
        finishes = [c["finish_reason"] for event in reply.events[:-1] for c in event["choices"]]
        assert finishes[-1] == "length" and reply.events[-1] == "[DONE]"
    assert len(upstream.calls) - calls == 1
    assert of_cache(gateway, rows, "coalesced", 1)[0].stop_reason == "limit:deadline_s"


def test_clients_of_our_own_form_share_theirs(gateway: Running, upstream: FaultProvider, text: str) -> None:
    calls = len(upstream.calls)
    replies: list[Reply] = []
    body = {"model_tier": "cheap", "prompt": text, "stream": True}
    clients = [
        threading.Thread(target=lambda: replies.append(gateway.post("/llm-inference", body)))
        for _ in range(3)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(LIMIT_S)
    for reply in replies:
        assert "".join(event.get("text", "") for event in reply.events[:-1]) == WORDS
    assert sorted(reply.events[-2]["cache"] for reply in replies) == ["coalesced", "coalesced", "miss"]
    assert len(upstream.calls) - calls == 1


def test_calls_of_tools_are_shared_by_those_who_ask_at_once_and_by_nobody_later(
    gateway: Running, upstream: FaultProvider, text: str
) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    text += ", by a tool"
    calls = len(upstream.calls)
    clients = [Client(gateway, text, model="late", tools=[tool]) for _ in range(3)]
    whole = gateway.chat(text, model="late", tools=[tool])
    named = {json.dumps(client.reply.events[1:-1]) for client in clients}
    assert len(named) == 1 and "look" in named.pop()
    assert whole.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert whole.json["choices"][0]["finish_reason"] == "tool_calls"
    assert len(upstream.calls) - calls == 1
    assert gateway.receipt_of(whole).stop_reason == "tool_calls"
    assert gateway.chat(text, model="late", tools=[tool]).headers["x-farthing-cache"] == "miss"


def test_a_gateway_that_goes_down_ends_a_call_whose_own_client_has_left_for_those_who_follow(
    tmp_path: Path, upstream: FaultProvider, text: str
) -> None:
    model = f"a/fault:gap=0.05,say={WORDS.replace(' ', '%20')}"
    config = f'[providers.a]\nbase_url = "{upstream.base_url}"\n[tiers.cheap]\ntargets = ["{model}"]\n'
    with running(config, tmp_path) as gateway:
        leader = gateway.open_stream(text)
        leader.recv(1000)
        follower = Client(gateway, text)
        until(lambda: len(follower.lines) >= 3)
        leave(leader)
        time.sleep(0.1)
        assert gateway.stop() == 0
        assert follower.reply.said == WORDS and follower.reply.events[-1] == "[DONE]"
        rows = gateway.receipts()
        assert sorted((row.status, row.cache) for row in rows) == [(200, "coalesced"), (499, "miss")]
