"""A stream that is whole reaches the client, however odd it looks: no worse than from the provider itself."""

import asyncio
import dataclasses
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import openai
import pytest
from tests.conftest import StartGateway
from tests.e2e import wild, wild_chunks, wild_events
from tests.e2e.gateway import Running
from tests.e2e.wild import HELLO, Row, Seen, bare, in_turns, model_of
from tests.e2e.wild_events import AWKWARD, AWKWARD_TEXT, SILENT_ENDS
from tests.faults.provider import FaultProvider

GROUPS: dict[str, dict[str, Row]] = {**wild_events.GROUPS, **wild_chunks.GROUPS}
ROWS: dict[str, Row] = {
    f"{group}: {name}": row for group, rows in GROUPS.items() for name, row in rows.items()
}
SILENT: dict[str, Row] = {f"silence: {name}": row for name, row in SILENT_ENDS.items()}
TIMES = 6  # one more than the failures in a row that stop a target


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    tiers = "".join(
        f'[tiers.{model_of(name)}]\ntargets = ["up/{model_of(name)}", "b/second"]\n' for name in ROWS
    )
    return start_gateway(f"""
[providers.up]
base_url = "{upstream.base_url}"
[providers.quick]
base_url = "{upstream.base_url}"
idle_s = 0.4
[providers.b]
base_url = "{second.base_url}"
[tiers.cheap]
targets = ["up/good-cheap"]
{tiers}
{wild.prices(ROWS)}
{wild.prices(SILENT, "quick")}
[cache]
exact = "off"
""")


@pytest.fixture(scope="module")
def seen(gateway: Running, upstream: FaultProvider) -> dict[str, Seen]:
    found = wild.travel(ROWS, upstream, gateway, stream=True)
    return found | wild.travel(SILENT, upstream, gateway, stream=True, provider="quick", impatient=True)


ALL = {**ROWS, **SILENT}


@pytest.mark.parametrize("name", ALL)
def test_the_client_reads_all_of_it(seen: dict[str, Seen], name: str) -> None:
    through, row = seen[name].through, ALL[name]
    assert through.error is None, through.error
    assert through.said == row.right
    assert not through.empty, "a chunk that is nothing breaks `chunk.choices`"


@pytest.mark.parametrize("name", ALL)
def test_no_worse_than_from_the_provider_itself(seen: dict[str, Seen], name: str) -> None:
    direct, through, row = seen[name].direct, seen[name].through, ALL[name]
    if row.direct:
        worse = direct.error is not None or direct.said != row.right or direct.chunks != through.chunks
        assert worse, "the client reads this directly as well"
    else:
        assert direct.error is None, direct.error
        assert through.chunks == direct.chunks


@pytest.mark.parametrize("name", ALL)
def test_the_usage_chunk_goes_to_who_asked_for_it(seen: dict[str, Seen], name: str) -> None:
    through = seen[name].through
    if not ALL[name].asks.get("stream_options"):
        assert not through.usage_chunks
        return
    (last,) = through.usage_chunks
    assert set(last["farthing"]) - {"usage"} == {"cost_usd", "saved_usd"}
    for theirs in seen[name].direct.usage_chunks:
        assert repr(last["usage"]) == repr(theirs["usage"])


@pytest.mark.parametrize("name", ALL)
def test_the_receipt_tells_what_it_was_and_what_it_cost(seen: dict[str, Seen], name: str) -> None:
    receipt, row = seen[name].receipt, ALL[name]
    assert receipt is not None
    assert (receipt.status, receipt.error, receipt.calls) == (200, None, 1)
    assert receipt.attempts[0].error is None
    if isinstance(row.finish, str) and "finishes" not in row.said:
        assert receipt.stop_reason == row.finish
    assert receipt.usage is not None and receipt.cost_nusd is not None
    counted = (receipt.usage.input_tokens, receipt.usage.output_tokens)
    if row.usage is not None:
        assert (counted, receipt.usage.estimated) == (row.usage, False)
    else:
        assert receipt.usage.estimated and counted[0] > 0
        assert counted[1] > 0 or not row.text
    assert receipt.cost_nusd == counted[0] * 1_000 + counted[1] * 2_000


# -- health -------------------------------------------------------------------------------------------


