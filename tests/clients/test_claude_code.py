"""Claude Code reads a file and edits it: directly, through the gateway, and through the gateway onto a
provider of chat completions; it starts sub-agents, meets failures and is interrupted. The provider is
scripted, and says what a model would. Receipts tell its sessions and agents apart.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from tests.clients.claude import Json, claude
from tests.clients.messages_lab import KEY, PRICED, PRICES_USD, THROUGH, TOO_LONG, Place, Way, called, place
from tests.e2e.gateway import until
from tests.faults.truth import Call

from farthing.types import Receipt

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

BEFORE, AFTER = "hello world\n", "hello moon\n"
FILE: Final = "greeting.txt"
EDIT: Final = "Replace world by moon in greeting.txt"
ERRANDS: Final = "Send two agents on errands"
TIERS: Final = """
[tiers.cheap]
targets = ["{way}/cheaper"]
[tiers.expensive]
targets = ["{way}/good"]
[tiers.both]
targets = ["own/claude-good", "chat/good"]
[[prices]]
target = "{way}/cheaper"
input = 1.0
output = 5.0
cached_input = 0.1
cache_write_5m = 1.25
[aliases]
claude-auto = "auto"
"""
CHAT_FIELDS: Final = frozenset({
    "model", "messages", "tools", "user", "stream", "stream_options", "max_tokens", "reasoning_effort",
})  # fmt: skip
"""What a chat provider is asked by, which may refuse what it does not know."""
CHAT_MESSAGE_FIELDS: Final = frozenset({"role", "content", "tool_calls", "tool_call_id"})


def results(call: Call) -> int:
    """How many results of tools it has got."""
    found = 0
    for message in call.json["messages"]:
        if message["role"] == "tool":
            found += 1
        elif isinstance(message["content"], list):
            found += sum(block.get("type") == "tool_result" for block in message["content"])
    return found


def edits(path: Path) -> Callable[[Call], str | None]:
    """A model that reads the file, edits it, and is done."""
    steps = [
        called("Read", {"file_path": str(path)}),
        called("Edit", {"file_path": str(path), "old_string": "world", "new_string": "moon"}),
        "calls=0,say=All done",
    ]
    return lambda call: f"{steps[min(results(call), 2)]},reasoning=let me see,bound"


@pytest.fixture(scope="module", params=THROUGH)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, way: Way) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("claude-code"), TIERS.format(way=way)) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(there: Place) -> Iterator[None]:
    yield
    there.provider.on_call = None


def env_of(way: Way) -> dict[str, str]:
    return {"ANTHROPIC_API_KEY": KEY} if way == "direct" else {"ANTHROPIC_AUTH_TOKEN": KEY}


def edited(there: Place, way: Way, model: str, folder: Path) -> Json:
    """What it says of one round, in which it has edited the file."""
    path = folder / "work" / FILE
    path.parent.mkdir()
    path.write_text(BEFORE)
    there.provider.on_call = edits(path)
    with claude(EDIT, there.base_url(way), model, folder, env=env_of(way)) as running:
        said = running.result()
    assert (said["result"], said["is_error"], said["num_turns"]) == ("All done", False, 3), said
    assert path.read_text() == AFTER
    return said


def of_session(there: Place, session: str, count: int) -> list[Receipt]:
    def found() -> list[Receipt]:
        return [one for one in there.gateway.receipts() if one.session == session]

    until(lambda: len(found()) >= count)
    return found()


def priced(calls: Sequence[Call], usd: dict[str, float]) -> int:
    """What those calls cost by the provider's own account of their tokens, in nano-dollars."""
    dollars = 0.0
    for call in calls:
        written = call.written_5m_tokens + call.written_1h_tokens
        fresh = call.prompt_tokens - call.cached_tokens - written
        dollars += fresh * usd["input"] + call.cached_tokens * usd["cached_input"]
        dollars += written * usd["cache_write_5m"] + call.completion_tokens * usd["output"]
    return round(dollars * 1_000)


def test_it_edits_a_file_directly(there: Place, tmp_path: Path) -> None:
    """What the other tests are compared with."""
    before = len(there.provider.calls)
    edited(there, "direct", PRICED, tmp_path)
    assert len(there.provider.calls) == before + 3


