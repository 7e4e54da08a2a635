"""A key with `requests_per_minute`: what its answers say, and what happens beyond it."""

from tests.conftest import StartGateway
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

ASK = {"model": "a/good", "messages": [{"role": "user", "content": "hello"}]}


def test_a_key_is_held_to_its_rate_and_told_what_is_left(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    gateway = start_gateway(f"""
[[keys]]
tenant = "few"
digest = "{key_digest("sk-few-requests")}"
requests_per_minute = 2
[[keys]]
tenant = "many"
digest = "{key_digest("sk-many-requests")}"
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good"]
[tiers.expensive]
targets = ["a/good"]
""")
    few = {"authorization": "Bearer sk-few-requests"}
    replies = [gateway.post("/v1/chat/completions", {**ASK, "seed": i}, headers=few) for i in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
    refused = replies[2]
    assert refused.error["code"] == "rate_limit_exceeded"
    assert refused.headers["x-should-retry"] == "true"
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    many = gateway.post("/v1/chat/completions", ASK, headers={"authorization": "Bearer sk-many-requests"})
    assert many.status == 200 and "x-ratelimit-limit-requests" not in many.headers
    row = gateway.receipt_of(refused)
    assert (row.tenant, row.status, row.error, row.calls) == ("few", 429, "rate_limit_exceeded", 0)
    assert row.model_asked == "a/good"
