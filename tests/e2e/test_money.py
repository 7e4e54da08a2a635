"""What an answer costs, from the provider's usage to the header, the receipt, the report and the metrics."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.gateway import Reply, Running, running, start

from farthing.insight.explain import request
from farthing.insight.report import report

PRICES = """
input = 1
output = 10
cached_input = 0.1
cache_write_30m = 1.25
priority = { input = 2, output = 20 }
"""


class Scripted(BaseHTTPRequestHandler):
    """Answers with the usage, the tier and the text that the question holds as JSON."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "input" in body:
            self._send(json.dumps({"object": "list", "data": [{"embedding": [0.5]}], "usage": USAGE_NOUGHT}))
            return
        wanted = json.loads(body["messages"][-1]["content"])
        head = {"id": "c", "created": 1, "model": "m", **wanted.get("head", {})}
        message = wanted.get("message", {"role": "assistant", "content": wanted.get("say", "It is cold.")})
        usage = wanted.get("raw") or json.dumps(wanted.get("usage"))
        if body.get("stream"):
            first = {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}
            last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            told = json.dumps({**head, "choices": []})[:-1] + f', "usage": {usage}}}'
            events = [json.dumps(first), json.dumps(last), told, "[DONE]"]
            self._send("".join(f"data: {event}\n\n" for event in events), "text/event-stream")
            return
        whole = {**head, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        self._send(json.dumps(whole)[:-1] + f', "usage": {usage}}}')

    def _send(self, text: str, kind: str = "application/json") -> None:
        raw = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return None


USAGE_NOUGHT = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def configured(upstream: str, more: str = "") -> str:
    providers = "".join(
        f'[providers.{name}]\nbase_url = "{upstream}"\nauth = "none"\n'
        for name in ("openai", "openrouter", "xai")
    )
    prices = "".join(f'[[prices]]\ntarget = "{name}/m"\n{PRICES}' for name in ("openai", "openrouter", "xai"))
    return (
        f'{providers}[tiers.cheap]\ntargets = ["openai/m"]\n[tiers.expensive]\ntargets = ["xai/m"]\n'
        f'[cache]\nexact = "off"\n{prices}{more}'
    )


@pytest.fixture(scope="module")
def gateway(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(configured(upstream), tmp_path_factory.mktemp("money")) as found:
        yield found


def ask(gateway: Running, provider: str = "openai", stream: bool = False, **wanted: Any) -> Reply:
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    reply = gateway.chat(json.dumps(wanted), model=f"{provider}/m", **more)
    assert reply.status == 200, reply.body
    return reply


def told(reply: Reply) -> tuple[str | None, str | None]:
    """Cost, and whether it is said to be an estimate: of the header, or of the usage chunk of a stream."""
    if "x-farthing-cost-usd" in reply.headers:
        return reply.headers["x-farthing-cost-usd"], reply.headers.get("x-farthing-usage")
    (money,) = [
        event["farthing"] for event in reply.events if isinstance(event, dict) and "farthing" in event
    ]
    return money["cost_usd"], money.get("usage")


def counted(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("provider", "wanted", "usd"),
    [
        ("openai", {"usage": counted(1000, 100)}, "0.002000000"),
        (
            "openai",
            {
                "usage": counted(
                    1000, 100, prompt_tokens_details={"cached_tokens": 100, "cache_write_tokens": 800}
                )
            },
            "0.002110000",
        ),
        ("openai", {"usage": counted(1000, 100), "head": {"service_tier": "priority"}}, "0.004000000"),
        ("openai", {"usage": counted(1000, 100), "head": {"service_tier": "default"}}, "0.002000000"),
        ("openai", {"usage": counted(1000, 100), "head": {"service_tier": "flex"}}, "unknown"),
        ("openrouter", {"usage": counted(1000, 100, cost=0.0123, is_byok=False)}, "0.012300000"),
        (
            "xai",
            {
                "usage": {
                    **counted(1000, 100),
                    "total_tokens": 1300,
                    "completion_tokens_details": {"reasoning_tokens": 200},
                }
            },
            "0.004000000",
        ),
        ("openai", {"raw": '{"prompt_tokens": "1000", "completion_tokens": 100.0, "x": []}'}, "0.002000000"),
    ],
)
def test_the_cost_of_an_answer_is_exact_whole_and_streamed(
    gateway: Running, stream: bool, provider: str, wanted: dict[str, Any], usd: str
) -> None:
    reply = ask(gateway, provider, stream, **wanted)
    assert told(reply) == (usd if usd != "unknown" or not stream else None, None)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("raw", "fact_tokens"),
    [
        ("[]", None),
        ('""', None),
        ('{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}', None),
        ('{"prompt_tokens": null, "completion_tokens": null}', None),
        ('{"prompt_tokens": 40, "completion_tokens": null}', 40),
    ],
)
def test_what_a_provider_does_not_count_is_estimated_and_said_to_be(
    gateway: Running, raw: str, fact_tokens: int | None, stream: bool
) -> None:
    reply = ask(gateway, stream=stream, raw=raw, say="It is rather cold in Oslo at this time of the year.")
    cost, mark = told(reply)
    assert mark == "estimated"
    assert cost is not None and float(cost) > 0
    receipt = gateway.receipt_of(reply)
    assert receipt.usage is not None and receipt.usage.estimated
    assert 5 <= receipt.usage.output_tokens <= 25
    assert receipt.usage.input_tokens > 0
    assert fact_tokens is None or receipt.usage.input_tokens == fact_tokens


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("usage", "cost", "mark", "counts"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "0.000000000", None, (0, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, "0.000000000", None, (0, 0)),
        ({"input_tokens": "0", "output_tokens": 0}, "0.000000000", None, (0, 0)),
        ({"prompt_tokens": 1000, "completion_tokens": 0}, "0.001000000", None, (1000, 0)),
        ({"prompt_tokens": None, "completion_tokens": 0}, None, "estimated", None),
        ({"prompt_tokens": 0}, None, "estimated", None),
        ({}, None, "estimated", None),
    ],
)
def test_noughts_beside_an_empty_answer_are_a_statement_and_what_is_missing_is_not(
    gateway: Running,
    usage: dict[str, Any],
    cost: str | None,
    mark: str | None,
    counts: tuple[int, int] | None,
    stream: bool,
) -> None:
    reply = ask(gateway, stream=stream, raw=json.dumps(usage), say="")
    assert told(reply)[1] == mark
    found = gateway.receipt_of(reply).usage
    assert found is not None and found.estimated == (mark is not None)
    if counts is None:
        assert float(told(reply)[0] or 0) > 0
    else:
        assert told(reply)[0] == cost and (found.input_tokens, found.output_tokens) == counts


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "message",
    [
        {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUFB"}}]},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]},
    ],
    ids=lambda message: next(iter(message)),
)
def test_noughts_beside_what_is_no_text_are_no_statement(
    gateway: Running, message: dict[str, Any], stream: bool
) -> None:
    message = {"role": "assistant", "content": "", **message}
    reply = ask(gateway, stream=stream, raw=json.dumps(USAGE_NOUGHT), message=message)
    assert told(reply)[1] == "estimated" and float(told(reply)[0] or 0) > 0