def test_none_of_it_counts_against_the_target(
    gateway: Running, upstream: FaultProvider, second: FaultProvider
) -> None:
    """Each so often that a target whose calls fail would rest and the second be asked."""
    before = Counter(call.model for call in upstream.calls)
    asked_second = len(second.calls)

    async def often(model: str, row: Row) -> None:
        body = json.dumps({"model": model, "messages": HELLO, "stream": True, **row.asks}).encode()
        for _ in range(TIMES):
            await bare(gateway.port, body)

    async def all_of() -> None:
        await in_turns([_job(often, model_of(name), row) for name, row in ROWS.items()])

    asyncio.run(all_of())
    asked = Counter(call.model for call in upstream.calls) - before
    assert {name: asked[model_of(name)] for name in ROWS if asked[model_of(name)] != TIMES} == {}
    assert len(second.calls) == asked_second


def _job(often: Callable[..., Awaitable[None]], model: str, row: Row) -> wild.Job:
    return lambda: often(model, row)


# -- the same in other pieces ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["byte by byte", "in small pieces, one at a time", "all at once"])
def test_it_does_not_matter_how_the_bytes_are_cut(
    seen: dict[str, Seen], gateway: Running, upstream: FaultProvider, way: str
) -> None:
    chance = random.Random(way)
    cut: dict[str, Row] = {}
    for name, row in ROWS.items():
        size = sum(len(data) for _, data in row.reply.pieces)
        if size > 20_000:
            continue
        sizes = {
            "byte by byte": (1 for _ in range(size)),
            "in small pieces, one at a time": (chance.randint(1, 40) for _ in range(size)),
            "all at once": (),
        }[way]
        pause_s = 0.001 if way.startswith("in") else 0.0
        cut[name] = dataclasses.replace(row, reply=row.reply.cut_into(sizes, pause_s))
    models = {}
    for name, row in cut.items():
        upstream.exactly(model_of(name), row.reply)
        models[f"up/{model_of(name)}"] = row.asks
    read = wild.ask_all(gateway, models, stream=True)
    wrong = [
        f"{name}: {found.error!r} {found.said}"
        for name, row in cut.items()
        if (found := read[f"up/{model_of(name)}"]).error is not None or found.said != row.right
    ]
    assert not wrong, "\n".join(wrong)
    for name in cut:
        upstream.exactly(model_of(name), ROWS[name].reply)


def test_a_cut_at_every_byte_changes_nothing(gateway: Running, upstream: FaultProvider) -> None:
    size = sum(len(data) for _, data in AWKWARD.pieces)
    bodies = []
    for at in range(1, size):
        upstream.exactly(f"cut-{at}", AWKWARD.cut_into((at,), 0.003))
        asked = {"model": f"up/cut-{at}", "messages": HELLO, "stream": True}
        bodies.append(json.dumps(asked).encode())

    async def all_of() -> list[tuple[int, bytes]]:
        return await in_turns([_asking(gateway.port, body) for body in bodies], at_once=32)

    read = Counter(
        (status, wild.text_of(body), wild.is_whole(body)) for status, body in asyncio.run(all_of())
    )
    assert read == {(200, AWKWARD_TEXT, True): size - 1}


def _asking(port: int, body: bytes) -> wild.Job:
    return lambda: bare(port, body)


# -- the same again, from the cache --------------------------------------------------------------------


@pytest.fixture(scope="module")
def keeping(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.up]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["up/good-cheap"]
[cache]
exact = "on"
""")


def test_an_answer_that_is_kept_says_the_same_again(keeping: Running, upstream: FaultProvider) -> None:
    """Streamed, streamed again, then whole: by then most of them come from the cache."""
    models = {}
    for name, row in ROWS.items():
        upstream.exactly(model_of(name), row.reply)
        models[f"up/{model_of(name)}"] = {**row.asks, "temperature": 0}
    read = [wild.ask_all(keeping, models, stream=True) for _ in range(2)]
    whole = {model: {**asks, "stream_options": openai.omit} for model, asks in models.items()}
    read.append(wild.ask_all(keeping, whole, stream=False))
    wrong = [
        f"{name}, time {time}: {found.error!r} {found.said}"
        for name, row in ROWS.items()
        for time, answers in enumerate(read)
        if (found := answers[f"up/{model_of(name)}"]).error is not None
        or wild.halves_joined(found.said) != wild.halves_joined(row.right)
    ]
    assert not wrong, "\n".join(wrong)
    kept = [row for row in keeping.receipts() if row.cache == "exact"]
    assert len(kept) > len(ROWS)


def test_every_group_has_rows_of_its_own() -> None:
    names = [model_of(name) for name in ALL]
    assert len(set(names)) == len(names)
    assert all(GROUPS.values())
