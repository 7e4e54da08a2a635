"""Sessions of agents, replayed to providers that cache prompts and bill by their published rules: directly
and through what the gateway does with a prompt, on a clock of their own.

`Claude` caches what is marked, as `tests.faults.messages_prompt` has it: four marks, 20 blocks of look-back,
a minimum, two lives that each hit renews. `Gpt` caches by itself, from 1,024 tokens on in steps of 128, on
many machines, each with a cache of its own: a prompt goes to the one that its first tokens and its key
choose, and elsewhere if more than 15 a minute do.
"""

import gzip
import hashlib
import heapq
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct
from tests.asking import asked
from tests.faults.messages_prompt import PrefixCache, blocks_of

from farthing.config import AnthropicProviderConfig, OpenAIProviderConfig
from farthing.dialects.chat.requests import request_writer
from farthing.dialects.messages.requests import request_reader
from farthing.models.pricing.cost import cost_nusd
from farthing.models.prompt_cache import segments
from farthing.models.prompt_cache.breakpoints import Preparer
from farthing.models.prompt_cache.habits import Habits
from farthing.models.prompt_cache.keys import PromptKeys
from farthing.models.prompt_cache.segments import Prefix
from farthing.models.prompt_cache.sessions import MemoryPromptCaches
from farthing.models.providers.host import HostFacts
from farthing.models.providers.kinds import make
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import Provider, SentPrompt
from farthing.types import Endpoint, Price, Prompt, Request, Sent, Target, Usage, replace

Json = dict[str, Any]
CLAUDE_PRICE: Final = Price(
    since="0000-00-00",
    input_pusd=2_000_000,
    output_pusd=10_000_000,
    cached_input_pusd=200_000,
    cache_write_pusd=2_500_000,
    cache_write_long_pusd=4_000_000,
)
GPT_PRICE: Final = Price(
    since="0000-00-00", input_pusd=1_250_000, output_pusd=10_000_000, cached_input_pusd=125_000
)
CLAUDE: Final = Target(
    name="anthropic/claude-sonnet-5", provider="anthropic", model="claude-sonnet-5", price=CLAUDE_PRICE
)
GPT: Final = Target(name="openai/gpt-5.2", provider="openai", model="gpt-5.2", price=GPT_PRICE)
WORDS: Final = (
    "build", "test", "file", "line", "error", "value", "path", "read", "write", "index", "cache", "token",
)  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Turn(NamedTuple):
    at_s: float
    session: str
    body: Json
    """Of Messages for a Claude, of chat completions for a GPT."""


# -- what providers bill ----------------------------------------------------------------------------


class Claude:
    """Anthropic's Messages."""

    target = CLAUDE

    def __init__(self, clock: Clock) -> None:
        self._cache = PrefixCache(clock)

    def bill(self, body: Json) -> Usage:
        reading = self._cache.read(body["model"], blocks_of(body))
        return Usage(
            input_tokens=reading.total,
            cached_tokens=reading.read,
            cache_write_5m_tokens=reading.written_5m,
            cache_write_1h_tokens=reading.written_1h,
        )


class Gpt:
    """OpenAI's chat completions, before writes had a price."""

    target = GPT
    MACHINES, A_MINUTE, STEP, LEAST, LIFE_S, ROUTED_CHARS = 50, 15, 128, 1_024, 300.0, 1_024

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: dict[tuple[int, str], float] = {}
        self._sent: dict[str, deque[float]] = {}

    def bill(self, body: Json) -> Usage:
        text = json.dumps([body.get("tools"), body["messages"]])
        machine, now_s = (
            self._machine(text[: self.ROUTED_CHARS], body.get("prompt_cache_key", "")),
            self._clock(),
        )
        tokens = len(text) // 4
        read, digest = 0, hashlib.blake2b(digest_size=12)
        for end in range(self.STEP, tokens + 1, self.STEP):
            digest.update(text[(end - self.STEP) * 4 : end * 4].encode())
            place = (machine, digest.hexdigest())
            if end >= self.LEAST:
                if read == end - self.STEP or (end == self.LEAST and not read):
                    read = end if self._until_s.get(place, 0.0) > now_s else read
                self._until_s[place] = now_s + self.LIFE_S
        return Usage(input_tokens=tokens, cached_tokens=read)

    def _machine(self, first: str, key: str) -> int:
        chosen, now_s = f"{key} {first}", self._clock()
        sent = self._sent.setdefault(chosen, deque())
        while sent and sent[0] <= now_s - 60.0:
            sent.popleft()
        sent.append(now_s)
        over = (len(sent) - 1) // self.A_MINUTE
        return int.from_bytes(hashlib.blake2b(f"{over} {chosen}".encode()).digest()[:4]) % self.MACHINES


