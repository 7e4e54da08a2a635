"""What somebody who stakes a product on the gateway tries first: money, names, reloads, other sites."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider

CONFIG = """
[providers.a]
base_url = "{a}"
[tiers.cheap]
targets = ["a/gpt-4o-mini"]
[tiers.expensive]
targets = ["a/gpt-4o"]
[tiers.vectors]
targets = ["a/text-embedding-3-small"]
[[prices]]
target = "a/gpt-4o-mini"
input = 1
output = 1000
[endpoints.penny]
usd_max = 0.02
tier = "cheap"
[endpoints.short]
output_tokens_max = 10
tier = "cheap"
[endpoints.vectors]
tier = "vectors"
[[guard.deny]]
name = "secret"
contains = ["project zeus"]
"""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(CONFIG.format(a=upstream.base_url))


def test_every_choice_that_is_asked_for_is_paid_from_the_limit(
    gateway: Running, upstream: FaultProvider
) -> None:
    before = len(upstream.calls)
    reply = gateway.chat("ten words", model="farthing/penny", n=128, max_tokens=1000)
    assert reply.status == 402 or reply.error["code"] == "contract_exceeded", reply.body
    assert len(upstream.calls) == before
    few = gateway.chat("ten other words", model="farthing/penny", n=4)
    assert few.status == 200
    receipt = gateway.receipt_of(few)
    assert receipt.cost_nusd is not None and receipt.cost_nusd <= 20_000_000


def test_each_choice_has_the_output_cap_to_itself(gateway: Running) -> None:
    reply = gateway.chat("one two three four five six seven", model="farthing/short", n=3, stream=True)
    ends = {
        choice["index"]: choice["finish_reason"]
        for event in reply.events
        if isinstance(event, dict)
        for choice in event["choices"]
        if choice["finish_reason"]
    }
    assert ends == {0: "stop", 1: "stop", 2: "stop"}


def test_no_chat_model_is_asked_for_an_embedding_by_rules(gateway: Running, upstream: FaultProvider) -> None:
    before = len(upstream.calls)
    refused = gateway.post("/v1/embeddings", {"model": "auto", "input": "a"})
    assert refused.status == 404 and refused.error["param"] == "model"
    assert len(upstream.calls) == before
    for model in ("vectors", "farthing/vectors", "text-embedding-3-small"):
        reply = gateway.post("/v1/embeddings", {"model": model, "input": f"for {model}"})
        assert reply.status == 200 and reply.headers["x-farthing-model"] == "a/text-embedding-3-small"


def test_a_phrase_far_down_a_list_of_inputs_is_denied(gateway: Running) -> None:
    given = ["x" * 30_000, "about project  Zeus"]
    reply = gateway.post("/v1/embeddings", {"model": "text-embedding-3-small", "input": given})
    assert reply.status == 400 and reply.error["code"] == "content_filter"


def test_a_page_of_another_site_cannot_spend_money_here(gateway: Running, upstream: FaultProvider) -> None:
    before = len(upstream.calls)
    body = gateway.wire(
        "/v1/chat/completions", b'{"model":"auto","messages":[{"role":"user","content":"x"}]}'
    )
    untyped = body.replace(b"content-type: application/json\r\n", b"origin: http://evil.example\r\n")
    with gateway.dial() as client:
        client.sendall(untyped)
        assert client.recv(100).startswith(b"HTTP/1.1 415")
    rebound = body.replace(b"host: 127.0.0.1", b"host: evil.example")
    with gateway.dial() as client:
        client.sendall(rebound)
        assert client.recv(100).startswith(b"HTTP/1.1 403")
    assert len(upstream.calls) == before
    with gateway.dial() as client:
        client.sendall(body.replace(b"host: 127.0.0.1", b"host: localhost"))
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_reload_never_takes_the_last_key_from_an_open_port(upstream: FaultProvider, tmp_path: Path) -> None:
    keyed = f"""
[server]
host = "0.0.0.0"
[[keys]]
tenant = "t"
key = "${{TEST_KEY}}"
[providers.a]
base_url = "{upstream.base_url}"
"""
    with running(keyed, tmp_path, {"TEST_KEY": "sk-test"}) as gateway:
        assert gateway.chat(model="m").status == 401
        gateway.config.write_text(f'[providers.a]\nbase_url = "{upstream.base_url}"\n')
        os.kill(gateway.process.pid, signal.SIGHUP)
        until(lambda: "reload refused" in gateway.logged())
        assert gateway.chat(model="m").status == 401


@pytest.mark.parametrize("path", ["/llm-inference", "/v1/ask"])
def test_a_field_that_is_not_there_is_named_with_those_that_are(gateway: Running, path: str) -> None:
    reply = gateway.post(path, {"promt": "x", "prompt": "x", "text": "x"})
    assert reply.status == 400 and "max_tokens" in reply.error["message"]
    assert reply.error["param"] in ("promt", "prompt", "text")


def test_our_own_limit_of_connections_is_no_reason_to_let_a_target_rest(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    config = f'[providers.a]\nbase_url = "{upstream.base_url}"\nconnections_max = 1\nwhole_s = 0.2\n'
    gateway = start_gateway(config)
    streaming = threading.Thread(
        target=lambda: gateway.chat("holds the only connection", model="fault:gap=0.1,n=6", stream=True)
    )
    streaming.start()
    time.sleep(0.2)
    busy = gateway.chat("waits", model="fault:good")
    assert busy.status == 429 and busy.headers["retry-after"] == "1", busy.body
    streaming.join()
    assert gateway.chat("waits no more", model="fault:good").status == 200
