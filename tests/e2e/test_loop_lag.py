"""No body, however it is made, keeps the other requests waiting (promise P10)."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import ROOT, Running, running, until
from tests.faults.passing import Came, PassingProvider, Told
from tests.faults.provider import FaultProvider
from tests.pace import turn_s

LAG_MAX_TURNS = 5_000_000
"""How much the gateway may do between a question and its answer, in turns of an empty loop: 0.1 s."""
TRIES = 4  # the best of these counts
SIZE = 9_000_000

# In a process of its own: the one of the tests sends the large bodies. Prints the longest answer of a probe,
# where it can without the time in which the gateway did not have the processor.
PROBE = """
import socket, sys, time
from tests.pace import process_cpu_s
pid = int(sys.argv[2])
probe = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
longest_s, answered = 0.0, 0
ask = b"GET /livez HTTP/1.1\\r\\nhost: 127.0.0.1\\r\\n\\r\\n"
print("ready", flush=True)
end_s = time.monotonic() + 300
import select
while time.monotonic() < end_s and not select.select([sys.stdin], [], [], 0)[0]:
    began_s, had_s = time.monotonic(), process_cpu_s(pid)
    probe.sendall(ask)
    said = b""
    while not said.endswith(b"}"):
        said += probe.recv(65536)
    took_s = time.monotonic() - began_s
    if had_s is not None:
        took_s = min(took_s, process_cpu_s(pid) - had_s)
    longest_s, answered = max(longest_s, took_s), answered + 1
    time.sleep(0.002)
print(longest_s, answered)
"""


def chat(*texts: str) -> bytes:
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"model": "cheap", "messages": messages}, ensure_ascii=False).encode()


def image() -> bytes:
    """What a photo is sent as: base64 in one text."""
    url = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * (11_000_000 // 24)
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return json.dumps({"model": "cheap", "messages": [{"role": "user", "content": parts}]}).encode()


BODIES: dict[str, Callable[[], bytes]] = {
    "an image of 11 MB": image,
    "plain": lambda: chat("hello world " * (SIZE // 12)),
    "no ASCII": lambda: chat("é" * (SIZE // 2)),
    "the first word of a rule": lambda: chat("project x " * (SIZE // 10)),
    "the first word of a rule in many messages": lambda: chat(*["project x " * 45] * 19_000),
    "escapes": lambda: chat("a\n" * (SIZE // 3)),
    "keys inside a text": lambda: chat('{"a": "b", "c" : 1}' * (SIZE // 27)),
    "many messages": lambda: chat(*["hello there"] * 24_000),
    "messages just too few to be many bytes": lambda: chat(*["hello there"] * 16_000),
    "small lists": lambda: (
        b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"x":[%b]}' % b",".join([b"[]"] * 63_000)
    ),
    "objects in objects": lambda: (
        b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"x":[%b]}'
        % b",".join([b'{"a":{"b":[1]}}'] * 16_000)
    ),
    "a key that is there twice among many": lambda: (
        b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"x":{%b,"k1":2}}'
        % b",".join([b'"k%d":1' % number for number in range(60_000)])
    ),
    "many values": lambda: (
        b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"x":[%b]}'
        % b",".join([b"1.2345678901234567e10"] * 490_000)
    ),
}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good"]
[[guard.deny]]
name = "secret"
contains = ["project zeus"]
""")


@contextmanager
def probed(gateway: Running) -> Iterator[list[float]]:
    """Puts the longest that a probe waited for its answer into what it yields, once the `with` has ended."""
    longest: list[float] = []
    with subprocess.Popen(
        [sys.executable, "-c", PROBE, str(gateway.port), str(gateway.process.pid)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as probe:
        assert probe.stdout is not None and probe.stdout.readline() == b"ready\n"
        yield longest
        said, _ = probe.communicate(b"end\n", timeout=90)
    seconds, answered = said.split()
    assert int(answered) > 0
    longest.append(float(seconds))


def longest_s(gateway: Running, body: bytes) -> float:
    """The longest that a probe waited for its answer while `body` was sent and refused or answered."""
    with probed(gateway) as longest:
        reply = gateway.post("/v1/chat/completions", body, timeout_s=60)
        assert reply.status in (200, 400, 413, 502), reply.body[:300]
    return longest[0]


def kept_waiting(lag_s: Callable[[int], float]) -> float:
    """The least lag of some tries, in turns; fewer tries where one is good."""
    turns = float("inf")
    for number in range(TRIES):
        turns = min(turns, lag_s(number) / turn_s())
        if turns < LAG_MAX_TURNS:
            break
    print(f"{turns:,.0f} turns")
    return turns


@pytest.mark.parametrize("name", BODIES)
def test_a_large_body_keeps_nobody_waiting(gateway: Running, name: str) -> None:
    body = BODIES[name]()
    assert kept_waiting(lambda _: longest_s(gateway, body)) < LAG_MAX_TURNS


def test_a_reload_that_turns_the_semantic_cache_on_keeps_nobody_waiting(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    for package in ("numpy", "onnxruntime", "tokenizers", "numkong"):
        pytest.importorskip(package)
    config = f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good"]
"""

    def turned_on(number: int) -> float:
        folder = tmp_path / str(number)
        folder.mkdir()
        with running(config, folder) as gateway:
            with probed(gateway) as longest:
                gateway.config.write_text(config + '[endpoints.faq.cache.semantic]\nmode = "observe"\n')
                until(lambda: gateway.metric("farthing_semantic_ready") == 1, 60.0)
            return longest[0]

    assert kept_waiting(turned_on) < LAG_MAX_TURNS


def test_vectors_of_many_texts_that_were_kept_keep_nobody_waiting(start_gateway: StartGateway) -> None:
    vector = b"[%b]" % b",".join([b"0.0123456789"] * 1_024)

    def embedded(came: Came) -> Told:
        entries = [b'{"index":%d,"embedding":%b}' % (at, vector) for at in range(len(came.json["input"]))]
        return Told(b'{"data":[%b],"usage":{"prompt_tokens":9,"total_tokens":9}}' % b",".join(entries))

    texts = [f"text {number}" for number in range(700)]
    with PassingProvider() as provider:
        provider.answers = {"/v1/embeddings": embedded}
        gateway = start_gateway(
            f'[providers.a]\nbase_url = "{provider.base_url}"\nauth = "none"\npass_through = true\n'
        )
        assert gateway.post("/v1/embeddings", {"model": "a/v", "input": texts}).status == 200

        def lag_s(number: int) -> float:
            with probed(gateway) as longest:
                for given in (texts[::-1], [*texts, f"one more, {number}"]):
                    reply = gateway.post("/v1/embeddings", {"model": "a/v", "input": given})
                    assert reply.status == 200 and len(reply.json["data"]) == len(given)
            return longest[0]

        assert kept_waiting(lag_s) < LAG_MAX_TURNS
        assert len(provider.came) <= 1 + TRIES
