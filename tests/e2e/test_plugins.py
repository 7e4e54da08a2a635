"""Plug-ins that do what they should not, behind a real gateway: the answer comes, the receipt says what
failed, and the next request is as if nothing had been."""

from pathlib import Path

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.faults.provider import FaultProvider
from tests.plugged import distribution

HOSTILE = '''
import asyncio, contextvars, time
from farthing.errors import InvalidRequest
from farthing.types import CheckResult, Passage, Passages, Route

seen = contextvars.ContextVar("seen", default="")
tasks = []

async def leaks(context):
    async def on():
        while True:
            await asyncio.sleep(0.01)
    tasks.append(asyncio.create_task(on()))

async def does(what, context):
    """Whatever `what` says; True when it has behaved itself."""
    if what == "slow":
        await asyncio.sleep(60)
    elif what == "raising":
        raise ValueError("no luck")
    elif what == "refusing":
        raise InvalidRequest("the client is to blame")
    elif what == "leaving":
        raise SystemExit(1)
    elif what == "blocking":
        time.sleep(0.6)
        await asyncio.sleep(0)
    elif what == "leaking":
        await leaks(context)
        raise ValueError("leaked")
    elif what == "context":
        if seen.get():
            context.log.error("a context was shared: %s", seen.get())
        seen.set("mine")
        raise ValueError("set")
    elif what == "cancelled":
        asyncio.current_task().cancel()
        await asyncio.sleep(1)
    elif what == "stubborn":
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    else:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)

def wrong(what):
    return what == "wrong"

def of(text):
    return next((word[3:] for word in text.split() if word.startswith("do:")), "nothing")

class Router:
    def __init__(self, options, context):
        self.context = context
    async def route(self, request, traits):
        what = of(request.text)
        await does(what, self.context)
        if what == "none":
            return None
        if what == "elsewhere":
            return Route(tier="secret", targets=self.context.tiers["expensive"], reason="?")
        if what == "other":
            return Route(tier="cheap", targets=self.context.tiers["expensive"], reason="because\\nI say so")
        scores = {"true": True, "nan": float("nan"), "half": "\\ud83d"}
        if what in scores:
            return Route(tier="cheap", targets=self.context.tiers["cheap"], reason="?", score=scores[what])
        return 7 if wrong(what) else Route(
            tier="cheap", targets=self.context.tiers["cheap"], reason="because\\nI say so")

class Check:
    name = "mine"
    def __init__(self, options, context):
        self.context = context
    async def doubt(self, draft, ask):
        what = of(draft.request.text)
        await does(what, self.context)
        return 7 if wrong(what) else CheckResult(reason="I doubt it" if what == "doubt" else None)

class Store:
    def __init__(self, options, context):
        self.context, self.kept, self.file = context, {}, options["file"]
    @property
    def what(self):
        with open(self.file) as file:
            return file.read()
    async def get(self, key):
        await does(self.what, self.context)
        return 7 if wrong(self.what) else self.kept.get(key)
    async def set(self, key, value, *, ttl_s):
        await does(self.what, self.context)
        self.kept[key] = value
    async def aclose(self):
        raise OSError("it will not close")

class Retriever:
    def __init__(self, options, context):
        self.context, self.file = context, options["file"]
    async def retrieve(self, request, traits):
        with open(self.file) as file:
            what, _, text = file.read().partition("|")
        await does(what, self.context)
        found = tuple(Passage(text=one, source="coins@1") for one in text.split("/"))
        return 7 if wrong(what) else Passages(passages=found)

class Guardrail:
    def __init__(self, options, context):
        self.context = context
    async def allows(self, text):
        what = of(text)
        await does(what, self.context)
        return 7 if wrong(what) else "forbidden" not in text
'''
POINTS = {
    "farthing.routers:hostile": "Router",
    "farthing.checks:hostile": "Check",
    "farthing.stores:hostile": "Store",
    "farthing.guardrails:hostile": "Guardrail",
    "farthing.retrievers:hostile": "Retriever",
}
BASE = """
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/mini"]
[tiers.expensive]
targets = ["a/big"]
[brain]
timeout_s = 2.0
"""
ROUTER = BASE + '[route]\nkind = "plugin"\nplugin = "hostile"\nrules = []\n'
CHECK = """
[route]
rules = []
default = "cheap"
[endpoints.e.cascade]
first = "cheap"
then = "expensive"
within_s = 2.0
[[endpoints.e.cascade.checks]]
kind = "plugin"
name = "mine"
plugin = "hostile"
"""
STORE = '[cache.store]\nkind = "plugin"\nplugin = "hostile"\noptions = {{ file = "{file}" }}\n'
GUARD = '[[guard.plugins]]\nname = "mine"\nplugin = "hostile"\ntimeout_s = 2.0\n'
RETRIEVE = """
[route]
rules = []
[endpoints.must.retrieve]
plugin = "hostile"
options = {{ file = "{file}" }}
timeout_s = 2.0
[endpoints.may.retrieve]
plugin = "hostile"
options = {{ file = "{file}" }}
timeout_s = 2.0
required = false
"""
DEEDS = {
    "slow": "TimeoutError",
    "raising": "ValueError",
    "refusing": "PluginFailed",
    "leaving": "PluginFailed",
    "blocking": "EventLoopHeld",
    "leaking": "ValueError",
    "context": "ValueError",
    "cancelled": "PluginFailed",
    "stubborn": "TimeoutError",
    "wrong": "TypeError",
}
NO_ROUTE = DEEDS | {"true": "TypeError", "nan": "TypeError", "half": "TypeError"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = Path(__file__).parents[2] / "src"
    folder = distribution(tmp_path_factory.mktemp("site"), POINTS, HOSTILE, name="hostiles")
    return f"{folder}:{root}"


@pytest.fixture(scope="module")
def routed(upstream: FaultProvider, start_gateway: StartGateway, site: str) -> Running:
    return start_gateway(ROUTER.format(url=upstream.base_url), PYTHONPATH=site)


@pytest.fixture(scope="module")
def checked(upstream: FaultProvider, start_gateway: StartGateway, site: str) -> Running:
    return start_gateway(BASE.format(url=upstream.base_url) + CHECK, PYTHONPATH=site)


@pytest.fixture(scope="module")
def guarded(upstream: FaultProvider, start_gateway: StartGateway, site: str) -> Running:
    return start_gateway(BASE.format(url=upstream.base_url) + GUARD, PYTHONPATH=site)


def tier_of(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return reply.headers["x-farthing-tier"]


# -- router -----------------------------------------------------------------------------------------


def test_the_router_decides_what_no_rule_decides(routed: Running) -> None:
    reply = routed.chat("hello")
    assert tier_of(reply) == "cheap"
    receipt = routed.receipt_of(reply)
    assert receipt.route_reason == "plug-in hostile: because I say so" and receipt.skipped == {}
    assert tier_of(routed.chat("do:none")) == "expensive"
    assert routed.receipt_of(routed.chat("hello", model="a/big")).target == "a/big"


@pytest.mark.parametrize("deed", [*NO_ROUTE, "elsewhere", "other"])
def test_a_hostile_router_costs_its_advice_and_nothing_else(routed: Running, deed: str) -> None:
    reply = routed.chat(f"do:{deed}")
    assert tier_of(reply) == ("expensive" if deed != "other" else "cheap")
    receipt = routed.receipt_of(reply)
    if deed != "other":
        assert receipt.skipped == {"route": NO_ROUTE.get(deed, "ValueError")}
        assert receipt.route_reason.startswith("fallback")
    after = routed.chat(f"hello after {deed}")
    assert tier_of(after) == "cheap" and routed.receipt_of(after).skipped == {}
    assert "a context was shared" not in routed.logged()


# -- check ------------------------------------------------------------------------------------------


def test_the_check_may_doubt(checked: Running) -> None:
    fine, doubted = checked.chat("hello", model="farthing/e"), checked.chat("do:doubt", model="farthing/e")
    assert (tier_of(fine), tier_of(doubted)) == ("cheap", "expensive")
    assert checked.receipt_of(doubted).doubt == "mine: I doubt it"


@pytest.mark.parametrize("deed", DEEDS)
def test_a_hostile_check_is_skipped(checked: Running, deed: str) -> None:
    reply = checked.chat(f"do:{deed}", model="farthing/e")
    assert tier_of(reply) == "cheap"
    assert checked.receipt_of(reply).skipped == {"check:mine": DEEDS[deed]}
    after = checked.chat(f"do:doubt after {deed}", model="farthing/e")
    assert tier_of(after) == "expensive" and checked.receipt_of(after).skipped == {}
    assert "a context was shared" not in checked.logged()


# -- store ------------------------------------------------------------------------------------------


def test_the_store_keeps_answers_and_a_hostile_one_is_a_miss(
    upstream: FaultProvider, start_gateway: StartGateway, site: str, tmp_path: Path
) -> None:
    deed = tmp_path / "deed"
    config = BASE.format(url=upstream.base_url) + STORE.format(file=deed)
    deed.write_text("nothing")
    gateway = start_gateway(config, PYTHONPATH=site)
    kinds = [gateway.chat("again", temperature=0).headers["x-farthing-cache"] for _ in range(2)]
    assert kinds == ["miss", "exact"]
    for name, why in DEEDS.items():
        deed.write_text(name)
        reply = gateway.chat("again", temperature=0)
        assert reply.status == 200 and reply.headers["x-farthing-cache"] == "miss"
        assert gateway.receipt_of(reply).skipped["cache"] == why
    deed.write_text("nothing")
    assert gateway.chat("again", temperature=0).headers["x-farthing-cache"] == "exact"
    assert gateway.stop() == 0
    assert "a context was shared" not in gateway.logged()
    assert "plug-in hostile was not closed: OSError" in gateway.logged()


# -- guardrail: fails closed ------------------------------------------------------------------------


def test_the_guardrail_lets_pass_and_blocks(guarded: Running) -> None:
    assert guarded.chat("hello").status == 200
    reply = guarded.chat("this is forbidden")
    assert (reply.status, reply.error["code"]) == (400, "content_filter")
    assert reply.error["message"] == 'the request was refused by the guardrail "mine"'


@pytest.mark.parametrize("deed", DEEDS)
def test_a_hostile_guardrail_refuses(guarded: Running, deed: str) -> None:
    reply = guarded.chat(f"do:{deed} canary-8c1f")
    assert (reply.status, reply.error["code"]) == (503, "guardrail_failed")
    assert '"mine"' in reply.error["message"] and "later" not in reply.error["message"]
    assert f"plug-in hostile failed ({DEEDS[deed]})" in guarded.receipt_of(reply).error_message
    assert f"guardrail mine failed, and the request is refused: {DEEDS[deed]}: " in guarded.logged()
    assert "canary-8c1f" not in reply.body.decode() and "canary-8c1f" not in guarded.logged()
    assert guarded.chat("hello").status == 200


# -- retriever --------------------------------------------------------------------------------------


def test_an_answer_is_made_from_its_passages_and_never_given_for_others(
    upstream: FaultProvider, start_gateway: StartGateway, site: str, tmp_path: Path
) -> None:
    file = tmp_path / "deed"
    config = BASE.format(url=upstream.base_url) + RETRIEVE.format(file=file)
    gateway = start_gateway(config, PYTHONPATH=site)

    def asked(said: str, endpoint: str) -> Reply:
        file.write_text(said)
        return gateway.chat("How many?", model=f"farthing/{endpoint}", temperature=0)

    first, again, other = (asked(f"nothing|{text}", "must") for text in ("Four.", "Four.", "Five."))
    assert [one.headers["x-farthing-cache"] for one in (first, again, other)] == ["miss", "exact", "miss"]
    receipt = gateway.receipt_of(first)
    assert (receipt.rag_used, receipt.sources, receipt.passages) == (True, ("coins@1",), 1)
    assert receipt.retrieval_ms is not None
    asked_last = upstream.calls[-1].json["messages"]
    assert asked_last[-1]["content"] == "How many?" and "[1] coins@1\nFive." in asked_last[-2]["content"]
    for deed, why in DEEDS.items():
        refused = asked(f"{deed}|Four.", "must")
        assert (refused.status, refused.error["code"]) == (503, "retrieval_failed")
        without = asked(f"{deed}|Four.", "may")
        assert without.status == 200
        assert gateway.receipt_of(without).skipped["retrieve"] == why
        assert not gateway.receipt_of(without).rag_used
        assert asked("nothing|Four.", "must").status == 200
    assert "a context was shared" not in gateway.logged()


def test_passages_without_room_are_counted_told_of_and_refuse_where_required(
    upstream: FaultProvider, start_gateway: StartGateway, site: str, tmp_path: Path
) -> None:
    file = tmp_path / "deed"
    text = RETRIEVE.replace("timeout_s = 2.0", "timeout_s = 2.0\ncontext_tokens_max = 10")
    gateway = start_gateway(BASE.format(url=upstream.base_url) + text.format(file=file), PYTHONPATH=site)
    file.write_text("nothing|" + "/".join(["Four.", "x" * 100, "Five."]))
    some = gateway.receipt_of(gateway.chat("How many?", model="farthing/must", temperature=0))
    assert (some.rag_used, some.passages, some.passages_left_out) == (True, 1, 2)
    file.write_text("nothing|" + "x" * 100)
    refused = gateway.chat("How many?", model="farthing/must", temperature=0)
    assert (refused.status, refused.error["code"]) == (503, "retrieval_failed")
    assert "do not fit" in refused.error["message"] and "later" not in refused.error["message"]
    assert gateway.receipt_of(refused).passages_left_out == 1
    without = gateway.chat("How many?", model="farthing/may", temperature=0)
    assert without.status == 200
    receipt = gateway.receipt_of(without)
    assert (receipt.rag_used, receipt.passages_left_out) == (False, 1)
    logged = gateway.logged()
    assert "2 of 3 passages left out: endpoints.must.retrieve.context_tokens_max = 10" in logged
    assert "1 of 1 passages left out: endpoints.may.retrieve.context_tokens_max = 10" in logged


# -- the process ------------------------------------------------------------------------------------


def test_a_plugin_that_is_not_installed_ends_the_start_with_what_to_do(
    upstream: FaultProvider, start_gateway: StartGateway, tmp_path: Path
) -> None:
    with pytest.raises(
        RuntimeError, match=r'no plug-in "hostile" is installed in the group farthing.routers'
    ):
        start_gateway(ROUTER.format(url=upstream.base_url), tmp_path)
