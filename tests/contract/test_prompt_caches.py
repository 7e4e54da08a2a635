"""What every PromptCaches promises: why a prompt was read from its provider's cache or was not, and what it
cost; what a session has warm, and where."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.asking import asked

from farthing.models.prompt_cache.backlog import Backlog
from farthing.models.prompt_cache.sessions import MemoryPromptCaches
from farthing.protocols import PromptCaches
from farthing.types import Price, PromptCacheUse, Request, Target, Tenant, Usage, replace

Json = dict[str, Any]
PRICE = Price(
    since="0000-00-00",
    input_pusd=4_000_000,
    output_pusd=20_000_000,
    cached_input_pusd=400_000,
    cache_write_pusd=5_000_000,
    cache_write_long_pusd=8_000_000,
)
CLAUDE = Target(name="anthropic/claude-sonnet-5", provider="anthropic", model="claude-sonnet-5", price=PRICE)
OPUS = Target(name="anthropic/claude-opus-5", provider="anthropic", model="claude-opus-5", price=PRICE)
GPT = Target(
    name="openai/gpt-5.2", provider="openai", model="gpt-5.2", price=replace(PRICE, cache_write_pusd=None)
)
LOCAL = Target(name="local/qwen3", provider="local", model="qwen3")
TOOLS = [{"type": "function", "function": {"name": f"tool_{n}", "description": "d" * 300}} for n in range(9)]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Agent:
    """A client whose conversation grows, and its calls."""

    def __init__(
        self, caches: PromptCaches, clock: Clock, session: str | None = "s1", **changes: Any
    ) -> None:
        self.caches, self.clock = caches, clock
        self.system, self.tools = "You are careful. " * 150, list(TOOLS)
        self.turns: list[Json] = [{"role": "user", "content": "Mend the build. " * 30}]
        self.changes = {"session": session, **changes}

    @property
    def request(self) -> Request:
        told = [{"role": "system", "content": self.system}, *self.turns]
        return asked(body={"model": "auto", "messages": told, "tools": self.tools}, **self.changes)

    def call(self, target: Target, usage: Usage, *, lane: str = "", again_s: float = 10.0) -> PromptCacheUse:
        request = self.request
        body = json.dumps(request.body).encode()
        sent = self.caches.sent(request, target, body, lane)
        assert sent is not None
        told = sent.told(usage, target.price)
        assert told is not None
        assert sent.told(usage, target.price) == told
        self.turns += [
            {"role": "assistant", "content": f"I look at {len(self.turns)}. " * 20},
            {"role": "user", "content": f"Result {len(self.turns)}. " * 20},
        ]
        self.clock.now_s += again_s
        return told


def used(fresh: int, read: int = 0, written: int = 0, **more: Any) -> Usage:
    return Usage(
        input_tokens=fresh + read + written, cached_tokens=read, cache_write_5m_tokens=written, **more
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def caches(clock: Clock) -> PromptCaches:
    return MemoryPromptCaches(clock=clock)


@pytest.fixture
def agent(caches: PromptCaches, clock: Clock) -> Agent:
    return Agent(caches, clock)


def test_the_first_call_of_a_session_writes_and_the_next_reads(agent: Agent) -> None:
    first = agent.call(CLAUDE, used(10, written=8_000))
    assert (first.result, first.missed_tokens, first.idle_s) == ("first", 0, None)
    assert first.written_nusd == 8_000 * 1_000  # $1 a million more than plain input
    assert first.saved_nusd == -first.written_nusd
    assert first.missed_nusd == 0  # nobody had sent it before

    second = agent.call(CLAUDE, used(10, read=8_000, written=500))
    assert (second.result, second.missed_tokens, second.missed_nusd, second.idle_s) == ("read", 0, 0, 10.0)
    assert second.saved_nusd == 8_000 * 3_600 - 500 * 1_000
    assert second.written_nusd == 500 * 1_000


def test_a_provider_that_finds_prefixes_itself_writes_for_nothing(agent: Agent) -> None:
    first = agent.call(GPT, used(6_000))
    assert (first.result, first.saved_nusd, first.written_nusd) == ("first", 0, 0)
    second = agent.call(GPT, used(500, read=5_888))
    assert (second.result, second.missed_tokens) == ("read", 0)
    assert second.saved_nusd == 5_888 * 3_600


def test_a_prompt_below_the_minimum_is_told_as_that(agent: Agent) -> None:
    assert agent.call(CLAUDE, used(900)).result == "short"
    assert agent.call(CLAUDE, used(1_000)).result == "short"
    assert agent.call(GPT, used(1_000)).result == "short"


def test_a_request_without_marks_is_told_as_that_where_only_what_is_marked_is_cached(agent: Agent) -> None:
    first = agent.call(CLAUDE, used(8_000))
    assert (first.result, first.missed_tokens, first.missed_nusd) == ("first", 0, 0)
    missed = agent.call(CLAUDE, used(8_500))
    assert (missed.result, missed.missed_tokens, missed.missed_nusd) == ("unmarked", 8_000, 8_000 * 3_600)


def test_a_clock_before_anything_that_could_be_marked_loses_nothing_to_missing_marks(agent: Agent) -> None:
    agent.tools = []
    agent.call(CLAUDE, used(8_000))
    agent.system = "It is 10:01. " + agent.system
    found = agent.call(CLAUDE, used(8_500))
    assert (found.result, found.segment, found.missed_tokens, found.missed_nusd) == (
        "changed",
        "system",
        0,
        0,
    )


def test_tools_before_a_clock_could_have_been_marked(agent: Agent) -> None:
    agent.call(CLAUDE, used(8_000))
    agent.system = "It is 10:01. " + agent.system
    found = agent.call(CLAUDE, used(8_500))
    assert found.result == "unmarked"
    assert found.missed_tokens is not None
    assert 2_000 < found.missed_tokens < 6_000  # some three of its seven thousand bytes
    assert found.missed_nusd == found.missed_tokens * 3_600


def test_a_pause_longer_than_any_mark_lasts_loses_nothing_to_missing_marks(agent: Agent) -> None:
    agent.call(CLAUDE, used(8_000), again_s=3_601.0)
    found = agent.call(CLAUDE, used(8_500))
    assert (found.result, found.missed_tokens, found.missed_nusd) == ("idle", 0, 0)


@pytest.mark.parametrize("same", [True, False])
def test_single_questions_could_have_read_only_what_others_began_with(
    caches: PromptCaches, clock: Clock, same: bool
) -> None:
    found = []
    for number in range(3):
        agent = Agent(caches, clock, session=None)
        agent.tools = []
        agent.system = "You are careful. " * 150 + ("" if same else f"Case {number}.")
        agent.turns = [{"role": "user", "content": f"Question {number}?"}]
        found.append(agent.call(CLAUDE, used(8_000)))
    assert [one.result for one in found] == ["first", *["unmarked" if same else "first"] * 2]
    assert (found[0].missed_tokens, found[0].missed_nusd) == (0, 0)
    for one in found[1:]:
        assert one.missed_tokens is not None
        assert 7_000 < one.missed_tokens < 8_000 if same else not one.missed_tokens
        assert one.missed_nusd == one.missed_tokens * 3_600


def test_what_others_began_with_too_long_ago_could_not_be_read(caches: PromptCaches, clock: Clock) -> None:
    Agent(caches, clock, session="a").call(CLAUDE, used(8_000), again_s=301.0)
    found = Agent(caches, clock, session="b").call(CLAUDE, used(8_000))
    assert (found.result, found.missed_nusd) == ("first", 0)


def test_a_prompt_that_grows_over_the_minimum_had_nothing_to_read(agent: Agent) -> None:
    assert agent.call(GPT, used(1_000)).result == "short"
    grown = agent.call(GPT, used(1_500))
    assert (grown.result, grown.missed_tokens, grown.missed_nusd) == ("short", 0, 0)
    assert agent.call(GPT, used(300, read=1_408)).result == "read"


def test_an_agent_that_begins_to_mark_is_told_as_one_that_begins(agent: Agent) -> None:
    assert agent.call(CLAUDE, used(8_000)).result == "first"
    assert agent.call(CLAUDE, used(0, written=8_500)).result == "first"
    assert agent.call(CLAUDE, used(0, read=8_500, written=300)).result == "read"


def test_an_answer_that_broke_off_before_anything_was_told_forgets_nothing(agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    assert agent.call(CLAUDE, used(9_000, estimated=True)).result == "untold"
    found = agent.call(CLAUDE, used(0, written=9_500))
    assert (found.result, found.missed_tokens) == ("evicted", 8_000)


def test_what_was_told_of_an_answer_that_broke_off_counts(agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    cut = agent.call(CLAUDE, used(0, read=8_000, written=500, estimated=True))
    assert (cut.result, cut.saved_nusd) == ("read", 8_000 * 3_600 - 500 * 1_000)


@pytest.mark.parametrize(
    ("change", "segment", "missed"),
    [("tools", "tools", 8_000), ("system", "system", 8_000), ("message", "message 1", 8_000)],
)
def test_a_prefix_that_changed_is_told_by_segment_and_byte(
    agent: Agent, change: str, segment: str, missed: int
) -> None:
    agent.call(CLAUDE, used(10, written=8_000))
    if change == "tools":
        agent.tools[3] = {"type": "function", "function": {"name": "other", "description": "d" * 300}}
    elif change == "system":
        agent.system = "Today is Monday. " + agent.system
    else:
        agent.turns[0] = {"role": "user", "content": "Mend the tests. " * 30}
    found = agent.call(CLAUDE, used(10, written=8_500))
    assert (found.result, found.segment, found.missed_tokens) == ("changed", segment, missed)
    assert found.byte is not None
    assert found.byte <= 2_048
    assert found.missed_nusd == 8_000 * 4_600
    assert agent.call(CLAUDE, used(10, read=8_500, written=400)).result == "read"


def test_a_message_that_was_edited_late_costs_what_stands_behind_it(agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    agent.call(CLAUDE, used(0, read=8_000, written=500))
    agent.call(CLAUDE, used(0, read=8_500, written=500))
    agent.turns[-4] = {**agent.turns[-4], "content": "Forgotten."}
    found = agent.call(CLAUDE, used(0, read=8_000, written=1_200))
    assert (found.result, found.segment, found.missed_tokens) == ("changed", "message 4", 1_000)


@pytest.mark.parametrize(("life", "idle_s"), [("5m", 301.0), ("1h", 3_601.0)])
def test_idle_longer_than_its_life_is_told_by_what_was_written(
    agent: Agent, life: str, idle_s: float
) -> None:
    written = {"5m": used(0, written=8_000), "1h": Usage(input_tokens=8_000, cache_write_1h_tokens=8_000)}
    agent.call(CLAUDE, written[life], again_s=idle_s - 2.0)
    assert agent.call(CLAUDE, used(0, read=8_000, written=400), again_s=idle_s).result == "read"
    found = agent.call(CLAUDE, used(0, written=8_800))
    assert (found.result, found.idle_s, found.missed_tokens) == ("idle", idle_s, 8_400)


def test_a_switch_of_model_tells_from_which(agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    found = agent.call(OPUS, used(0, written=8_500))
    assert (found.result, found.switched_from, found.missed_tokens) == ("model", CLAUDE.name, 8_000)
    assert found.idle_s is None
    back = agent.call(CLAUDE, used(0, read=8_000, written=900))
    assert back.result == "read"


def test_a_switch_of_key_or_replica_is_told(agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000), lane="key-1")
    assert agent.call(CLAUDE, used(0, written=8_500), lane="key-2").result == "key"
    assert agent.call(CLAUDE, used(0, read=8_000, written=800), lane="key-1").result == "read"


def test_a_switch_of_speed_is_told_as_one_of_model(agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    assert agent.call(CLAUDE, used(0, written=8_500, tier="fast")).result == "model"


def test_what_has_no_other_reason_was_evicted(agent: Agent) -> None:
    agent.call(GPT, used(6_000))
    found = agent.call(GPT, used(6_500))
    assert (found.result, found.missed_tokens) == ("evicted", 5_888)


def test_a_provider_that_tells_nothing_is_unknown_and_never_nothing(agent: Agent) -> None:
    found = agent.call(LOCAL, used(6_000))
    assert (found.result, found.missed_tokens, found.missed_nusd) == ("untold", None, None)
    estimated = agent.call(GPT, used(6_000, estimated=True))
    assert (estimated.result, estimated.saved_nusd, estimated.written_nusd) == ("untold", None, None)


def test_a_host_that_leaves_out_what_was_read_is_unknown_whatever_its_model(agent: Agent) -> None:
    for _ in range(2):
        found = agent.call(GPT, used(6_000, cache_untold=True))
        assert (found.result, found.missed_tokens, found.missed_nusd) == ("untold", None, None)
        assert (found.saved_nusd, found.written_nusd) == (None, None)
    agent.call(GPT, used(500, read=5_888))
    assert agent.call(GPT, used(7_000, cache_untold=True)).result == "evicted", "it leaves out a nought alone"


def test_a_provider_that_has_told_once_tells(agent: Agent) -> None:
    agent.call(LOCAL, used(6_000))
    agent.call(LOCAL, used(500, read=6_000))
    agent.system = "Other. " + agent.system
    assert agent.call(LOCAL, used(7_000)).result == "changed"


def test_money_is_unknown_without_a_price(agent: Agent) -> None:
    agent.call(LOCAL, used(6_000))
    found = agent.call(LOCAL, used(500, read=6_000))
    assert (found.result, found.saved_nusd, found.written_nusd, found.missed_nusd) == (
        "read",
        None,
        None,
        None,
    )


def test_another_agent_of_the_session_begins_a_conversation_of_its_own(
    caches: PromptCaches, clock: Clock, agent: Agent
) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    other = Agent(caches, clock)
    other.system, other.tools, other.turns = "Name this. " * 200, [], [{"role": "user", "content": "Short"}]
    assert other.call(CLAUDE, used(0, written=2_000)).result == "first"
    assert agent.call(CLAUDE, used(0, read=8_000, written=400)).result == "read"


def test_without_a_session_a_conversation_is_known_by_its_beginning(
    caches: PromptCaches, clock: Clock
) -> None:
    agent = Agent(caches, clock, session=None)
    agent.call(CLAUDE, used(0, written=8_000))
    agent.system = "Now it is noon. " + agent.system
    assert agent.call(CLAUDE, used(0, written=8_500)).result == "changed"
    stranger = Agent(caches, clock, session=None)
    stranger.turns = [{"role": "user", "content": "Something else entirely"}]
    assert stranger.call(CLAUDE, used(0, written=8_000)).result == "first"


def test_nothing_of_one_tenant_is_seen_by_another(caches: PromptCaches, clock: Clock, agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    other = Agent(caches, clock, tenant=Tenant(name="other"))
    assert caches.warm(other.request, CLAUDE) is None
    assert caches.calls(other.request) == ()
    assert other.call(CLAUDE, used(0, written=8_000)).result == "first"


@pytest.mark.parametrize(
    "changes", [{"operation": "embeddings"}, {"own": True}], ids=["embeddings", "of the gateway"]
)
def test_what_is_no_chat_of_a_client_is_not_measured(
    caches: PromptCaches, clock: Clock, changes: dict[str, Any]
) -> None:
    request = Agent(caches, clock, **changes).request
    assert caches.sent(request, CLAUDE, json.dumps(request.body).encode()) is None


def test_a_short_prompt_is_not_measured(caches: PromptCaches) -> None:
    request = asked()
    assert caches.sent(request, CLAUDE, json.dumps(request.body).encode()) is None


# -- when it is done ------------------------------------------------------------------------------------


class Later:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


@pytest.mark.parametrize("early", [True, False], ids=["answered at once", "answered later"])
def test_a_receipt_says_the_same_whenever_the_work_beside_it_is_done(clock: Clock, early: bool) -> None:
    later = Later()
    caches = MemoryPromptCaches(clock=clock, later=later.waiting.append)
    agent = Agent(caches, clock)
    told = []
    for usage in (used(10, written=8_000), used(10, read=8_000, written=500), used(9_000)):
        request = agent.request
        sent = caches.sent(request, CLAUDE, json.dumps(request.body).encode())
        assert sent is not None
        if not early:
            later.run()
        use = sent.told(usage, PRICE)
        assert use is not None
        told.append((use.result, use.segment))
        assert caches.calls(request) == () or len(told) > 1
        later.run()
        agent.turns += [{"role": "user", "content": f"And {len(told)}? " * 20}]
        agent.tools = TOOLS[: 9 if len(told) < 2 else 8]
        clock.now_s += 5.0
    assert told == [("first", ""), ("read", ""), ("changed", "tools")]
    assert len(caches.calls(agent.request)) == 1


@pytest.mark.parametrize("change", ["where no sample is", "nothing"])
def test_what_was_known_again_by_samples_is_looked_at_where_it_was_not_read(
    clock: Clock, change: str
) -> None:
    caches = MemoryPromptCaches(clock=clock)
    agent = Agent(caches, clock)
    agent.system = "".join(f"Rule {number:06}. " for number in range(6_000))
    agent.turns = [
        {"role": "user" if number % 2 == 0 else "assistant", "content": f"{number} " * 200}
        for number in range(41)
    ]
    agent.call(CLAUDE, used(0, written=40_000))
    agent.call(CLAUDE, used(0, read=40_000, written=500))
    if change != "nothing":
        agent.system = agent.system.replace("Rule 000301.", "Rule 000999.")
    found = agent.call(CLAUDE, used(0, written=41_000))
    if change == "nothing":
        assert found.result == "evicted"
    else:
        assert (found.result, found.segment, found.byte) == ("changed", "system", 3_072)
        assert agent.call(CLAUDE, used(0, read=41_000, written=500)).result == "read"
        agent.system = agent.system.replace("Rule 000999.", "Rule 000301.")
        assert agent.call(CLAUDE, used(0, written=42_000)).result == "changed", (
            "what is kept is the later one"
        )


def test_what_there_is_no_room_for_is_not_measured_and_counted(clock: Clock) -> None:
    later = Later()
    backlog = Backlog(later.waiting.append, works_max=1)
    caches = MemoryPromptCaches(clock=clock, backlog=backlog)
    request = Agent(caches, clock).request
    body = json.dumps(request.body).encode()
    assert caches.sent(request, CLAUDE, body) is not None
    assert caches.sent(request, CLAUDE, body) is None
    assert backlog.dropped == 1


def test_a_prompt_that_failed_is_not_remembered_and_holds_nothing(clock: Clock) -> None:
    later = Later()
    caches = MemoryPromptCaches(clock=clock, later=later.waiting.append)
    request = Agent(caches, clock).request
    sent = caches.sent(request, CLAUDE, json.dumps(request.body).encode())
    assert sent is not None
    sent.failed(0)
    later.run()
    assert caches.size == 0


# -- what is warm --------------------------------------------------------------------------------------


def test_what_a_session_sent_is_warm_where_it_went_until_its_life_ends(
    caches: PromptCaches, clock: Clock, agent: Agent
) -> None:
    assert caches.warm(agent.request, CLAUDE) is None
    agent.call(CLAUDE, used(10, written=8_000), again_s=100.0)
    warm = caches.warm(agent.request, CLAUDE)
    assert warm is not None
    assert (warm.target, warm.tokens, warm.writes, warm.life_s) == (CLAUDE.name, 8_000, True, 200.0)
    assert caches.warm(agent.request, OPUS) is None
    clock.now_s += 201.0
    assert caches.warm(agent.request, CLAUDE) is None


def test_a_session_is_warm_at_each_target_that_it_used_the_last_first(
    caches: PromptCaches, agent: Agent
) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    agent.call(OPUS, used(0, written=8_500))
    found = caches.warm_targets(agent.request)
    assert [(one.target, one.tokens) for one in found] == [(OPUS.name, 8_500), (CLAUDE.name, 8_000)]


def test_of_a_conversation_that_was_compacted_only_its_beginning_is_warm(
    caches: PromptCaches, agent: Agent
) -> None:
    for _ in range(4):
        agent.call(CLAUDE, used(0, written=9_000))
    agent.turns = [{"role": "user", "content": "What came before, in short."}]
    warm = caches.warm(agent.request, CLAUDE)
    assert warm is not None
    assert 3_000 < warm.tokens < 9_000
    agent.tools = []
    assert caches.warm(agent.request, CLAUDE) is None


def test_the_lane_is_the_one_that_holds_most(caches: PromptCaches, agent: Agent) -> None:
    assert caches.lane(agent.request, CLAUDE) is None
    agent.call(CLAUDE, used(0, written=8_000), lane="key-1")
    assert caches.lane(agent.request, CLAUDE) == "key-1"
    agent.call(CLAUDE, used(0, written=8_500), lane="key-2")
    assert caches.lane(agent.request, CLAUDE) == "key-2"
    assert caches.lane(agent.request, OPUS) is None


def test_the_last_calls_of_a_session_are_told_with_their_segments(caches: PromptCaches, agent: Agent) -> None:
    agent.call(CLAUDE, used(0, written=8_000))
    agent.call(OPUS, used(10, written=8_500))
    last, before = caches.calls(agent.request)
    assert (before.target, before.since_s, before.written_tokens, before.read_tokens) == (
        CLAUDE.name, None, 8_000, 0
    )  # fmt: skip
    assert (last.target, last.since_s, last.input_tokens) == (OPUS.name, 10.0, 8_510)
    assert [one.name for one in before.segments] == ["tools", "system", "message 1"]
    assert sum(one.tokens for one in before.segments) == pytest.approx(8_000, abs=3)


# -- bounds --------------------------------------------------------------------------------------------


def test_a_tenant_with_many_sessions_takes_no_room_from_another(clock: Clock) -> None:
    caches = MemoryPromptCaches(clock=clock, sessions_max=20)
    quiet = Agent(caches, clock, session="quiet", tenant=Tenant(name="quiet"))
    quiet.call(CLAUDE, used(0, written=8_000))
    for number in range(60):
        Agent(caches, clock, session=f"loud {number}").call(CLAUDE, used(0, written=8_000), again_s=0.0)
    assert caches.size == 20
    assert caches.warm(quiet.request, CLAUDE) is not None
    assert caches.warm(Agent(caches, clock, session="loud 0").request, CLAUDE) is None
    assert caches.warm(Agent(caches, clock, session="loud 59").request, CLAUDE) is not None


def test_a_tenant_with_long_sessions_takes_no_room_from_one_with_many_short_ones(clock: Clock) -> None:
    caches = MemoryPromptCaches(clock=clock, sessions_max=20)
    quiet = [
        Agent(caches, clock, session=f"quiet {number}", tenant=Tenant(name="quiet")) for number in range(8)
    ]
    for agent in quiet:
        agent.call(CLAUDE, used(0, written=8_000), again_s=0.0)
    for number in range(12):
        loud = Agent(caches, clock, session=f"loud {number}")
        loud.turns = [{"role": "user", "content": f"{turn}"} for turn in range(700)]
        loud.call(CLAUDE, used(0, written=8_000), again_s=0.0)
    assert all(caches.warm(agent.request, CLAUDE) for agent in quiet)


def test_a_session_remembers_few_prompts(clock: Clock) -> None:
    caches = MemoryPromptCaches(clock=clock)
    agent = Agent(caches, clock)
    for number in range(40):
        agent.tools = [*TOOLS, {"type": "function", "function": {"name": f"n{number}"}}]
        agent.system = f"{number} " + agent.system
        agent.call(CLAUDE, used(0, written=8_000))
    assert len(caches.calls(agent.request)) <= 6