# -- what the gateway does --------------------------------------------------------------------------


class Gateway:
    """The parts of the gateway that a prompt passes on its way up, called as `Caller` calls them."""

    def __init__(
        self, target: Target, clock: Clock, *, endpoint: str = "agents", translated: bool = False
    ) -> None:
        """`translated`: agents speak chat completions to a Claude."""
        self.target, self._translated = target, translated
        self._caches = MemoryPromptCaches(clock=clock)
        self.habits = Habits()
        self._preparer = Preparer(self.habits, PromptKeys(clock=clock), self._caches, clock=clock)
        self.endpoint = Endpoint(name=endpoint)
        self.bound: int | None = None
        """Of the tokens of a prompt, where a term of the endpoint asks for it."""
        self._provider = _provider(target)

    def through(self, turn: Turn, bill: Callable[[Json], Usage]) -> tuple[bytes, Usage]:
        """What went up, and what it was billed."""
        body, sent = self.started(turn)
        usage = bill(json.loads(body))
        if sent is not None:
            sent.told(usage, self.target.price)
        return body, usage

    def cost_us(self, turn: Turn, rounds: int = 300) -> dict[str, float]:
        """CPU of what is done to `turn` on its way up: to decide, and to write it without and with marks."""
        request, prompt = self._asked(turn)
        chosen = self._preparer.prepared(request, prompt, self.target, self._provider.capabilities)
        timed: dict[str, Callable[[], object]] = {
            "decide": lambda: self._preparer.prepared(
                request, prompt, self.target, self._provider.capabilities
            ),
            "plain": lambda: self._provider.encode(prompt, self.target, "chat", "r-1"),
            "marked": lambda: self._provider.encode(chosen, self.target, "chat", "r-1"),
        }
        found = {}
        for name, work in timed.items():
            began_s = time.process_time()
            for _ in range(rounds):
                work()
            found[name] = (time.process_time() - began_s) / rounds * 1e6
        return found

    def begin(self, turn: Turn, **changes: Any) -> bytes:
        """What goes up of a call that is not answered yet. `changes` are fields of its request."""
        return self.started(turn, **changes)[0]

    def started(self, turn: Turn, **changes: Any) -> tuple[bytes, SentPrompt | None]:
        """What goes up, and what is to be told of it."""
        request, prompt = self._asked(turn)
        request = replace(request, **changes)
        prompt = self._preparer.prepared(request, prompt, self.target, self._provider.capabilities)
        self._provider.unsaid(prompt, self.target, "chat")
        _, body = self._provider.encode(prompt, self.target, "chat", "r-1")
        sent = self._caches.sent(request, self.target, body)
        return body, self._preparer.sent(sent, request, self.target, prompt)

    def _asked(self, turn: Turn) -> tuple[Request, Prompt]:
        raw, sent, chat = json.dumps(turn.body).encode(), None, turn.body
        if self.target is CLAUDE and not self._translated:
            chat = request_writer.inner(request_reader.read(turn.body))
            sent = Sent(dialect="messages", raw=raw, body=turn.body, read=chat)
        elif self._translated:
            chat = request_writer.inner(request_reader.read(turn.body))
        request = asked(
            body=chat, session=turn.session, endpoint=self.endpoint, sent=sent, prompt_chars=len(raw)
        )
        prompt = Prompt(
            body=chat,
            input_tokens=len(raw) // 4,
            input_tokens_bound=self.bound,
            output_tokens_max=None,
            stream=False,
            sent=sent,
        )
        return request, prompt


