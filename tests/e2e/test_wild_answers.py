"""A whole answer reaches the client however odd it looks, and a refusal arrives as the provider put it."""

import asyncio
import json
from collections import Counter
from typing import Any

import openai
import pytest
from tests.conftest import StartGateway
from tests.e2e import wild
from tests.e2e.gateway import Running
from tests.e2e.wild import Row, Seen, model_of
from tests.e2e.wild_answers import ROWS
from tests.e2e.wild_refusals import OUR_KEY
from tests.e2e.wild_refusals import ROWS as TOLD
from tests.faults.exact import DONE, STOP, say, streamed, whole, whole_of
from tests.faults.provider import FaultProvider

TIMES = 6  # one more than the failures in a row that stop a target


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    tiers = "".join(
        f'[tiers.{model_of(name)}]\ntargets = ["up/{model_of(name)}", "b/second"]\n' for name in ROWS
    )
    return start_gateway(f"""
[providers.up]
base_url = "{upstream.base_url}"
[providers.b]
base_url = "{second.base_url}"
[tiers.cheap]
targets = ["up/good-cheap"]
{tiers}
{wild.prices([*ROWS, *TOLD])}
[cache]
exact = "off"
""")


@pytest.fixture(scope="module")
def seen(gateway: Running, upstream: FaultProvider) -> dict[str, Seen]:
    rows = {**ROWS, **{name: Row(reply=told.reply) for name, told in TOLD.items()}}
    return wild.travel(rows, upstream, gateway, stream=False)


# -- answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_the_client_reads_all_of_it(seen: dict[str, Seen], name: str) -> None:
    through, row = seen[name].through, ROWS[name]
    assert through.error is None, through.error
    assert through.said == row.right


@pytest.mark.parametrize("name", ROWS)
def test_no_worse_than_from_the_provider_itself(seen: dict[str, Seen], name: str) -> None:
    direct, through, row = seen[name].direct, seen[name].through, ROWS[name]
    if row.direct:
        assert direct.error is not None or direct.said != row.right, "the client reads this directly as well"
    else:
        assert direct.error is None, direct.error
        assert through.chunks == direct.chunks


@pytest.mark.parametrize("name", ROWS)
def test_the_receipt_tells_what_it_was_and_what_it_cost(seen: dict[str, Seen], name: str) -> None:
    receipt, row = seen[name].receipt, ROWS[name]
    assert receipt is not None
    assert (receipt.status, receipt.error, receipt.calls) == (200, None, 1)
    assert receipt.attempts[0].error is None
    assert receipt.usage is not None and receipt.cost_nusd is not None
    counted = (receipt.usage.input_tokens, receipt.usage.output_tokens)
    if row.usage is not None:
        assert (counted, receipt.usage.estimated) == (row.usage, False)
    else:
        assert receipt.usage.estimated and counted[0] > 0
        assert counted[1] > 0 or not row.text
    assert receipt.cost_nusd == counted[0] * 1_000 + counted[1] * 2_000


def test_none_of_it_counts_against_the_target(
    gateway: Running, upstream: FaultProvider, second: FaultProvider
) -> None:
    before = Counter(call.model for call in upstream.calls)
    asked_second = len(second.calls)

    async def often(name: str) -> None:
        body = json.dumps({"model": model_of(name), "messages": wild.HELLO}).encode()
        for _ in range(TIMES):
            await wild.bare(gateway.port, body)

    async def all_of() -> None:
        await wild.in_turns([wild.bound(often, name) for name in ROWS])

    asyncio.run(all_of())
    asked = Counter(call.model for call in upstream.calls) - before
    assert {name: asked[model_of(name)] for name in ROWS if asked[model_of(name)] != TIMES} == {}
    assert len(second.calls) == asked_second


# -- refusals -------------------------------------------------------------------------------------------


def answer_of(error: BaseException | None) -> tuple[int, dict[str, Any], Any]:
    """Status, error object and headers of what the client raised."""
    assert isinstance(error, openai.APIStatusError), error
    body = error.response.json()
    assert set(body) == {"error"}
    return error.status_code, body["error"], error.response.headers


@pytest.mark.parametrize("name", TOLD)
def test_a_refusal_arrives_in_the_providers_words(seen: dict[str, Seen], name: str) -> None:
    told = TOLD[name]
    status, error, headers = answer_of(seen[name].through.error)
    assert status == told.status
    assert isinstance(error["message"], str) and error["message"]
    assert told.words in error["message"]
    assert not told.never or told.never not in json.dumps(error)
    for field in ("type", "code", "param"):
        if (right := getattr(told, field)) is not None:
            assert str(error[field]) == right
    if told.retry is not None:
        assert headers["x-should-retry"] == str(told.retry).lower()
    if "retry-after" in headers:
        assert headers.get("x-should-retry") != "false"


@pytest.mark.parametrize("name", TOLD)
def test_the_official_client_raises_the_same_class(seen: dict[str, Seen], name: str) -> None:
    direct, through, told = seen[name].direct, seen[name].through, TOLD[name]
    if told.direct:
        assert type(direct.error) is not type(through.error)
    else:
        assert type(through.error) is type(direct.error)


@pytest.mark.parametrize("name", TOLD)
def test_the_receipt_names_the_reason(seen: dict[str, Seen], name: str) -> None:
    receipt, told = seen[name].receipt, TOLD[name]
    assert receipt is not None
    assert (receipt.status, receipt.error) == (told.status, "no_provider_left")
    assert told.words in receipt.error_message
    assert not told.never or told.never not in receipt.error_message
    assert all(attempt.error is not None for attempt in receipt.attempts)


@pytest.mark.parametrize("name", OUR_KEY)
def test_what_is_said_of_the_gateways_key_is_in_no_log(
    seen: dict[str, Seen], gateway: Running, name: str
) -> None:
    assert not OUR_KEY[name].never or OUR_KEY[name].never not in gateway.logged()


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("stream", [False, True])
def test_a_redirect_to_the_same_server_is_followed(
    gateway: Running, upstream: FaultProvider, status: int, stream: bool
) -> None:
    """As the official client does; one to another host is not, because the key would go there."""
    moved = whole(b"{}", status, headers={"location": "/v2/chat/completions"})
    good = streamed(*say("hello"), STOP, DONE) if stream else whole(whole_of())
    upstream.exactly("moved", moved, good)
    (read,) = wild.ask_all(gateway, {"up/moved": {}}, stream=stream).values()
    assert (read.error, read.text) == (None, "hello")
    assert upstream.calls[-1].path == "/v2/chat/completions"
    assert upstream.calls[-1].json["messages"] == wild.HELLO
