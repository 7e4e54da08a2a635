"""A request that is written in another dialect is written once, and forgotten when it has gone up."""

import gc
import weakref

from farthing.dialects.written import Written
from farthing.models.providers.translated import Translations
from farthing.protocols import ALL_SAID
from farthing.types import Prompt, Target


class Body(dict[str, object]):
    """A body that tells whether anybody still holds it."""


class Writer:
    def __init__(self, unsaid: tuple[str, ...] = (), yielded: tuple[str, ...] = ()) -> None:
        self._unsaid, self._yielded = unsaid, yielded
        self.asked: list[tuple[Prompt, str]] = []
        self.bodies: list[weakref.ref[Body]] = []

    def __call__(self, prompt: Prompt, target: Target) -> Written:
        self.asked.append((prompt, target.model))
        body = Body(model=target.model, said=prompt.body["said"])
        self.bodies.append(weakref.ref(body))
        return Written(body, self._unsaid, self._yielded, {"n": "it has one answer"})

    @property
    def held(self) -> int:
        gc.collect()
        return sum(body() is not None for body in self.bodies)


def prompt(said: str = "hello") -> Prompt:
    body = {"said": said}
    return Prompt(body=body, stream=False, input_tokens=1, input_tokens_bound=None, output_tokens_max=None)


def target(model: str = "m") -> Target:
    return Target(name=f"p/{model}", provider="p", model=model)


def test_a_request_is_written_once_and_forgotten_when_it_goes_up() -> None:
    writer = Writer()
    translations = Translations(writer, ())
    asked = prompt()
    assert translations.unsaid(asked, target()) is ALL_SAID
    assert translations.unsaid(asked, target()) is ALL_SAID
    assert translations.body(asked, target()) == {"model": "m", "said": "hello"}
    assert len(writer.asked) == 1 and writer.held == 0
    assert translations.body(asked, target()) == {"model": "m", "said": "hello"}, "as another attempt does"
    assert len(writer.asked) == 2


def test_another_model_or_another_request_of_the_same_words_is_written_for_itself() -> None:
    writer = Writer()
    translations = Translations(writer, ())
    asked, same = prompt(), prompt()
    translations.unsaid(asked, target("m"))
    assert translations.body(asked, target("other"))["model"] == "other"
    translations.unsaid(asked, target("m"))
    translations.body(same, target("m"))
    assert [(one is asked, model) for one, model in writer.asked] == [
        (True, "m"),
        (True, "other"),
        (True, "m"),
        (False, "m"),
    ]


def test_what_will_not_be_sent_is_forgotten_at_once() -> None:
    writer = Writer(("n", "seed"), ("top_k",))
    refused = Translations(writer, ("n",))
    told = refused.unsaid(prompt(), target())
    assert (told.names, told.gave_way, told.reasons) == (
        ("n", "seed"),
        ("top_k",),
        {"n": "it has one answer"},
    )
    assert writer.held == 0

    kept = Writer(("n",))
    translations = Translations(kept, ("n", "seed"))
    asked = prompt()
    translations.unsaid(asked, target())
    translations.body(asked, target())
    assert len(kept.asked) == 1, "it is sent without what may be left out"
