"""The receipts of a gateway come to the bill that its provider makes, whole and streamed, at each door."""

import json
import threading
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

import pytest
from tests.bills import providers, servers
from tests.bills.booked import configured
from tests.bills.drawn import Biller, Drawn
from tests.e2e.gateway import Reply, Running, running
from tests.faults import frames

from farthing.types import Receipt

ASKED = 40  # requests of each provider and door
BILLERS: dict[str, Biller] = {
    biller.name: biller
    for biller in (
        providers.OpenAI(),
        providers.Azure(),
        providers.Anthropic(),
        providers.Bedrock(),
        providers.XAI(),
        providers.Gemini(),
        providers.OpenRouter(),
        servers.DeepSeek(),
        servers.Groq(),
        servers.Kimi(),
        servers.Qwen(),
        servers.VLLM(),
    )
}


class Provider(ThreadingHTTPServer):
    """All of them at one address. A question names the answer that was drawn for it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.drawn: dict[str, Drawn] = {}


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        biller = BILLERS[self.path.split("/")[1]]
        drawn = self.server.drawn[_text(body["messages"][-1]["content"])]
        framed = self.path.endswith("-stream")
        stream = bool(body.get("stream")) or framed
        answer = biller.events(drawn) if stream else biller.whole(drawn)
        self.send_response(200)
        kind = frames.MEDIA_TYPE if framed else "text/event-stream" if stream else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        return None


def _text(content: Any) -> str:
    return str(content if isinstance(content, str) else content[-1]["text"])


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    text = configured(list(BILLERS.values()), f"http://127.0.0.1:{provider.server_port}")
    with running(text, tmp_path_factory.mktemp("bills")) as found:
        yield found


def by_chat(gateway: Running, name: str, question: str, drawn: Drawn, stream: bool) -> Reply:
    return gateway.chat(question, model=f"{name}/m", stream=stream, **drawn.asked)


def by_messages(gateway: Running, name: str, question: str, drawn: Drawn, stream: bool) -> Reply:
    body = {"model": f"{name}/m", "max_tokens": 100, "messages": [{"role": "user", "content": question}]}
    return gateway.post("/v1/messages", {**body, "stream": stream}, {"anthropic-version": "2023-06-01"})


DOORS = {"chat": by_chat, "messages": by_messages}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", BILLERS)
def test_receipts_come_to_the_bill(gateway: Running, provider: Provider, name: str, door: str) -> None:
    random, billed = Random(f"{name} by {door}"), dict[str, int]()
    for number in range(ASKED):
        question = f"{name} {door} {number}"
        drawn = BILLERS[name].draw(random)
        while door != "chat" and _decides(drawn.asked, drawn.head):  # that door has no word for it
            drawn = BILLERS[name].draw(random)
        provider.drawn[question] = drawn
        reply = DOORS[door](gateway, name, question, drawn, number % 2 > 0)
        assert reply.status == 200, reply.body
        billed[reply.headers["x-request-id"]] = drawn.nusd
        if "x-farthing-cost-usd" in reply.headers:
            assert reply.headers["x-farthing-cost-usd"] == f"{drawn.nusd / 10**9:.9f}"
    booked = {row.request_id: row for row in gateway.receipts() if row.request_id in billed}
    wrong = [(drawn, booked[asked]) for asked, drawn in billed.items() if booked[asked].cost_nusd != drawn]
    assert not wrong, wrong[0]
    assert sum(map(_cost, booked.values())) == sum(billed.values()) > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_noughts_beside_an_answer_are_estimated_and_said_to_be(
    gateway: Running, provider: Provider, name: str, door: str, stream: bool
) -> None:
    noughts = {f"{kind}_tokens": 0 for kind in ("input", "output", "prompt", "completion", "total")}
    drawn = provider.drawn["noughts"] = Drawn(noughts, Fraction(0))
    reply = DOORS[door](gateway, name, "noughts", drawn, stream)
    receipt = gateway.receipt_of(reply)
    usage = receipt.usage
    assert usage is not None and usage.estimated and usage.input_tokens > 0 and 3 <= usage.output_tokens <= 9
    assert receipt.cost_nusd is not None and receipt.cost_nusd > 0
    assert stream or reply.headers["x-farthing-usage"] == "estimated"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_what_has_no_price_is_unknown_and_named(
    gateway: Running, provider: Provider, name: str, door: str, stream: bool
) -> None:
    usage = {"input_tokens": 9, "output_tokens": 9, "prompt_tokens": 9, "completion_tokens": 9}
    drawn = Drawn({**usage, "speed": "slow"}, Fraction(0), head={"service_tier": "slow"})
    provider.drawn["unknown"] = drawn
    reply = DOORS[door](gateway, name, "unknown", drawn, stream)
    receipt = gateway.receipt_of(reply)
    assert receipt.cost_nusd is None and receipt.attempts[0].unpriced == "tier slow"
    assert stream or reply.headers["x-farthing-cost-usd"] == "unknown"


def _decides(asked: dict[str, Any], head: dict[str, Any]) -> bool:
    """Whether the bill depends on what was asked for."""
    tier = asked.get("service_tier") if "service_tier" not in head else None
    return "web_search_options" in asked or tier not in (None, "auto", "default")


def _cost(receipt: Receipt) -> int:
    assert receipt.cost_nusd is not None and receipt.usage is not None and not receipt.usage.estimated
    return receipt.cost_nusd
