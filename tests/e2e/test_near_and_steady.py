"""The real gateway in front of providers that change their model in silence, are somewhere, and say how long
they worked."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.e2e.gateway import Running, running, until
from tests.faults.canned import Asked, Canned, http
from tests.faults.provider import FaultProvider

from farthing.guarantees.certificates.routing import RouteScope
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.versions import Author

FARTHING = [sys.executable, "-c", "from farthing.cli.main import main; main()"]
ANNA = Author(who="anna", at_unix_s=1.0)


def command(gateway: Running, *words: str, status: int | None = 0) -> str:
    env = {**os.environ, "FARTHING__STATE_DIR": str(gateway.state)}
    done = subprocess.run(
        [*FARTHING, *words, "--config", str(gateway.config)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert status is None or done.returncode == status, done.stderr + done.stdout
    return done.stdout + done.stderr


# -- steady -------------------------------------------------------------------------------------------

STEADY = """
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/small"]
[tiers.expensive]
targets = ["a/large"]
[brain]
timeout_s = 5
[cache]
exact = "off"
[route]
kind = "learned"
model = "{model}"
threshold = 0.8
[endpoints.faq]
"""


class Models:
    """A provider that names its models as it is told to."""

    def __init__(self) -> None:
        self.small, self.large = "small-2025-01-01", "large-2025-01-01"

    def on_call(self, call: Any) -> str:
        return f"names={self.small if call.model == 'small' else self.large},say={quote('It is green.')}"


@pytest.mark.slow
def test_a_silent_change_suspends_the_certificate_over_a_restart_until_it_is_measured_again(
    tmp_path: Path,
) -> None:
    pytest.importorskip("numpy")
    from tests.certified import certificate
    from tests.planted import fitted, questions

    texts, hard = questions(60, seed=77)
    question = next(text for text, is_hard in zip(texts, hard, strict=True) if is_hard)
    model = tmp_path / "route.npz"
    fitted().model.save(model)
    models = Models()

    def ask(gateway: Running, **fields: Any) -> Any:
        reply = gateway.chat(question, model="farthing/faq", **fields)
        assert reply.status == 200, reply.body
        return gateway.receipt_of(reply)

    def serve(gateway: Running, router: str, **changes: Any) -> None:
        scope = RouteScope(router=router, cheap="cheap", expensive="expensive", policy="")
        made = certificate(**{"threshold": 0.01, "scope": scope, **changes})
        versions.change(
            gateway.state,
            "faq",
            lambda book: versions.promote(added := versions.add(book, made, ANNA), added.last_number, ANNA),
        )

    with FaultProvider(on_call=models.on_call) as provider:
        config = STEADY.format(url=provider.base_url, model=model)
        with running(config, tmp_path) as gateway:
            router = ask(gateway).route_by
            serve(gateway, router)
            until(lambda: ask(gateway).tier == "cheap")
            assert ask(gateway).attempts[0].model == "small-2025-01-01"
            assert ask(gateway, stream=True).attempts[0].model == "small-2025-01-01"
            models.small = "chosen"
            chosen = ask(gateway, models=["small", "chosen"])
            assert chosen.attempts[0].model == "chosen", "a client's list of models: its provider chose"
            assert gateway.metric("farthing_model_changes_total") == 0
            models.small = "small-2025-09-09"
            assert ask(gateway).tier == "cheap", "the answer that tells of the change is out already"
            for _ in range(5):
                receipt = ask(gateway)
                assert receipt.tier == "expensive"
                assert "a/small answers with another model, small-2025-09-09" in receipt.route_reason
            logged = gateway.logged()
            assert logged.count("a/small answers with another model") == 2, "the alarm, and what it suspends"
            assert "again: the routing policy faq@1, whose requests go to the expensive tier (" in logged
            assert gateway.metric("farthing_model_changes_total") == 1
            assert gateway.metric("farthing_route_retreated") == 1
            until(lambda: "another model, small-2025-09-09 instead" in command(gateway, "quality"))
            assert "TRIPPED" in command(gateway, "policy", "show", "--endpoint", "faq")
        with running(config, tmp_path) as gateway:
            receipt = ask(gateway)
            assert receipt.tier == "expensive" and "another model" in receipt.route_reason
            logged = gateway.logged()
            assert logged.count("answers with another model") == 2, "it was told before the restart"
            serve(gateway, router)  # made now: measured after the change
            until(lambda: ask(gateway).tier == "cheap")
            models.small = "small-2025-01-01"  # a rollout that goes back and forth is no new change
            assert ask(gateway).tier == "cheap" and ask(gateway).tier == "cheap"
            explained = command(gateway, "explain", ask(gateway).request_id)
            assert "model    small-2025-01-01 answered, fingerprint " in explained


# -- regions ------------------------------------------------------------------------------------------

REGIONS = """
[providers.here]
base_url = "{here}"
region = "europe-west4"
[providers.there]
kind = "{kind}"
base_url = "{there}"
region = "eu-west-2"
[tiers.cheap]
targets = ["there/small", "here/small"]
[route]
default = "cheap"
[cache]
exact = "off"
[jobs]
per_minute = 100000
busy_share = 1.0
[endpoints.eu]
residency = ["eu"]
[endpoints.eu.quality]
judge = "here/judge"
judge_share = 1.0
[endpoints.any]
"""


def test_requests_of_an_endpoint_do_not_leave_its_regions(tmp_path: Path) -> None:
    with FaultProvider() as here, FaultProvider() as there:
        config = REGIONS.format(here=here.base_url, there=there.base_url, kind="openai")
        with running(config, tmp_path) as gateway:
            reply = gateway.chat("hello", model="farthing/eu")
            assert reply.status == 200
            receipt = gateway.receipt_of(reply)
            assert receipt.target == "here/small" and receipt.skipped == {"there/small": "residency"}
            assert [attempt.target for attempt in receipt.attempts] == ["here/small"]
            until(lambda: any(one.purpose == "judge" for one in gateway.receipts()))
            here.script(*["U10"] * 10)
            assert gateway.chat("hello again", model="farthing/eu").status == 500, "no fallback out of it"
            assert not there.calls
            assert gateway.chat("hello", model="farthing/any").status == 200
            assert len(there.calls) == 1
        stays = "endpoints.eu stays within eu: it asks here/small; never there/small (eu-west-2)"
        assert stays in command(gateway, "check")
        found = json.loads(command(gateway, "check", "--json"))["residency"]["eu"]
        assert found["targets"] == ["here/small"]


def test_a_model_outside_is_refused_by_name_with_the_fix(tmp_path: Path) -> None:
    with FaultProvider() as here, FaultProvider() as there:
        config = REGIONS.format(here=here.base_url, there=there.base_url, kind="openai")
        with running(config, tmp_path) as gateway:
            for stream in (False, True):
                reply = gateway.chat(
                    "hello", model="there/small", headers={"x-farthing-endpoint": "eu"}, stream=stream
                )
                assert reply.status == 403, reply.body
                assert reply.error["code"] == "residency"
                assert reply.error["message"] == (
                    "there/small answers in eu-west-2, and requests of the endpoint eu must not leave eu; "
                    "ask for a model within"
                )
            assert not there.calls and not here.calls


def test_no_provider_outside_counts_the_tokens(tmp_path: Path) -> None:
    counting = b'{"model":"there/small","messages":[{"role":"user","content":"hello"}]}'
    with FaultProvider() as here, FaultProvider() as there:
        config = REGIONS.format(
            here=here.base_url, there=there.base_url.removesuffix("/v1"), kind="anthropic"
        )
        with running(config, tmp_path) as gateway:
            for endpoint, calls in (("eu", 0), ("any", 1)):
                headers = {"x-farthing-endpoint": endpoint, "anthropic-version": "2023-06-01"}
                reply = gateway.post("/v1/messages/count_tokens", counting, headers)
                assert reply.status == 200, reply.body
                assert len(there.calls) == calls


REPLICAS = """
[providers.both]
kind = "anthropic"
base_url = "{there}"
api_key = "${{PROVIDER_KEY}}"
region = "eu-west-2"
[[providers.both.replicas]]
base_url = "{here}"
region = "europe-west4"
[tiers.cheap]
targets = ["both/small"]
hedge_after_ms = 20
[cache]
exact = "off"
[endpoints.eu]
residency = ["eu"]
[endpoints.any]
"""


@pytest.mark.slow
def test_of_a_target_with_several_addresses_those_within_are_asked_for_all(tmp_path: Path) -> None:
    counting = b'{"model":"both/small","messages":[{"role":"user","content":"hello"}]}'
    headers = {"x-farthing-endpoint": "eu", "anthropic-version": "2023-06-01"}
    with FaultProvider() as here, FaultProvider() as there:
        addresses = {"here": here.base_url.removesuffix("/v1"), "there": there.base_url.removesuffix("/v1")}
        with running(REPLICAS.format(**addresses), tmp_path, {"PROVIDER_KEY": "key"}) as gateway:
            for number in range(12):
                assert gateway.chat(f"hello {number}", model="farthing/eu").status == 200
            assert gateway.post("/v1/messages/count_tokens", counting, headers).status == 200
            here.script(*["U10"] * 10)
            assert gateway.chat("hello again", model="farthing/eu").status >= 500, "no other lane, no hedge"
            assert not there.calls and len(here.calls) > 13
            for number in range(12):
                assert gateway.chat(f"hi {number}", model="farthing/any").status == 200
            assert there.calls


# -- near ---------------------------------------------------------------------------------------------

WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m-2025",
    "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
CHUNK = json.dumps({"id": "c1", "model": "m-2025", "choices": [{"index": 0, "delta": {"content": "hello"}}]})
LAST = json.dumps({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
EVENTS = f"data: {CHUNK}\n\ndata: {LAST}\n\ndata: [DONE]\n\n".encode()


def answer(asked: Asked) -> bytes:
    if b'"stream":true' in asked.body.replace(b" ", b""):
        return http(200, EVENTS, "server-timing: gfet4t7; dur=0.02", kind="text/event-stream")
    if b"groq" in asked.body:
        usage = {**WHOLE["usage"], "queue_time": 0.00001, "total_time": 0.00002}  # type: ignore[dict-item]
        return http(200, json.dumps({**WHOLE, "usage": usage}).encode())
    if b"silent" in asked.body:
        return http(200, json.dumps(WHOLE).encode())
    told = "9000000" if b"absurd" in asked.body else "0.01"
    return http(200, json.dumps(WHOLE).encode(), f"OpenAI-Processing-MS: {told}")


def test_the_receipt_says_what_was_the_networks_and_what_the_providers(tmp_path: Path) -> None:
    with Canned(answer) as server:
        config = f'[providers.a]\nbase_url = "{server.base_url}"\n[cache]\nexact = "off"\n'
        with running(config, tmp_path) as gateway:

            def call(text: str, **fields: Any) -> Any:
                reply = gateway.chat(text, model="a/m", **fields)
                assert reply.status == 200, reply.body
                return gateway.receipt_of(reply).attempts[0]

            first, second = call("hello"), call("hello")
            assert first.connect_ms > 0 and first.tls_ms is None
            assert (first.model, first.fingerprint) == ("m-2025", "fp_1")
            for one in (first, second):
                assert one.provider_ms == 0.01
                assert one.network_ms == pytest.approx(one.ttft_ms - 0.01, abs=5.0) and one.network_ms > 0
            assert second.connect_ms is None, "the connection was open"
            if sys.platform == "linux":
                assert 0 < second.rtt_ms < 1_000
            assert call("groq").provider_ms == pytest.approx(0.03)
            assert call("hello", stream=True).provider_ms == 0.02
            for text in ("silent", "absurd"):
                one = call(text)
                assert (one.provider_ms, one.network_ms) == (None, None)
            assert gateway.metric("farthing_upstream_timed_calls_total") == 4
            assert gateway.metric("farthing_upstream_connections_total") >= 1
            shown = command(gateway, "explain", gateway.receipts()[0].request_id)
            assert "the provider 0.0 ms as it says; a connection was opened in " in shown
            assert "model    m-2025 answered, fingerprint fp_1" in shown
            told = json.loads(command(gateway, "report", "--json"))["ways"][0]
            assert (told["target"], told["timed"], told["fingerprints"]) == ("a/m", 4, 1)
            assert 0 < told["network_share"] < 1 and told["models"][0]["model"] == "m-2025"
            assert "a/m: network " in command(gateway, "report")
