"""Codex reads a file and edits it: directly, and through the gateway onto a provider of each dialect. It
meets failures and is interrupted. The provider is scripted, and says what a model would."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from tests.clients.codex import Json, codex, said
from tests.clients.responses_lab import KEY, PRICED, PRICES_USD, THROUGH, Place, Way, place
from tests.e2e.gateway import until
from tests.faults.responses import HIDDEN
from tests.faults.truth import Call

from farthing.types import Receipt

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

BEFORE, AFTER = "hello world\n", "hello moon\n"
FILE: Final = "greeting.txt"
EDIT: Final = "Replace world by moon in greeting.txt"
ENV: Final = {"CLIENT_KEY": KEY}
COMMANDS: Final = (f"cat {FILE}", f"sed -i s/world/moon/ {FILE}")
TIERS: Final = """
[tiers.cheap]
targets = ["{way}/cheaper"]
[tiers.expensive]
targets = ["{way}/good"]
"""


def results(call: Call) -> int:
    """How many results of tools it has got."""
    body = call.json
    if "input" in body:
        return sum(item.get("type") == "function_call_output" for item in body["input"])
    found = 0
    for message in body["messages"]:
        if message["role"] == "tool":
            found += 1
        elif isinstance(message["content"], list):
            found += sum(block.get("type") == "tool_result" for block in message["content"])
    return found


def edits(call: Call) -> str:
    """A model that reads the file, edits it, and is done."""
    step = results(call)
    if step == len(COMMANDS):
        return "calls=0,say=All done"
    arguments = quote(json.dumps({"cmd": COMMANDS[step]}))
    return f"tool=exec_command,arguments={arguments},reasoning=let me see"


@pytest.fixture(scope="module", params=THROUGH)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, way: Way) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("codex"), TIERS.format(way=way)) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(there: Place) -> Iterator[None]:
    yield
    there.provider.on_call = None


def edited(there: Place, way: Way, model: str, folder: Path, *more: str) -> list[Json]:
    """What it says of one round, in which it has edited the file."""
    path = folder / "work" / FILE
    path.parent.mkdir()
    path.write_text(BEFORE)
    there.provider.on_call = edits
    with codex(EDIT, there.base_url(way), model, folder, *more, env=ENV) as running:
        events = running.result()
    assert said(events) == "All done", events
    assert path.read_text() == AFTER
    return events


def receipts_after(there: Place, before: int, count: int) -> list[Receipt]:
    def found() -> list[Receipt]:
        return list(there.gateway.receipts())[before:]

    until(lambda: len(found()) >= count)
    return found()


def priced(calls: tuple[Call, ...]) -> int:
    """What those calls cost by the provider's own account of their tokens, in nano-dollars."""
    dollars = 0.0
    for call in calls:
        written = call.written_5m_tokens + call.written_1h_tokens
        fresh = call.prompt_tokens - call.cached_tokens - written
        dollars += fresh * PRICES_USD["input"] + call.cached_tokens * PRICES_USD["cached_input"]
        dollars += written * PRICES_USD["cache_write_5m"] + call.completion_tokens * PRICES_USD["output"]
    return round(dollars * 1_000)


def test_it_edits_a_file_directly(there: Place, tmp_path: Path) -> None:
    """What the other tests are compared with."""
    before = len(there.provider.calls)
    edited(there, "direct", PRICED, tmp_path)
    assert len(there.provider.calls) == before + 3


