"""Ways to one provider that misbehaves, side by side: directly, and through a gateway with a target or two.

A question carries a number, by which the provider tells it from others: a fault that strikes once strikes
each question once, however often a client asks it.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI
from tests.clients.scenarios import GOOD, REFUSES, Scenario
from tests.e2e.gateway import Running, running
from tests.faults.answers import text_of
from tests.faults.network import closed_port
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

Form = Literal["whole", "streamed", "gathered"]
Way = Literal["direct", "alone", "pair"]
Speech = Literal["openai", "anthropic"]
FORMS: Final[tuple[Form, ...]] = ("whole", "streamed", "gathered")

# With two targets the first is left early; alone it gets the time that it gets by default.
SOON = "first_byte_s = 0.6\nwhole_s = 1.0\nidle_s = 0.6"


@dataclasses.dataclass(slots=True)
class Outcome:
    """What came of one question. `error` is None where the client was content."""

    asked: str
    text: str = ""
    finish: str | None = None
    error: str | None = None
    """The name of the exception's class."""
    status: int | None = None
    code: str | None = None
    message: str = ""

    @property
    def answered(self) -> bool:
        """The client was content and has the whole answer."""
        return self.error is None and self.finish is not None and self.text == f"echo: {self.asked}"

    @property
    def silently_short(self) -> bool:
        return self.error is None and not self.answered

    def failed(self, error: Exception) -> "Outcome":
        self.error = type(error).__name__
        self.status = getattr(error, "status_code", None)
        self.code = getattr(error, "code", None)
        self.message = str(error)
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """Where to ask for a scenario."""

    base_url: str
    model: str


class Lab:
    """Providers and a gateway that stand for `scenarios`, for the time of `lab`."""

    def __init__(
        self, gateway: Running, first: FaultProvider, refused_url: str, speech: Speech = "openai"
    ) -> None:
        """`speech`: what its clients and providers speak."""
        self.gateway = gateway
        self.first = first
        self._refused_url = refused_url
        self._numbers = itertools.count(1)
        urls = (gateway.base_url, first.base_url, refused_url)
        self._clients: dict[str, OpenAI | Anthropic] = {
            url: OpenAI(base_url=url, api_key="any")
            if speech == "openai"
            else Anthropic(base_url=url.removesuffix("/v1"), api_key="any")
            for url in urls
        }

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def ask(self, door: Door, *, stream: bool, max_retries: int = 2, patience_s: float = 30.0) -> Outcome:
        """One new question by the official client for Python, with its defaults but for these."""
        outcome = Outcome(asked=self.question())
        fields = _fields(door, outcome.asked)
        client = self._clients[door.base_url].with_options(max_retries=max_retries, timeout=patience_s)
        try:
            if isinstance(client, Anthropic):
                _ask_anthropic(outcome, client, fields, stream=stream)
            elif stream:
                for chunk in client.chat.completions.create(**fields, stream=True):
                    _take(outcome, chunk)
            else:
                _take_whole(outcome, client.chat.completions.create(**fields))
        except Exception as error:  # noqa: BLE001  # whatever the client raises is what came of it
            return outcome.failed(error)
        return outcome

    def question(self) -> str:
        """One that nobody asked before."""
        return f"one two three four #{next(self._numbers)}"

    def door(self, scenario: Scenario, form: Form, way: Way, lane: str = "") -> Door:
        """`lane`: another target of the same kind, of whose health and retry budget nobody has used any."""
        name = f"{scenario.slug}-{form}"
        refuses = scenario.script(form) == REFUSES
        if way == "direct":
            return Door(self._refused_url if refuses else self.first.base_url, f"{name}~{lane}")
        if form == "gathered":
            model = f"farthing/{way}-{name}"
        elif way == "alone":
            model = f"{'nobody' if refuses else 'alone'}/{name}~{lane}"
        else:
            model = f"pair-{name}"
        return Door(self.gateway.base_url, model)


@contextmanager
def lab(
    scenarios: Iterable[Scenario], folder: Path, more: str = "", speech: Speech = "openai"
) -> Iterator[Lab]:
    """`more`: what else the gateway's configuration says. `speech`: as of `Lab`."""
    kind = "" if speech == "openai" else 'kind = "anthropic"\napi_key = "${PROVIDER_KEY}"\n'
    known = list(scenarios)
    scripts = {f"{each.slug}-{form}": each.script(form) for each in known for form in FORMS}
    seconds = {f"{each.slug}-{form}": each.second for each in known for form in FORMS}
    with (
        closed_port() as port,
        FaultProvider(on_call=_struck(scripts)) as first,
        FaultProvider(on_call=_struck(seconds)) as second,
    ):
        refused_url = f"http://127.0.0.1:{port}/v1"
        config = f"""
[providers.soon]
{kind}base_url = "{first.base_url}"
{SOON}
[providers.alone]
{kind}base_url = "{first.base_url}"
idle_s = 0.6
[providers.second]
{kind}base_url = "{second.base_url}"
[providers.nobody]
{kind}base_url = "{refused_url}"
[cache]
exact = "off"
{more}
"""
        tiers = "".join(_tiers(each, form) for each in known for form in FORMS)
        env = {} if speech == "openai" else {"PROVIDER_KEY": "sk-of-the-tests"}
        with running(config + tiers, folder, env) as gateway:
            place = Lab(gateway, first, refused_url, speech)
            try:
                yield place
            finally:
                place.close()