@pytest.mark.parametrize("model", ["auto", "expensive", "cheap", "named"])
def test_it_edits_a_file_through_the_gateway(there: Place, way: Way, model: str, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    said = edited(there, way, there.model(way) if model == "named" else model, tmp_path)
    calls = there.provider.calls[before:]
    assert len(calls) == 3 and all(call.status == 200 for call in calls)
    receipts = of_session(there, said["session_id"], 3)
    assert len(receipts) == 3
    for receipt in receipts:
        assert (receipt.status, receipt.error, receipt.stream, receipt.agent) == (200, None, True, "")
        assert receipt.model_asked == (there.model(way) if model == "named" else model)
        assert len(receipt.attempts) == 1
    targets = {"cheap": f"{way}/cheaper", "auto": f"{way}/{calls[0].model}"}
    assert {receipt.target for receipt in receipts} == {targets.get(model, f"{way}/{PRICED}")}
    cheaper = {name: usd / 3 for name, usd in PRICES_USD.items()}
    prices = cheaper if calls[0].model == "cheaper" else PRICES_USD
    assert sum(receipt.cost_nusd or 0 for receipt in receipts) == priced(calls, prices)


def test_a_provider_gets_what_it_knows(there: Place, way: Way, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    edited(there, way, "auto", tmp_path)
    for call in there.provider.calls[before:]:
        body = call.json
        billing = "x-anthropic-billing-header" in call.body.decode()
        roles = [message["role"] for message in body["messages"]]
        if way == "own":
            assert billing and {"context_management", "output_config", "thinking"} <= body.keys()
            assert call.headers["anthropic-beta"] and call.query == "beta=true"
            assert roles[:2] == ["user", "system"]
            continue
        assert not billing and body.keys() <= CHAT_FIELDS
        assert roles[:3] == ["system", "user", "system"]  # the second is in its place
        assert all(one.keys() <= CHAT_MESSAGE_FIELDS for one in body["messages"])
        assert all(tool.keys() == {"type", "function"} for tool in body["tools"])


def test_it_goes_on_with_another_provider_and_comes_back(there: Place, tmp_path: Path) -> None:
    """What one has thought the other would refuse."""
    path = tmp_path / "work" / FILE
    path.parent.mkdir()
    path.write_text(BEFORE)
    model = edits(path)

    def script(call: Call) -> str | None:
        sick = call.path.endswith("/messages") and results(call) == 1
        return "status=529" if sick else model(call)

    there.provider.on_call = script
    with claude(EDIT, there.base_url("own"), "both", tmp_path, env=env_of("own")) as running:
        said = running.result()
    assert (said["result"], path.read_text()) == ("All done", AFTER), said
    receipts = of_session(there, said["session_id"], 3)
    assert [one.target for one in receipts] == ["own/claude-good", "chat/good", "own/claude-good"]
    assert "messages.thinking" in receipts[2].attempts[0].left_out


def errands(*models: str) -> Callable[[Call], str | None]:
    """A model that sends agents on errands; `models`: the classes that they are to be of, if any."""

    def script(call: Call) -> str | None:
        if ERRANDS not in str(call.json["messages"]):
            return "calls=0,say=errand done,delay=0.5"
        if results(call):
            return "calls=0,say=All done"
        given = {"description": "an errand", "prompt": "of an agent", "subagent_type": "general-purpose"}
        return called("Agent", given | {"model": models[0]} if models else given) + ",calls=2"

    return script


def test_its_agents_are_told_apart(there: Place, way: Way, tmp_path: Path) -> None:
    """Two at once, of one session: each asks under a name of its own."""
    before = len(there.provider.calls)
    there.provider.on_call = errands()
    with claude(ERRANDS, there.base_url(way), "expensive", tmp_path, env=env_of(way)) as running:
        said = running.result()
    assert (said["result"], said["subagent_stats"]["completed"]) == ("All done", 2), said
    calls = there.provider.calls[before:]
    receipts = of_session(there, said["session_id"], len(calls))
    assert len(receipts) == len(calls)
    asked = Counter(receipt.agent for receipt in receipts)
    assert asked.pop("") >= 2
    assert len(asked) == 2 and all(count == 1 for count in asked.values())
    assert all((receipt.status, receipt.error) == (200, None) for receipt in receipts)
    assert sum(receipt.cost_nusd or 0 for receipt in receipts) == priced(calls, PRICES_USD)


def test_its_small_agents_ask_for_the_model_that_is_named_for_them(
    there: Place, way: Way, tmp_path: Path
) -> None:
    """And all for no more output than it is told to."""
    before = len(there.provider.calls)
    there.provider.on_call = errands("haiku")
    env = env_of(way) | {"ANTHROPIC_DEFAULT_HAIKU_MODEL": "cheap", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "16000"}
    with claude(ERRANDS, there.base_url(way), "expensive", tmp_path, env=env) as running:
        said = running.result()
    receipts = of_session(there, said["session_id"], 4)
    assert {(one.model_asked, one.target) for one in receipts if one.agent} == {("cheap", f"{way}/cheaper")}
    assert {(one.model_asked, one.target) for one in receipts if not one.agent} == {
        ("expensive", f"{way}/good")
    }
    assert {call.json["max_tokens"] for call in there.provider.calls[before:]} == {16_000}


def test_it_finds_the_models_that_are_named_for_it(there: Place, way: Way, tmp_path: Path) -> None:
    env = env_of(way) | {"CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"}
    found = tmp_path / "home" / ".claude" / "cache" / "gateway-models.json"
    with claude("hello", there.base_url(way), "claude-auto", tmp_path, env=env) as running:
        assert running.result()["is_error"] is False
    names = {one["id"] for one in json.loads(found.read_text())["models"]}
    assert names == {"claude-auto", "own/claude-good", "claude-good"}


def test_one_failure_is_nothing_to_it(there: Place, way: Way, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    model = there.model(way, f"fault:status=529,first=1,seed={THROUGH.index(way)}")
    with claude("hello", there.base_url(way), model, tmp_path, env=env_of(way)) as running:
        said = running.result()
    assert said["is_error"] is False and said["result"].startswith("echo: "), said
    calls = there.provider.calls[before:]
    assert [call.status for call in calls] == [529, 200]
    (receipt,) = of_session(there, said["session_id"], 1)
    assert (receipt.status, receipt.error, len(receipt.attempts)) == (200, None, 2)


def test_its_own_retries_have_a_receipt_each(there: Place, way: Way, tmp_path: Path) -> None:
    """What is passed on to it, it asks for again; that it does so it says nowhere."""
    model = there.model(way, f"fault:status=500,first=5,seed={THROUGH.index(way)}")
    with claude("hello", there.base_url(way), model, tmp_path, env=env_of(way)) as running:
        said = running.result()
    assert said["is_error"] is False and said["result"].startswith("echo: "), said
    receipts = of_session(there, said["session_id"], 2)
    assert [receipt.status for receipt in receipts[:-1]] == [500] * (len(receipts) - 1)
    assert receipts[-1].status == 200
    assert sum(len(receipt.attempts) for receipt in receipts) == 6


@pytest.mark.parametrize("through", [False, True], ids=["directly", "through"])
def test_it_knows_that_a_prompt_is_too_long(there: Place, way: Way, through: bool, tmp_path: Path) -> None:
    asked: Way = way if through else "direct"
    model = there.model(asked, f"fault:status=400,message={quote(TOO_LONG)}")
    with claude("hello", there.base_url(asked), model, tmp_path, env=env_of(asked)) as running:
        said = running.result()
    assert (said["is_error"], said["terminal_reason"]) == (True, "prompt_too_long"), said
    assert "210000" in said["result"]


def test_what_no_retry_mends_is_told_at_once(there: Place, way: Way, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    wrong = {"ANTHROPIC_API_KEY": "fk-made-up"}
    cases = (("key", "auto", wrong, 401), ("model", "nobody/has-it", env_of(way), 404))
    for name, model, env, status in cases:
        began_s = time.monotonic()
        with claude("hello", there.base_url(way), model, tmp_path / name, env=env) as running:
            said = running.result()
        assert (said["is_error"], said["api_error_status"]) == (True, status), said
        assert time.monotonic() - began_s < 60  # it asks ten times, for minutes, where it is not told not to
    assert len(there.provider.calls) == before


def test_interrupting_it_ends_the_providers_work(there: Place, way: Way, tmp_path: Path) -> None:
    before, receipts = len(there.provider.calls), len(there.gateway.receipts())
    model = there.model(way, "fault:gap=0.05,n=2000")
    with claude("hello", there.base_url(way), model, tmp_path, env=env_of(way)) as running:
        (call,) = until(lambda: there.provider.calls[before:], timeout_s=60)
        until(lambda: call.tokens_sent > 2, timeout_s=60)
        running.interrupt()
        until(lambda: call.aborted)
    receipt = there.gateway.next_receipt(receipts)
    assert (receipt.stop_reason, receipt.status, receipt.error) == ("client_gone", 499, "client_gone")
    assert receipt.session and receipt.usage is not None
    assert receipt.usage.estimated and 0 < (receipt.usage.output_tokens or 0) < 500


def test_it_answers_by_a_schema(there: Place, way: Way, tmp_path: Path) -> None:
    given = {"name": "Oslo"}
    schema = '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}'
    there.provider.on_call = lambda call: (
        "calls=0,say=done" if results(call) else called("StructuredOutput", given)
    )
    found = []
    for asked in ("direct", way):
        folder = tmp_path / asked
        more = ("--json-schema", schema)
        model = there.model(asked)
        with claude("a town", there.base_url(asked), model, folder, *more, env=env_of(asked)) as running:
            found.append(running.result().get("structured_output"))
    assert found == [given, given]
