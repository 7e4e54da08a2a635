"""Where our marks for a prompt cache stand, and when there are none."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.asking import asked
from tests.faults.messages_prompt import blocks_of, plain
from tests.sim.prompt_cache_replay import CLAUDE, GPT, Agents, Claude, Clock, Gateway, Turn, fixed
from tests.unit.models.prompt_cache.asks import prompt_of

from farthing.config import OpenAIProviderConfig
from farthing.dialects.marking import BLOCKS_APART, MARKS_MAX
from farthing.dialects.messages.models import abilities
from farthing.dialects.messages.requests.marking import with_marks
from farthing.errors import ProviderRejected
from farthing.models.discovery.abilities import abilities_at
from farthing.models.prompt_cache import segments
from farthing.models.prompt_cache.breakpoints import is_marked, rates_of
from farthing.models.prompt_cache.habits import FORGIVEN_S, Account, Share
from farthing.models.prompt_cache.keys import PromptKeys
from farthing.models.providers.host import HostFacts
from farthing.models.providers.kinds import make
from farthing.models.transport.origin import HttpOrigin
from farthing.types import CacheMarks, Request, Sent, Tenant, replace

Json = dict[str, Any]
ALL = CacheMarks(tools="5m", system="5m", turns="5m")
MARK = {"type": "ephemeral"}


def body_of(messages: list[Json], **more: Any) -> Json:
    return {"model": "claude-sonnet-5", "max_tokens": 9, "messages": messages, **more}


def blocks(count: int) -> list[Json]:
    return [{"type": "text", "text": f'{number} é \\ "q"'} for number in range(count)]


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def marked(body: Json, marks: CacheMarks = ALL, *, reshape: bool = True) -> Json:
    found: Json = json.loads(with_marks(json.dumps(body).encode(), marks, reshape=reshape))
    return found


def test_tools_system_and_the_last_turn_are_marked_and_all_other_bytes_stay() -> None:
    raw = (
        b'{ "model":"claude-sonnet-5",\n "tools" : [ {"name":"a","input_schema":{}} , {"name":"b"} ],'
        b' "system":[{"type":"text","text":"S\\u00e9"} ],"messages": [ {"role":"user", "content":['
        b' {"type":"text","text":"1"},{"type":"text","text":"2" } ] } ] , "n":1e400}'
    )
    mark = b',"cache_control":{"type":"ephemeral"}'
    found = with_marks(raw, ALL, reshape=True)
    assert found.count(mark) == 3
    assert found.replace(mark, b"") == raw
    assert b'{"name":"b"' + mark in found
    assert b'"S\\u00e9"' + mark in found
    assert b'"text":"2" ' + mark in found


def test_a_text_told_alone_becomes_a_block_where_values_are_free() -> None:
    body = body_of([user("Hello \\ é")], system="Be kind.")
    assert marked(body)["system"] == [{"type": "text", "text": "Be kind.", "cache_control": MARK}]
    assert marked(body)["messages"][0]["content"][0]["text"] == "Hello \\ é"
    assert marked(body, reshape=False) == body


def test_an_hour_is_said() -> None:
    found = marked(body_of([user(blocks(1))]), CacheMarks(turns="1h"))
    assert found["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_thinking_and_empty_text_are_not_marked() -> None:
    thought = {"type": "thinking", "thinking": "t", "signature": "s"}
    last = {"role": "assistant", "content": [*blocks(1), thought, {"type": "text", "text": " "}]}
    found = marked(body_of([user("Hi"), last]))
    assert found["messages"][1]["content"][0]["cache_control"] == MARK
    assert found["messages"][1]["content"][1:] == last["content"][1:]


def test_a_tool_that_comes_later_is_not_marked() -> None:
    tools = [{"name": "a"}, {"name": "b", "defer_loading": True}]
    assert marked(body_of([user("Hi")], tools=tools))["tools"] == [
        {"name": "a", "cache_control": MARK},
        tools[1],
    ]


def test_long_turns_are_marked_each_fifteen_blocks_as_far_as_marks_go() -> None:
    found = marked(
        body_of([user(blocks(40)), user(blocks(20))], system=blocks(1)), CacheMarks(system="5m", turns="5m")
    )
    places = [index for index, block in enumerate(blocks_of(found)) if block.ttl]
    assert places == [0, 60 - 2 * BLOCKS_APART, 60 - BLOCKS_APART, 60]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant"]), st.one_of(st.text(), st.integers(0, 30))),
        max_size=12,
    ),
    st.sampled_from(["", "S", "list"]),
    st.booleans(),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_whatever_is_marked_says_the_same(
    turns: list[tuple[str, str | int]], system: str, ascii: bool, indent: int | None, reshape: bool
) -> None:
    messages = [
        {"role": role, "content": said if isinstance(said, str) else blocks(said)} for role, said in turns
    ]
    told = {"system": blocks(2) if system == "list" else system} if system else {}
    body = body_of(messages, **told)
    raw = json.dumps(body, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass")
    found = json.loads(with_marks(raw, ALL, reshape=reshape).decode("utf-8", "surrogatepass"))
    assert [block.value for block in blocks_of(found)] == [block.value for block in blocks_of(body)]
    assert sum(bool(block.ttl) for block in blocks_of(found)) <= MARKS_MAX
    if not reshape:
        assert plain(found) == plain(body)


@pytest.mark.parametrize(
    "raw", [b"[]", b"", b"{", b'{"messages":1}', b'{"messages":[1,"x",null]}', b'{"a":1,"a":2}']
)
def test_what_is_no_request_stays_as_it_is(raw: bytes) -> None:
    assert with_marks(raw, ALL, reshape=True) == raw


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.text(min_size=1), st.integers(0, 40)), max_size=30),
    st.sampled_from(["5m", "1h", ""]),
)
def test_marks_stand_in_the_same_places_whether_or_not_the_messages_are_known(
    said: list[str | int], life: str
) -> None:
    messages = [user(one if isinstance(one, str) else blocks(one)) for one in said]
    raw, marks = json.dumps(body_of(messages)).encode(), CacheMarks(tools=life, system=life, turns=life)
    known = with_marks(raw, marks, reshape=True, said=messages)
    assert known == with_marks(raw, marks, reshape=True)


# -- when there are none ---------------------------------------------------------------------------


def marks_of_clients() -> list[Json]:
    mark = {"cache_control": MARK}
    inner = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "r", **mark}]}
    return [
        body_of([user("Hi")], **mark),
        body_of([user("Hi")], system=[{"type": "text", "text": "s", **mark}]),
        body_of([user("Hi")], tools=[{"name": "a", **mark}]),
        body_of([user("Hi")], tools=[{"type": "function", "function": {"name": "a", **mark}}]),
        body_of([user([{"type": "text", "text": "t", **mark}]), user("Hi")]),
        body_of([user([inner])]),
        body_of([user("Hi")], cached_content="c"),
    ]


@pytest.mark.parametrize("body", marks_of_clients())
def test_nothing_is_marked_where_the_client_marks_anything(body: Json) -> None:
    assert is_marked(prompt_of(body))
    assert not is_marked(prompt_of(body_of([user("Say cache_control."), user(blocks(3))], system="s")))


def warmed() -> tuple[Gateway, Claude, Clock, list[Turn]]:
    """A gateway that has learnt that marks pay, and what the session says next."""
    clock = Clock()
    claude, gateway = Claude(clock), Gateway(CLAUDE, clock)
    turns = list(Agents(1).session("a", 10, fixed(10)))
    for turn in turns[:8]:
        clock.now_s = 1_000.0 + turn.at_s
        gateway.through(turn, claude.bill)
    return gateway, claude, clock, turns[8:]


def test_a_clients_marks_are_left_alone_whatever_was_learnt() -> None:
    gateway, _, _, (turn, _) = warmed()
    assert gateway.begin(turn).count(b"cache_control") == 4
    own = {**turn.body, "messages": [*turn.body["messages"]]}
    own["messages"][0] = user([{"type": "text", "text": "x", "cache_control": MARK}])
    assert gateway.begin(turn._replace(body=own)).count(b"cache_control") == 1


@pytest.mark.parametrize("at", range(15))
def test_a_mark_that_a_client_sets_late_anywhere_leaves_all_to_it(at: int) -> None:
    gateway, _, _, (turn, _) = warmed()
    own = json.loads(json.dumps(turn.body))
    message = own["messages"][at]
    content = message["content"]
    if isinstance(content, str):
        content = message["content"] = [{"type": "text", "text": content}]
    content[-1]["cache_control"] = MARK
    assert gateway.begin(turn._replace(body=own)).count(b"cache_control") == 1


def test_nothing_is_decided_where_marks_cannot_pay() -> None:
    clock = Clock()
    claude, gateway = Claude(clock), Gateway(CLAUDE, clock)
    for number in range(30):
        gateway.through(next(Agents(number).session(f"n{number}", 1, fixed(1))), claude.bill)
        clock.now_s += 5.0
    assert not gateway.habits.paying
    assert warmed()[0].habits.paying == {("acme", "agents", CLAUDE.name)}


# -- what becomes of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "messages.3.content.0.cache_control: Extra inputs are not permitted",
        "The model does not support cachePoint blocks",
    ],
)
def test_a_target_that_refuses_marks_gets_none_for_a_day_from_who_was_refused(words: str) -> None:
    gateway, _, clock, (turn, _) = warmed()
    request, prompt = gateway._asked(turn)
    preparer, capabilities = gateway._preparer, gateway._provider.capabilities
    marked = preparer.prepared(request, prompt, CLAUDE, capabilities)
    error = ProviderRejected("refused", upstream_status=400, words=words)
    assert not preparer.refused(request, prompt, CLAUDE, error), "it had no marks of ours"
    assert not preparer.refused(
        request, marked, CLAUDE, ProviderRejected("no", upstream_status=400, words="x")
    )
    assert preparer.refused(request, marked, CLAUDE, error)
    assert preparer.prepared(request, prompt, CLAUDE, capabilities) is prompt
    assert not gateway.habits.refusals.holds("globex", CLAUDE.name, clock.now_s)
    assert not gateway.habits.refusals.holds("acme", CLAUDE.name, clock.now_s + 86_401.0)


@pytest.mark.parametrize("measured", [True, False])
def test_what_marks_saved_is_booked_whether_or_not_the_prompt_is_measured(measured: bool) -> None:
    gateway, claude, _, (turn, _) = warmed()
    account = gateway.habits.of("acme", "agents", CLAUDE.name).account
    before = account.balance_nusd
    request, prompt = gateway._asked(turn)
    prompt = gateway._preparer.prepared(request, prompt, CLAUDE, gateway._provider.capabilities)
    body = gateway._provider.encode(prompt, CLAUDE, "chat", "r-1")[1]
    sent = gateway._caches.sent(request, CLAUDE, body if measured else body + b" " * segments.BODY_BYTES_MAX)
    assert (sent is not None) == measured
    booked = gateway._preparer.sent(sent, request, CLAUDE, prompt)
    assert booked is not None and account.balance_nusd < before
    usage = claude.bill(json.loads(body))
    use = booked.told(usage, CLAUDE.price)
    assert (use is not None) == measured
    saved = usage.cached_tokens * 1_800 - usage.cache_write_5m_tokens * 500
    assert saved > 0 and account.balance_nusd == before + saved


def test_another_tenant_endpoint_or_model_learns_for_itself() -> None:
    gateway, _, _, (turn, _) = warmed()
    for other in (
        {"tenant": Tenant(name="globex")},
        {"endpoint": replace(gateway.endpoint, name="else")},
        {"own": True},
    ):
        assert gateway.begin(turn, **other).count(b"cache_control") == 0


def test_a_price_that_is_not_known_marks_nothing() -> None:
    assert CLAUDE.price is not None
    assert rates_of(None, 9) is None
    assert rates_of(replace(CLAUDE.price, cached_input_pusd=None), 9) is None
    assert rates_of(replace(CLAUDE.price, cache_write_pusd=None, cache_write_long_pusd=None), 9) is None
    rates = rates_of(CLAUDE.price, 9)
    assert rates is not None and (rates.read, rates.write) == (0.1, {"5m": 1.25, "1h": 2.0})


@pytest.mark.parametrize(("bound", "long"), [(None, True), (99_999, False)])
def test_where_money_is_limited_nothing_is_written_that_is_not_held_for(
    bound: int | None, long: bool
) -> None:
    clock = Clock()
    claude, gateway = Claude(clock), Gateway(CLAUDE, clock)
    found = b""
    for turn in Agents(1).session("slow", 12, fixed(1_500)):
        clock.now_s = 1_000.0 + turn.at_s
        gateway.bound = bound
        found += gateway.through(turn, claude.bill)[0]
    assert (b'"ttl":"1h"' in found) is long


def test_a_call_that_failed_and_was_not_charged_costs_the_account_nothing() -> None:
    gateway, _, _, (turn, _) = warmed()
    account = gateway.habits.of("acme", "agents", CLAUDE.name).account
    before = account.balance_nusd
    _, sent = gateway.started(turn)
    assert sent is not None and account.balance_nusd < before
    sent.failed(None)
    assert account.balance_nusd < before
    sent.failed(0)
    assert account.balance_nusd == before


def test_the_account_allows_no_more_than_one_prompt_and_forgives_after_a_day() -> None:
    account = Account()
    for _ in range(3):
        assert account.allows(25, 100, 0.0)
        account.book(-25)
    assert account.allows(15, 100, 0.0) and not account.allows(16, 100, 0.0), "a tenth is for estimates"
    assert not account.allows(25, 100, FORGIVEN_S)
    assert account.allows(25, 100, FORGIVEN_S + 1)


def test_a_share_is_sure_only_after_some_calls_and_forgets() -> None:
    share = Share()
    assert share.low == 0
    share.add(hit=True)
    assert share.low < 0.217  # (w - 1) / (w - r) of five minutes
    for _ in range(20):
        share.add(hit=True)
    assert share.low > 0.8
    for _ in range(60):
        share.add(hit=False)
    assert share.low < 0.1


# -- keys -------------------------------------------------------------------------------------------


def keyed(keys: PromptKeys, system: str = "s" * 5_000, question: str = "q", **changes: Any) -> str:
    messages = [{"role": "system", "content": system}, user(question)]
    request: Request = asked(body={"model": "m", "messages": messages, **changes.pop("body", {})}, **changes)
    return keys.key(request, prompt_of(request.body), GPT)


def test_a_key_is_the_same_for_a_beginning_and_another_for_another_tenant() -> None:
    keys = PromptKeys(clock=Clock())
    assert keyed(keys) == keyed(keys, question="r") == keyed(PromptKeys(clock=Clock())) != ""
    assert keyed(keys) == keyed(keys, system="s" * 4_000 + "what changes stands last")
    assert keyed(keys, system="t" * 5_000) != keyed(keys)
    assert keyed(keys, tenant=Tenant(name="globex")) != keyed(keys)
    assert len(keyed(keys)) <= 64


def test_a_clients_key_stays() -> None:
    assert keyed(PromptKeys(clock=Clock()), body={"prompt_cache_key": "mine"}) == ""


def test_more_than_fifteen_a_minute_are_spread_over_few_keys_and_a_session_keeps_its_own() -> None:
    clock = Clock()
    keys = PromptKeys(clock=clock)
    for _ in range(3):
        for number in range(60):
            clock.now_s += 1.0
            keyed(keys, session=f"s{number}")
    first = {f"s{number}": keyed(keys, session=f"s{number}") for number in range(40)}
    assert 2 <= len(set(first.values())) <= 8
    clock.now_s += 120.0
    assert {name: keyed(keys, session=name) for name in list(first)[:10]} == dict(list(first.items())[:10])


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_a_key_goes_up_by_either_dialect_of_openai_and_changes_nothing_else(kind: str) -> None:
    config = OpenAIProviderConfig(base_url="https://api.openai.com/v1")
    origin = HttpOrigin("openai", "api.openai.com", 443, True)
    provider = make("openai", origin, config, path="/v1", host=HostFacts(cache_key=True))
    assert provider.capabilities.cache_key and not provider.capabilities.marks
    prompt = prompt_of({"model": "gpt-5.2", "messages": [user("Hi")]})
    if kind == "responses":
        raw = b'{ "model":"gpt-5.2", "input":[ {"role":"user","content":"Hi"} ], "store": false }'
        sent = Sent(dialect="responses", raw=raw, body=json.loads(raw), read=prompt.body)
        prompt = replace(prompt, sent=sent)
    _, plain_body = provider.encode(prompt, GPT, "chat", "r")
    _, body = provider.encode(replace(prompt, cache_key="fg-1"), GPT, "chat", "r")
    assert json.loads(body) == {**json.loads(plain_body), "prompt_cache_key": "fg-1"}
    assert b'{ "model":"gpt-5.2"' not in plain_body or b'"input":[ {"role":"user","content":"Hi"} ]' in body


def test_a_host_that_is_not_known_to_take_keys_gets_none() -> None:
    assert abilities_at("api.openai.com").cache_key
    for host in ("127.0.0.1", "api.groq.com", "x.openai.azure.com", "x.services.ai.azure.com"):
        assert not abilities_at(host).cache_key, host


def test_a_key_that_a_target_refuses_is_learnt_and_not_sent_again() -> None:
    origin = HttpOrigin("openai", "api.openai.com", 443, True)
    config = OpenAIProviderConfig(base_url="https://api.openai.com/v1")
    provider = make("openai", origin, config, path="/v1", host=HostFacts(cache_key=True))
    keyed = replace(prompt_of({"model": "gpt-5.2", "messages": [user("Hi")]}), cache_key="fg-1")
    body = b'{"error": {"message": "Unrecognized request argument supplied: prompt_cache_key"}}'
    error = provider.failure(400, {}, body)
    assert isinstance(error, ProviderRejected) and provider.learn(keyed, GPT, error)
    assert "prompt_cache_key" not in json.loads(provider.encode(keyed, GPT, "chat", "r")[1])
    assert not provider.learn(keyed, GPT, error), "it is not asked a third time"


@pytest.mark.parametrize(
    ("model", "binds"),
    [
        ("claude-sonnet-5", False),
        ("claude-opus-4-8", False),
        ("claude-sonnet-5-5", True),
        ("claude-opus-5.5", True),
        ("claude-fable-5-1", True),
        ("claude-mythos-5", False),
    ],
)
def test_models_that_bind_their_thinking_are_known(model: str, binds: bool) -> None:
    assert abilities(model).binds is binds


@pytest.mark.parametrize("system", ["Be kind. " * 300, 'Say "no" \\ é\n' * 200])
def test_a_prompt_with_our_marks_is_known_as_the_one_without(system: str) -> None:
    raw = json.dumps(body_of([user("Hello. " * 300), user(blocks(20))], system=system)).encode()
    one, other = segments.read(raw), segments.read(with_marks(raw, ALL, reshape=True))
    assert one is not None and other is not None
    assert one.finished().digests == other.finished().digests