def test_an_answer_without_usage_is_estimated_and_said_to_be(gateway: Running) -> None:
    cost, mark = told(ask(gateway, raw="null"))
    assert mark == "estimated" and cost is not None and float(cost) > 0


def test_a_tool_call_without_a_count_is_estimated_by_what_was_written(gateway: Running) -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": json.dumps({"a": "x" * 400})},
    }
    reply = ask(gateway, message={"role": "assistant", "content": None, "tool_calls": [call]}, raw="[]")
    usage = gateway.receipt_of(reply).usage
    assert usage is not None and usage.output_tokens > 50


def test_vectors_that_count_nothing_are_estimated(upstream: str, tmp_path: Path) -> None:
    with running(configured(upstream), tmp_path) as gateway:  # which no other answer has told of its tokens
        reply = gateway.post("/v1/embeddings", {"model": "openai/m", "input": "some words to be embedded"})
        cost, mark = told(reply)
        assert mark == "estimated" and cost is not None and 0.000004 <= float(cost) <= 0.000009


def test_a_provider_that_charges_otherwise_is_booked_warned_of_counted_and_reported(
    upstream: str, tmp_path: Path
) -> None:
    with running(configured(upstream), tmp_path) as gateway:
        same = ask(gateway, "openrouter", usage=counted(1000, 100, cost=0.00201, is_byok=False))
        other = [
            ask(gateway, "openrouter", usage=counted(1000, 100, cost=0.0025, is_byok=False)) for _ in range(3)
        ]
        assert told(same)[0] == "0.002010000" and told(other[0])[0] == "0.002500000"
        (attempt,) = gateway.receipt_of(other[0]).attempts
        assert (attempt.cost_nusd, attempt.reckoned_nusd) == (2_500_000, 2_000_000)
        assert gateway.metric("farthing_cost_differs_total") == 3
        assert gateway.logged().count("says it charged $0.002500000 where our prices make $0.002000000") == 1
        story = "\n".join(request.story(gateway.receipt_of(other[0])))
        assert "$0.0025 as the provider says, $0.002 by our prices; they differ by more than 1 %" in story
        assert "they differ" not in "\n".join(request.story(gateway.receipt_of(same)))
        (one,) = report.build(gateway.rows(), since=None, until=1e12).differing
        assert (one.target, one.calls) == ("openrouter/m", 3)
        assert (one.told_nusd, one.reckoned_nusd) == (7_500_000, 6_000_000)


