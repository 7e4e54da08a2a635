"""Which headers pass between a client and a provider, and which do not."""

import json
import socket
from pathlib import Path

from tests.e2e.gateway import Running, running
from tests.faults.canned import Asked, Canned, http
from tests.faults.provider import FaultProvider

from farthing.config import key_digest
from farthing.insight.explain import request

SAID = {
    "x-request-id": "req_theirs_1",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-tokens": "149984",
    "X-RateLimit-Reset-Tokens": "6ms",
    "anthropic-ratelimit-requests-remaining": "49",
    "OpenAI-Processing-MS": "417",
    "openai-version": "2020-10-01",
    "openai-organization": "acme-of-the-operator",
    "cf-ray": "8f2a-AMS",
    "x-ms-region": "West Europe",
    "set-cookie": "__cf_bm=secret; path=/",
    "server": "cloudflare",
    "x-farthing-tier": "forged",
    "access-control-allow-origin": "*",
    "strict-transport-security": "max-age=1",
    "x-internal": "10.1.2.3",
}
LINES = [f"{name}: {value}" for name, value in SAID.items()]
WHOLE = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
).encode()
CHUNK = json.dumps({"id": "c1", "choices": [{"index": 0, "delta": {"content": "hello"}}]})
LAST = json.dumps({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
EVENTS = f"data: {CHUNK}\n\ndata: {LAST}\n\ndata: [DONE]\n\n".encode()
PASSED = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-remaining",
    "openai-processing-ms",
    "openai-version",
    "cf-ray",
    "x-ms-region",
)


def answer(asked: Asked) -> bytes:
    if b'"bad"' in asked.body:
        error = b'{"error": {"message": "no such field", "type": "invalid_request_error"}}'
        return http(400, error, *LINES)
    if b'"stream": true' in asked.body or b'"stream":true' in asked.body:
        return http(200, EVENTS, *LINES, kind="text/event-stream")
    return http(200, WHOLE, *LINES)


def config(server: Canned, *more: str) -> str:
    return "\n".join(["[providers.a]", f'base_url = "{server.base_url}"', *more, ""])


def names_twice(gateway: Running, wire: bytes) -> list[str]:
    """Names that stand twice in the head of the answer to `wire`."""
    with gateway.dial() as client:
        client.sendall(wire)
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65_536)
    names = [line.split(b":")[0].lower().decode() for line in head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
    return [name for name in names if names.count(name) > 1]


def test_limits_times_and_ids_come_back_on_whole_streamed_and_refused_and_nothing_else(
    tmp_path: Path,
) -> None:
    with Canned(answer) as server, running(config(server), tmp_path) as gateway:
        replies = [
            gateway.chat("whole", model="a/m"),
            gateway.chat("stream", model="a/m", stream=True),
            gateway.chat("refused", model="a/m", bad=True),
            gateway.post("/llm-inference", {"prompt": "native"}),
        ]
        assert [reply.status for reply in replies] == [200, 200, 400, 404]
        for reply in replies[:3]:
            lower = {name.lower(): value for name, value in SAID.items()}
            assert {name: reply.headers.get(name) for name in PASSED} == {n: lower[n] for n in PASSED}
            assert reply.headers["x-upstream-request-id"] == "req_theirs_1"
            assert reply.headers["x-request-id"].startswith("req_") and "theirs" not in str(
                reply.headers["x-request-id"]
            )
            for name in (
                "openai-organization",
                "set-cookie",
                "x-internal",
                "access-control-allow-origin",
                "strict-transport-security",
            ):
                assert name not in reply.headers
            assert reply.headers["server"] == "farthing"
            assert reply.headers.get("x-farthing-tier") != "forged"
            assert gateway.receipt_of(reply).attempts[0].upstream_id == "req_theirs_1"


def test_what_comes_from_the_cache_says_nothing_of_limits(tmp_path: Path) -> None:
    with Canned(answer) as server, running(config(server), tmp_path) as gateway:
        first, second = (gateway.chat("again", model="a/m", temperature=0) for _ in range(2))
        assert second.headers["x-farthing-cache"] == "exact"
        assert "x-ratelimit-limit-requests" in first.headers
        assert not {*PASSED, "x-upstream-request-id"} & set(second.headers)


def test_a_keys_own_limit_wins_over_the_providers_and_stands_there_once(tmp_path: Path) -> None:
    text = f'[[keys]]\ntenant = "t"\ndigest = "{key_digest("sk-k")}"\nrequests_per_minute = 7\n'
    with Canned(answer) as server, running(text + config(server, "pass_through = true"), tmp_path) as gateway:
        key = {"authorization": "Bearer sk-k"}
        for more in ({}, {"stream": True}, {"bad": True}):
            reply = gateway.chat(f"q {more}", headers=key, model="a/m", **more)
            assert reply.headers["x-ratelimit-limit-requests"] == "7"
            assert reply.headers["x-ratelimit-remaining-tokens"] == "149984"
            body = json.dumps({"model": "a/m", "messages": [{"role": "user", "content": "q"}], **more})
            wire = gateway.wire("/v1/chat/completions", body.encode(), "authorization: Bearer sk-k")
            assert names_twice(gateway, wire) == []


def test_odd_values_and_floods_are_kept_back(tmp_path: Path) -> None:
    odd = [
        "x-ratelimit-good: 1",
        f"x-ratelimit-long: {'9' * 5_000}",
        "x-ratelimit-latin: caf\xe9",
        "x-request-id: " + "r" * 3_000,
    ]
    flood = [f"x-ratelimit-{index}: {index}" for index in range(400)]

    def reply(asked: Asked) -> bytes:
        return http(200, WHOLE, *(flood if b"flood" in asked.body else odd))

    with Canned(reply) as server, running(config(server), tmp_path) as gateway:
        headers = gateway.chat("odd", model="a/m").headers
        assert headers["x-ratelimit-good"] == "1" and headers["x-ratelimit-latin"] == "caf\xe9"
        assert not {"x-ratelimit-long", "x-upstream-request-id"} & set(headers)
        many = gateway.chat("flood", model="a/m")
        assert many.status == 200
        assert len([name for name in many.headers if name.startswith("x-ratelimit")]) <= 40
        assert gateway.receipt_of(many).attempts[0].upstream_id == ""


def test_an_id_that_is_only_ours_sent_back_is_no_id_of_theirs(tmp_path: Path) -> None:
    def echo(asked: Asked) -> bytes:
        return http(200, WHOLE, f"x-request-id: {asked.headers['x-request-id']}", "cf-ray: 9f-FRA")

    with Canned(echo) as server, running(config(server), tmp_path) as gateway:
        reply = gateway.chat("q", model="a/m")
        assert reply.headers["x-upstream-request-id"] == "9f-FRA"


def test_each_attempt_keeps_its_id_and_explain_shows_it(
    upstream: FaultProvider, second: FaultProvider, tmp_path: Path
) -> None:
    text = f"""
[providers.a]
base_url = "{upstream.base_url}"
[providers.b]
base_url = "{second.base_url}"
[tiers.cheap]
targets = ["a/status=500", "b/good"]
[tiers.expensive]
targets = ["a/status=500", "b/good"]
"""
    with running(text, tmp_path) as gateway:
        reply = gateway.chat("q", model="cheap")
        row = gateway.receipt_of(reply)
        ids = [attempt.upstream_id for attempt in row.attempts]
        assert (
            all(found.startswith("req_") for found in ids)
            and reply.headers["x-upstream-request-id"] == (ids[-1])
        )
        for attempt in row.attempts:
            assert f"the provider's id {attempt.upstream_id}" in request._attempt(attempt)


def test_beta_headers_go_up_and_nothing_that_tells_who_the_client_is(tmp_path: Path) -> None:
    sent = {
        "OpenAI-Beta": "assistants=v2",
        "anthropic-beta": "context-1m-2025-08-07",
        "Anthropic-Version": "2023-06-01",
        "OpenAI-Organization": "org-of-the-client",
        "Authorization": "Bearer sk-of-the-client",
        "Cookie": "session=1",
        "X-Forwarded-For": "192.0.2.1",
        "X-Stainless-OS": "Linux",
        "Idempotency-Key": "1",
        "X-Title": "app",
        "X-Trace": "abc",
        "User-Agent": "OpenAI/Python",
    }
    more = ('pass_headers = ["X-Trace"]', 'headers = {"anthropic-version" = "2099-01-01"}')
    with Canned(answer) as server, running(config(server, *more), tmp_path) as gateway:
        gateway.chat("q1", headers=sent, model="a/m")
        gateway.chat("q2", headers=sent, model="a/m", stream=True)
        gateway.post("/v1/embeddings", {"model": "a/m", "input": "x"}, headers=sent)
        assert len(server.asked) == 3
        for asked in server.asked:
            assert asked.headers["openai-beta"] == "assistants=v2"
            assert asked.headers["anthropic-beta"] == "context-1m-2025-08-07"
            assert asked.headers["x-trace"] == "abc"
            versions = [value for name, value in asked.fields if name == "anthropic-version"]
            assert versions == ["2099-01-01"], "what the configuration says itself is not replaced"
            names = {name for name, _ in asked.fields}
            assert not names & {
                "openai-organization",
                "cookie",
                "x-forwarded-for",
                "x-stainless-os",
                "idempotency-key",
                "x-title",
            }
            assert "authorization" not in names
            assert asked.headers["user-agent"].startswith("farthing/")


def test_what_one_provider_is_to_get_another_is_not(tmp_path: Path) -> None:
    with Canned(answer) as one, Canned(answer) as two:
        text = f"""
[providers.a]
base_url = "{one.base_url}"
pass_headers = ["x-trace"]
[providers.b]
base_url = "{two.base_url}"
"""
        with running(text, tmp_path) as gateway:
            for model in ("a/m", "b/m"):
                gateway.chat("q", headers={"x-trace": "abc"}, model=model)
        assert one.asked[0].headers["x-trace"] == "abc" and "x-trace" not in two.asked[0].headers


def test_a_header_that_can_change_the_answer_is_part_of_the_cache_key(tmp_path: Path) -> None:
    more = ('pass_headers = ["x-persona", "traceparent"]',)
    with Canned(answer) as server, running(config(server, *more), tmp_path) as gateway:

        def cached(**headers: str) -> str:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return gateway.chat("q", headers=named, model="a/m", temperature=0).headers["x-farthing-cache"]

        assert [cached(), cached()] == ["miss", "exact"]
        assert [cached(openai_beta="x"), cached(openai_beta="x"), cached(openai_beta="y")] == [
            "miss",
            "exact",
            "miss",
        ]
        assert [cached(x_persona="a"), cached(x_persona="b")] == ["miss", "miss"]
        assert cached(traceparent="00-1-2-01") == "exact", "a trace's name changes no answer"


def test_a_header_that_is_too_long_to_pass_is_refused_by_name(tmp_path: Path) -> None:
    with Canned(answer) as server, running(config(server), tmp_path) as gateway:
        reply = gateway.chat("q", headers={"openai-beta": "x" * 3_000}, model="a/m")
        assert reply.status == 400 and "openai-beta" in reply.error["message"]
        assert server.asked == []


def test_no_value_of_a_provider_can_begin_another_header(tmp_path: Path) -> None:
    """A folded or torn line is refused by the parser, before anything is passed on."""
    torn = http(200, WHOLE, "x-ratelimit-a: 1\r\n set-cookie: forged=1")

    with Canned(lambda asked: torn) as server, running(config(server), tmp_path) as gateway:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
            body = json.dumps({"model": "a/m", "messages": [{"role": "user", "content": "q"}]}).encode()
            client.sendall(gateway.wire("/v1/chat/completions", body))
            head = client.recv(65_536).partition(b"\r\n\r\n")[0]
        assert b"\r\n set-cookie" not in head and b"\r\nset-cookie" not in head