def _provider(target: Target) -> Provider:
    claude = target is CLAUDE
    config = (
        AnthropicProviderConfig() if claude else OpenAIProviderConfig(base_url="https://api.openai.com/v1")
    )
    origin = HttpOrigin(target.provider, "127.0.0.1", 1, False)
    return make(target.provider, origin, config, path="/v1", host=HostFacts(cache_key=True))


class Outcome(Struct, kw_only=True):
    """One scenario, billed both ways, in nano-dollars."""

    calls: int = 0
    direct_nusd: int = 0
    gateway_nusd: int = 0
    worst_nusd: int = 0
    """The most that the gateway's bill was ever above the direct one."""
    largest_nusd: int = 0
    """What the largest prompt costs as plain input."""
    marked: int = 0
    """Calls that had marks or a key of ours."""
    follows: int = 0
    """Turns that go on from one before, by what the client sent."""
    same: int = 0
    """Of them, those whose beginning went up as it had before, byte for byte but for marks."""

    @property
    def saved(self) -> float:
        return 1 - self.gateway_nusd / max(1, self.direct_nusd)


def replay(
    turns: Iterable[Turn], provider: Callable[[Clock], Claude | Gpt], *, translated: bool = False
) -> Outcome:
    """Play `turns`, which are in the order of their time, both ways. What is written in answers costs the
    same either way, and is left out."""
    clock = Clock()
    direct, beside = provider(clock), provider(clock)
    gateway = Gateway(beside.target, clock, translated=translated)
    found = Outcome()
    begins: dict[str, tuple[Prefix, Prefix]] = {}
    for turn in turns:
        clock.now_s = 1_000.0 + turn.at_s
        plain = direct.bill(turn.body)
        body, usage = gateway.through(turn, beside.bill)
        found.calls += 1
        found.marked += b'"cache_control"' in body or b'"prompt_cache_key"' in body
        found.direct_nusd += _cost(beside.target, plain)
        found.gateway_nusd += _cost(beside.target, usage)
        found.worst_nusd = max(found.worst_nusd, found.gateway_nusd - found.direct_nusd)
        found.largest_nusd = max(
            found.largest_nusd, _cost(beside.target, Usage(input_tokens=usage.input_tokens))
        )
        sent, went = _prefix(json.dumps(turn.body).encode()), _prefix(body)
        if turn.session in begins:
            before = begins[turn.session]
            if before[0].parted(sent) is None:
                found.follows += 1
                found.same += before[1].parted(went) is None
        begins[turn.session] = (sent, went)
    return found


def _cost(target: Target, usage: Usage) -> int:
    cost = cost_nusd(target.price, usage)
    assert cost is not None
    return cost


def _prefix(body: bytes) -> Prefix:
    reading = segments.read(body)
    assert reading is not None
    return reading.finished()


# -- who asks ---------------------------------------------------------------------------------------