@pytest.mark.parametrize("model", ["auto", "expensive", "named"])
def test_it_edits_a_file_through_the_gateway(there: Place, way: Way, model: str, tmp_path: Path) -> None:
    calls_before, receipts_before = len(there.provider.calls), len(there.gateway.receipts())
    events = edited(there, way, there.model(way) if model == "named" else model, tmp_path)
    calls = there.provider.calls[calls_before:]
    assert len(calls) == 3 and all(call.status == 200 for call in calls)
    receipts = receipts_after(there, receipts_before, 3)
    assert len(receipts) == 3
    for receipt in receipts:
        assert (receipt.status, receipt.error, receipt.stream, receipt.dialect) == (
            200,
            None,
            True,
            "responses",
        )
        assert receipt.session and receipt.session == receipts[0].session
    if model != "auto":
        assert sum(receipt.cost_nusd or 0 for receipt in receipts) == priced(calls)
    told = events[-1]["usage"]
    assert told["input_tokens"] == sum(call.prompt_tokens for call in calls)
    assert told["output_tokens"] == sum(call.completion_tokens for call in calls)


def test_what_a_model_thought_goes_back_to_it(there: Place, way: Way, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    edited(there, way, "expensive", tmp_path, "-c", 'model_reasoning_effort="high"')
    last = there.provider.calls[before:][-1].body.decode()
    assert last.count(HIDDEN if way == "own" else "let me see") == 2


def test_one_failure_is_nothing_to_it(there: Place, way: Way, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    model = there.model(way, f"fault:status=503,first=1,say=fine,seed={THROUGH.index(way)}")
    with codex("hello", there.base_url(way), model, tmp_path, env=ENV) as running:
        events = running.result()
    assert said(events) == "fine", events
    assert [call.status for call in there.provider.calls[before:]] == [503, 200]


def test_a_stream_that_breaks_is_asked_for_again(there: Place, way: Way, tmp_path: Path) -> None:
    model = there.model(way, f"fault:truncate=4,n=20,end=cut,first=1,seed={THROUGH.index(way)}")
    with codex("hello", there.base_url(way), model, tmp_path, env=ENV) as running:
        events = running.result()
    assert said(events), events
    assert events[-1]["type"] == "turn.completed", events


def test_what_no_retry_mends_is_told_at_once(there: Place, way: Way, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    for name, model, env in (("key", "auto", {"CLIENT_KEY": "fk-made-up"}), ("model", "nobody/has-it", ENV)):
        with codex("hello", there.base_url(way), model, tmp_path / name, env=env) as running:
            events = running.result()
        assert events[-1]["type"] == "turn.failed", events
    assert len(there.provider.calls) == before


def test_interrupting_it_ends_the_providers_work(there: Place, way: Way, tmp_path: Path) -> None:
    before, receipts = len(there.provider.calls), len(there.gateway.receipts())
    model = there.model(way, "fault:gap=0.05,n=2000")
    with codex("hello", there.base_url(way), model, tmp_path, env=ENV) as running:
        (call,) = until(lambda: there.provider.calls[before:], timeout_s=60)
        until(lambda: call.tokens_sent > 2, timeout_s=60)
        running.interrupt()
        until(lambda: call.aborted)
    receipt = there.gateway.next_receipt(receipts)
    assert (receipt.stop_reason, receipt.status, receipt.error) == ("client_gone", 499, "client_gone")


def test_it_tries_a_websocket_and_goes_on_without(there: Place, way: Way, tmp_path: Path) -> None:
    """As it does where its configuration does not say that there are none."""
    there.provider.on_call = lambda call: "say=fine"
    more = "supports_websockets = true"
    with codex("hello", there.base_url(way), "auto", tmp_path, env=ENV, provider=more) as running:
        events = running.result()
    assert said(events) == "fine", events


def answers(say: str) -> Callable[[Call], str]:
    return lambda call: f"calls=0,say={say}"


def test_it_answers_by_a_schema(there: Place, way: Way, tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    before = len(there.provider.calls)
    for asked in ("direct", way):
        folder, model = tmp_path / asked, there.model(asked, "claude-sonnet-5")
        more = ("--output-schema", str(file))
        with codex("a town", there.base_url(asked), model, folder, *more, env=ENV) as running:
            events = running.result()
        assert json.loads(said(events)) == {"name": "text"}, events
    assert "additionalProperties" in there.provider.calls[before:][-1].body.decode()
