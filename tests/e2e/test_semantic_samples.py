"""The semantic cache has the manners of the exact one: samples are samples, asked again is asked anew."""

from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.faults.provider import FaultProvider

SETTINGS = 'mode = "on"\nthreshold = 0.6\naudit_share = 0.000001'


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    started = start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/first"]
[brain]
timeout_s = 2.0
[endpoints.faq.cache.semantic]
{SETTINGS}
[endpoints.alone.cache]
exact = "off"
[endpoints.alone.cache.semantic]
{SETTINGS}
[endpoints.shared.cache]
reuse = "always"
[endpoints.shared.cache.semantic]
{SETTINGS}
""")
    until(lambda: started.metric("farthing_semantic_ready") == 1)
    return started


def ask(gateway: Running, text: str, *, endpoint: str = "faq", session: str = "", **fields: Any) -> Reply:
    headers = {"x-farthing-endpoint": endpoint, **({"x-farthing-session": session} if session else {})}
    reply = gateway.chat(text, headers=headers, **({"model": f"farthing/{endpoint}"} | fields))
    assert reply.status == 200, reply.body
    return reply


def learn(gateway: Running, text: str, **fields: Any) -> Reply:
    """Ask, and wait until the answer is kept."""
    before = gateway.metric("farthing_semantic_entries")
    reply = ask(gateway, text, **fields)
    until(lambda: gateway.metric("farthing_semantic_entries") > before)
    return reply


CASES: list[tuple[str, str, dict[str, Any], str]] = [
    ("faq", "password", {}, "semantic"),
    ("faq", "address", {"temperature": 0}, "semantic"),
    ("faq", "username", {"temperature": 0.7, "seed": 7}, "semantic"),
    ("shared", "photo", {"temperature": 0.7}, "semantic"),
    ("shared", "email", {"model": "a/first"}, "semantic"),
]


@pytest.mark.parametrize(("endpoint", "what", "fields", "cache"), CASES)
def test_what_may_be_answered_from_memory_is_answered_by_what_is_alike(
    gateway: Running, endpoint: str, what: str, fields: dict[str, Any], cache: str
) -> None:
    learn(gateway, f"How do I change my {what}?", endpoint=endpoint, **fields)
    reply = ask(gateway, f"How do I change my {what}, please?", endpoint=endpoint, **fields)
    assert reply.headers["x-farthing-cache"] == cache


@pytest.mark.parametrize("fields", [{"temperature": 0.7}, {"model": "a/first"}, {"n": 1, "temperature": 1}])
def test_a_sample_is_neither_answered_from_memory_nor_kept(gateway: Running, fields: dict[str, Any]) -> None:
    looked, kept = (gateway.metric(f"farthing_semantic_{name}") for name in ("looks_total", "entries"))
    replies = [ask(gateway, f"How do I close my account{end}", **fields) for end in ("?", ", please?")]
    assert [reply.headers["x-farthing-cache"] for reply in replies] == ["off", "off"]
    assert gateway.metric("farthing_semantic_looks_total") == looked
    assert gateway.metric("farthing_semantic_entries") == kept


@pytest.mark.parametrize(("endpoint", "what"), [("faq", "card"), ("alone", "cheque")])
def test_a_session_that_asks_again_gets_another_answer_whoever_gave_the_first(
    gateway: Running, endpoint: str, what: str
) -> None:
    first = learn(gateway, f"How do I block my {what}?", endpoint=endpoint)
    alike = f"How do I block my {what}, please?"
    served = ask(gateway, alike, endpoint=endpoint, session="s")
    again = ask(gateway, alike, endpoint=endpoint, session="s")
    other = ask(gateway, alike, endpoint=endpoint, session="t")
    assert served.headers["x-farthing-cache"] == "semantic" and served.json["id"] == first.json["id"]
    assert again.headers["x-farthing-cache"] == "miss" and again.json["id"] != first.json["id"]
    assert gateway.receipt_of(again).asked_anew == "again"
    assert other.headers["x-farthing-cache"] in ("exact", "semantic")