def test_what_has_no_price_is_named_in_the_receipt(gateway: Running) -> None:
    reply = ask(
        gateway, usage=counted(10, 5, prompt_tokens_details={"cache_write_tokens_details": {"ttl_12h": 5}})
    )
    assert told(reply)[0] == "unknown"
    assert [attempt.unpriced for attempt in gateway.receipt_of(reply).attempts] == ["cache_write_12h"]
    searched = gateway.chat(json.dumps({"usage": counted(10, 5)}), model="openai/m", web_search_options={})
    assert told(searched)[0] == "unknown"
    assert gateway.receipt_of(searched).attempts[0].unpriced == "web_search"


@pytest.mark.parametrize(
    "fields",
    [{}, {"tools": [{"type": "function", "function": {"name": "f"}}]}, {"response_format": {"type": "text"}}],
    ids=lambda fields: "+".join(fields) or "nothing",
)
def test_an_image_of_600_kb_is_no_long_prompt_whatever_is_beside_it(
    upstream: str, tmp_path: Path, fields: dict[str, Any]
) -> None:
    terms = '[endpoints.pictures]\ntier = "cheap"\ninput_tokens_max = 4000\nusd_max = 0.5\n'
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUFB" * 150_000}}
    text = {"type": "text", "text": json.dumps({"raw": "[]"})}
    with running(configured(upstream, terms), tmp_path) as gateway:
        body = {
            "model": "farthing/pictures",
            "messages": [{"role": "user", "content": [image, text]}],
            **fields,
        }
        body["messages"].append({"role": "user", "content": text["text"]})
        reply = gateway.post("/v1/chat/completions", body)
        assert reply.status == 200, reply.body
        usage = gateway.receipt_of(reply).usage
        assert usage is not None and 1_000 < usage.input_tokens < 1_500


def test_a_limit_on_money_that_leads_to_what_has_no_price_is_refused_at_the_start(
    upstream: str, tmp_path: Path
) -> None:
    text = configured(upstream).replace('["openai/m"]', '["openai/unheard-of"]')
    limited = text + "[endpoints.agents]\nusd_max = 0.5\n"
    with pytest.raises(RuntimeError, match=r"endpoints\.agents: usd_max = 0\.5, and openai/unheard-of"):
        start(limited, tmp_path)
    pinned = limited + 'tier = "expensive"\n'
    with running(pinned, tmp_path / "pinned") as gateway:
        assert gateway.request("GET", "/readyz").status == 200