def _tiers(scenario: Scenario, form: Form) -> str:
    name = f"{scenario.slug}-{form}"
    refuses = scenario.script(form) == REFUSES
    alone, soon = (f"{'nobody' if refuses else where}/{name}" for where in ("alone", "soon"))
    text = f'[tiers."pair-{name}"]\ntargets = ["{soon}", "second/{name}"]\n'
    if form == "gathered":  # what a deadline may cut is asked for as a stream, and given whole
        text += f'[tiers."alone-{name}"]\ntargets = ["{alone}"]\n'
        for way in ("alone", "pair"):
            text += f'[endpoints."{way}-{name}"]\ntier = "{way}-{name}"\ndeadline_s = 30\n'
    return text


def _struck(scripts: dict[str, str]) -> Callable[[Call], str | None]:
    """The script of each call: its model's, counted for each question by itself."""

    def script(call: Call) -> str | None:
        found = scripts.get(call.model.partition("~")[0])
        if found is None or found == GOOD:
            return found
        number = text_of(call.json["messages"][-1]["content"]).rpartition("#")[2]
        return f"{found},seed={number}" if number.isdigit() else found

    return script


async def ask_async(client: AsyncOpenAI, door: Door, text: str, *, stream: bool) -> Outcome:
    outcome = Outcome(asked=text)
    fields = _fields(door, text)
    try:
        if stream:
            async for chunk in await client.chat.completions.create(**fields, stream=True):
                _take(outcome, chunk)
        else:
            _take_whole(outcome, await client.chat.completions.create(**fields))
    except Exception as error:  # noqa: BLE001  # as above
        return outcome.failed(error)
    return outcome


def _ask_anthropic(outcome: Outcome, client: Anthropic, fields: Any, *, stream: bool) -> None:
    if not stream:
        answer: Any = client.messages.create(max_tokens=1_000, **fields)
        outcome.text = "".join(part.text for part in answer.content)
        outcome.finish = answer.stop_reason
        return
    events: Any = client.messages.create(max_tokens=1_000, stream=True, **fields)
    for event in events:
        if event.type == "content_block_delta":
            outcome.text += event.delta.text
        elif event.type == "message_delta":
            outcome.finish = event.delta.stop_reason


def _fields(door: Door, text: str) -> Any:
    return {"model": door.model, "messages": [{"role": "user", "content": text}]}


def _take(outcome: Outcome, chunk: Any) -> None:
    for choice in chunk.choices:
        outcome.text += choice.delta.content or ""
        outcome.finish = choice.finish_reason or outcome.finish


def _take_whole(outcome: Outcome, answer: Any) -> None:
    outcome.text = answer.choices[0].message.content
    outcome.finish = answer.choices[0].finish_reason


# -- every scenario, by every way ---------------------------------------------------------------------

Met = dict[tuple[Scenario, Form, Way], list[Outcome]]
TRIES: Final[dict[Form, tuple[Way, ...]]] = {
    "whole": ("direct", "alone", "pair"),
    "streamed": ("direct", "alone", "pair"),
    "gathered": ("alone", "pair"),  # a form of the gateway's own
}


def meet_all(
    place: Lab, scenarios: Iterable[Scenario], rounds: int, *, lasting_rounds: int | None = None
) -> Met:
    """Ask for each scenario `rounds` times, one after the other; the scenarios beside each other.

    `lasting_rounds`: how often for what answers nobody; None: as often as for the others.
    """

    def meet(scenario: Scenario, form: Form, way: Way) -> list[Outcome]:
        patience_s = 30.0 if way == "pair" else scenario.patience_s
        times = rounds if scenario.ends == "answers" or lasting_rounds is None else lasting_rounds
        door = place.door(scenario, form, way)
        return [place.ask(door, stream=form == "streamed", patience_s=patience_s) for _ in range(times)]

    with ThreadPoolExecutor(32) as pool:
        asked = {
            (scenario, form, way): pool.submit(meet, scenario, form, way)
            for scenario in scenarios
            for form, ways in TRIES.items()
            for way in ways
        }
        return {key: future.result() for key, future in asked.items()}


# -- what is compared ---------------------------------------------------------------------------------


def worse(direct: Outcome, through: Outcome) -> str:
    """In what the gateway served this client worse than the provider itself; empty: in nothing."""
    if through.answered:
        return ""
    if through.silently_short:
        return f"passes {through.text!r} for a whole answer"
    if direct.answered:
        return f"fails where the provider answers: {through.error} {through.status} {through.message}"
    if direct.status is None or direct.status < 400:
        return ""  # it broke or was not there; the gateway says so in words of its own
    if direct.status == 401:
        # The gateway's key, not the client's, and what is said of it may hold a part of it.
        told = (through.status or 0) >= 500 and "key" in through.message
        return "" if told else f"does not say that its own key was refused: {through.error} {through.message}"
    if (through.error, through.status) != (direct.error, direct.status):
        return f"raises {through.error} {through.status}, not {direct.error} {direct.status}"
    words = _words(direct.message)
    if words not in through.message:
        return f"keeps the provider's words {words!r} to itself: {through.message}"
    if direct.code and direct.code != through.code and direct.code not in through.message:
        return f"keeps the provider's code {direct.code!r} to itself: {through.code} {through.message}"
    return ""


def _words(message: str) -> str:
    """What the provider said, out of what the client makes of it; empty where it said nothing of its own."""
    found = re.search(r"asked for a \d+", message)
    return found[0] if found else ""


def told(text: str) -> list[Outcome]:
    """What a client in another language printed: a JSON list of outcomes, without what was asked."""
    found = []
    for each in json.loads(text):
        error = each.pop("error", None) or {}
        renamed = {"error": error.pop("type", None), **error}
        found.append(Outcome(asked="", **each, **{k: v for k, v in renamed.items() if v is not None}))
    return found