class Agents:
    """Draws sessions that grow."""

    def __init__(self, seed: int, *, system_words: int = 1_500, step_words: int = 250) -> None:
        self._random = random.Random(seed)
        self._system_words, self._step_words = system_words, step_words

    def words(self, count: int) -> str:
        return " ".join(self._random.choices(WORDS, k=count))

    def session(
        self,
        name: str,
        turns: int,
        pause_s: Callable[[random.Random], float],
        *,
        begin_s: float = 0.0,
        system: str | None = None,
        changes: Callable[[int, str], str] = lambda _, system: system,
        calls: int = 1,
        claude: bool = True,
    ) -> Iterator[Turn]:
        """One session: each turn adds a call of tools and its results. `changes` is what the system prompt
        is in a turn, `calls` how many tools are called at once."""
        system = self.words(self._system_words) if system is None else system
        messages: list[Json] = [{"role": "user", "content": f"{name}: {self.words(60)}"}]
        at_s = begin_s
        for number in range(turns):
            told = changes(number, system)
            if claude:
                body: Json = {
                    "model": CLAUDE.model, "max_tokens": 500, "system": told, "tools": TOOLS,
                    "messages": [*messages],
                }  # fmt: skip
            else:
                first = {"role": "system", "content": told}
                body = {"model": GPT.model, "tools": CHAT_TOOLS, "messages": [first, *messages]}
            yield Turn(at_s, name, body)
            at_s += pause_s(self._random)
            messages += self._step(number, calls, claude=claude)

    def _step(self, number: int, calls: int, *, claude: bool) -> list[Json]:
        ids = [f"call_{number}_{call}" for call in range(calls)]
        results = [self.words(max(2, self._step_words // calls)) for _ in ids]
        if claude:
            return [
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": self.words(30)}]
                    + [
                        {"type": "tool_use", "id": one, "name": "read", "input": {"path": one}} for one in ids
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": one, "content": result}
                        for one, result in zip(ids, results, strict=True)
                    ],
                },
            ]
        asked_for = [
            {"id": one, "type": "function", "function": {"name": "read", "arguments": "{}"}} for one in ids
        ]
        return [
            {"role": "assistant", "content": self.words(30), "tool_calls": asked_for},
            *(
                {"role": "tool", "tool_call_id": one, "content": result}
                for one, result in zip(ids, results, strict=True)
            ),
        ]


TOOLS: Final[list[Json]] = [
    {"name": name, "description": f"To {name}. " * 20, "input_schema": {"type": "object", "properties": {}}}
    for name in ("read", "write", "run")
]
CHAT_TOOLS: Final[list[Json]] = [
    {
        "type": "function",
        "function": {
            "name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"],
        },
    }
    for tool in TOOLS
]  # fmt: skip


def merged(*sessions: Iterable[Turn]) -> Iterator[Turn]:
    """All of them, in the order of time."""
    return heapq.merge(*sessions, key=lambda turn: turn.at_s)


def fixed(seconds: float) -> Callable[[random.Random], float]:
    return lambda _: seconds


def people(drawn: random.Random) -> float:
    """A tool takes seconds; now and then a person thinks, or goes for a meal."""
    return drawn.choices(
        (drawn.uniform(2, 20), drawn.uniform(60, 400), drawn.uniform(1_000, 6_000)), (0.85, 0.12, 0.03)
    )[0]


def scenarios(seed: int = 1) -> dict[str, Callable[[], Iterator[Turn]]]:  # noqa: C901 - a list of them
    """Traffic to a Claude by name. Hostile ones are made so that marks cannot pay."""

    def agents() -> Agents:
        return Agents(seed)

    def one_session() -> Iterator[Turn]:
        return agents().session("a", 40, fixed(12))

    def many_sessions() -> Iterator[Turn]:
        own = agents()
        return merged(*(own.session(f"s{n}", 15, people, begin_s=200.0 * n) for n in range(12)))

    def shared_prefix() -> Iterator[Turn]:
        own = agents()
        system = own.words(1_500)
        return merged(*(own.session(f"p{n}", 6, people, begin_s=40.0 * n, system=system) for n in range(30)))

    def one_shots_shared() -> Iterator[Turn]:
        own = agents()
        system = own.words(2_000)
        return merged(*(own.session(f"o{n}", 1, people, begin_s=20.0 * n, system=system) for n in range(150)))

    def many_calls_a_turn() -> Iterator[Turn]:
        return agents().session("wide", 20, fixed(20), calls=14)

    def half_hours() -> Iterator[Turn]:
        return agents().session("slow", 40, fixed(1_500))

    def changing_system() -> Iterator[Turn]:
        return agents().session(
            "changing", 40, fixed(15), changes=lambda number, system: f"It is {number // 10}. {system}"
        )

    def never_twice() -> Iterator[Turn]:
        own = agents()
        return merged(*(own.session(f"n{n}", 1, people, begin_s=5.0 * n) for n in range(150)))

    def just_too_late() -> Iterator[Turn]:
        return agents().session("late", 40, fixed(301))

    def later_than_any() -> Iterator[Turn]:
        return agents().session("rare", 40, fixed(3_700))

    def system_always_new() -> Iterator[Turn]:
        return agents().session(
            "clock", 60, fixed(10), changes=lambda number, system: f"Time {number:05}. {system}"
        )

    def alternating() -> Iterator[Turn]:
        own = agents()
        return merged(
            own.session("even", 30, fixed(3_900)), own.session("odd", 30, fixed(3_900), begin_s=1_950.0)
        )

    def good_then_bad() -> Iterator[Turn]:
        own = agents()
        good = own.session("good", 12, fixed(10))
        bad = (own.session(f"bad{n}", 1, people, begin_s=200.0 + 5 * n) for n in range(200))
        return merged(good, *bad)

    def trap() -> Iterator[Turn]:
        """Twice quick, so that a write looks right, then too late; again and again."""
        own = agents()
        sessions = (own.session(f"t{n}", 3, fixed(20), begin_s=7_000.0 * n) for n in range(4))
        after = (own.session(f"u{n}", 40, fixed(3_800), begin_s=30_000.0 + 60 * n) for n in range(3))
        return merged(*sessions, *after)

    def coin() -> Iterator[Turn]:
        """About as often in time as pays for a write, or a little less."""

        def pause_s(drawn: random.Random) -> float:
            return 30.0 if drawn.random() < 0.2 else 4_000.0

        return agents().session("coin", 120, pause_s)

    return {
        "one session": one_session,
        "many sessions, people between": many_sessions,
        "sessions with one system prompt": shared_prefix,
        "single questions, one system prompt": one_shots_shared,
        "14 tools at once": many_calls_a_turn,
        "25 minutes between turns": half_hours,
        "system prompt changes now and then": changing_system,
        "hostile: nothing comes twice": never_twice,
        "hostile: 301 s between turns": just_too_late,
        "hostile: over an hour between turns": later_than_any,
        "hostile: a clock in the system prompt": system_always_new,
        "hostile: two that take turns, too late": alternating,
        "hostile: good, then nothing comes twice": good_then_bad,
        "hostile: quick twice, then too late": trap,
        "hostile: in time one time of five": coin,
    }


PAYS: Final = (
    "one session",
    "many sessions, people between",
    "sessions with one system prompt",
    "single questions, one system prompt",
    "14 tools at once",
    "25 minutes between turns",
    "system prompt changes now and then",
    "hostile: 301 s between turns",
    "hostile: good, then nothing comes twice",
)
"""Scenarios in which marks pay: an hour's life does where 5 minutes are too short."""


def gpt_scenarios(seed: int = 1) -> dict[str, Callable[[], Iterator[Turn]]]:
    """Traffic to a GPT by name."""

    def few() -> Iterator[Turn]:
        own = Agents(seed)
        system = own.words(1_500)
        return merged(
            *(
                own.session(f"f{n}", 10, fixed(25), begin_s=31.0 * n, system=system, claude=False)
                for n in range(6)
            )
        )

    def crowd() -> Iterator[Turn]:
        own = Agents(seed)
        system = own.words(1_500)
        return merged(
            *(
                own.session(f"c{n}", 12, fixed(8), begin_s=1.1 * n, system=system, claude=False)
                for n in range(40)
            )
        )

    def never_twice() -> Iterator[Turn]:
        own = Agents(seed)
        return merged(*(own.session(f"n{n}", 1, people, begin_s=2.0 * n, claude=False) for n in range(100)))

    return {"few sessions": few, "a crowd with one system prompt": crowd, "nothing comes twice": never_twice}


def recorded(path: Path, sessions: int, *, claude: bool = True) -> Iterator[Turn]:
    """Sessions of a data set of agents as their turns went up, a new one each 45 s, with pauses as people
    make them."""
    drawn = random.Random(7)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(sessions), lines, strict=False)]
    return merged(*(_as_it_went(row, 45.0 * n, drawn, claude=claude) for n, row in enumerate(rows)))


def _as_it_went(row: Json, begin_s: float, drawn: random.Random, *, claude: bool) -> Iterator[Turn]:
    at_s, messages = begin_s, row["messages"]
    system = "\n".join(one["content"] for one in messages if one["role"] == "system")
    told = [one for one in messages if one["role"] in ("user", "assistant") and one.get("content")]
    for end, message in enumerate(told):
        if message["role"] == "assistant" and end:
            said = [{"role": one["role"], "content": one["content"]} for one in told[:end]]
            if claude:
                body: Json = {"model": CLAUDE.model, "max_tokens": 99, "system": system, "messages": said}
            else:
                body = {"model": GPT.model, "messages": [{"role": "system", "content": system}, *said]}
            yield Turn(at_s, str(row["id"]), body)
            at_s += people(drawn)
