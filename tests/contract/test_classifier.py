"""What every Classifier does. A new classifier is one more line in CLASSIFIERS."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.asking import asked

from farthing.brain.classify.linear import LinearClassifier
from farthing.brain.classify.rules import RulesClassifier
from farthing.protocols import Classifier

CLASSIFIERS: dict[str, Classifier] = {"rules": RulesClassifier(), "linear": LinearClassifier()}
TASKS = frozenset(
    {"qa", "faq", "summarise", "classify", "tag", "sentiment", "extract", "translate", "rewrite", "code"}
    | {"reason", "creative", "chat", "agent_step", "other", "unknown"}
)
RISKS = frozenset(["legal", "medical", "financial", "compliance", "personal", "side_effects", "low"])


@pytest.fixture(params=CLASSIFIERS)
def classifier(request: pytest.FixtureRequest) -> Classifier:
    return CLASSIFIERS[request.param]


@pytest.mark.parametrize("name", CLASSIFIERS)
@given(text=st.text(max_size=500), chars=st.integers(0, 10**8))
@settings(deadline=None)
def test_every_trait_is_one_of_those_the_rules_may_name(name: str, text: str, chars: int) -> None:
    traits = asyncio.run(CLASSIFIERS[name].classify(asked(text, prompt_chars=chars)))
    assert traits.task in TASKS
    assert traits.risk in RISKS
    assert 0.0 <= traits.complexity <= 1.0
    assert traits.language == "unknown" or (len(traits.language) == 2 and traits.language.isalpha())
    assert traits.domain


def test_the_same_request_has_the_same_traits(classifier: Classifier) -> None:
    first = asyncio.run(classifier.classify(asked("Summarise the contract.")))
    assert asyncio.run(classifier.classify(asked("Summarise the contract."))) == first


def test_what_the_client_says_is_believed(classifier: Classifier) -> None:
    request = asked("Hi", task_type="faq", language="de", retrieval=True, context_tokens=99)
    traits = asyncio.run(classifier.classify(request))
    assert (traits.task, traits.language, traits.retrieval, traits.context_tokens) == ("faq", "de", True, 99)


def test_a_longer_prompt_has_more_tokens(classifier: Classifier) -> None:
    short = asyncio.run(classifier.classify(asked("Hi", prompt_chars=10)))
    long = asyncio.run(classifier.classify(asked("Hi", prompt_chars=100_000)))
    assert 0 <= short.input_tokens < long.input_tokens
