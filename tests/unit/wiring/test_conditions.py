"""Conditions that compare with a word that no request can have are told of; others are not."""

import pytest

from farthing import config
from farthing.brain.route.expression import Expression
from farthing.wiring.conditions import unknown_words

BASE = """
providers.a = { base_url = "http://h/v1" }
tiers.cheap = { targets = ["a/b"] }
[endpoints.faq]
task = "our-own"
"""


def told(when: str, base: str = BASE) -> tuple[str, ...]:
    text = f"{base}[[route.rules]]\nwhen = '''{when}'''\ntier = \"cheap\"\n"
    return unknown_words(config.loads(text, {}, condition=Expression))


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ('task in ["faqs"]', 'no request has the task "faqs"; write "faq"'),
        (
            'not stream and (tools or task == "clasify")',
            'no request has the task "clasify"; write "classify"',
        ),
        ('domain == "law"', 'no request has the domain "law"; '),
        ('"huge" == risk', 'no request has the risk "huge"; known: '),
        ('language in ["English"]', 'no request has the language "English"; write an ISO 639-1 code'),
        ('endpoint == "faqs"', 'no request has the endpoint "faqs"; write "faq"'),
        ('operation != "embedding"', 'no request has the operation "embedding"; write "embeddings"'),
    ],
)
def test_a_word_that_its_name_never_has_is_told_with_the_fix(when: str, said: str) -> None:
    (line,) = told(when)
    assert line.startswith(f"route.rules[0].when: {said}")


@pytest.mark.parametrize(
    "when",
    [
        'task in ["faq", "our-own", "unknown"] and domain == "legal"',
        'language in ["de", "yue", "unknown"] and endpoint in ["faq", "default"]',
        'tenant.name == "anybody" and tenant.plan == "gold" and model == "whatever"',
        'contains("faqs") and input_tokens > 5 and risk in ["personal", "low", "legal"]',
    ],
)
def test_what_a_request_can_have_is_not_told_of(when: str) -> None:
    assert told(when) == ()


def test_tenants_and_plans_are_those_of_the_keys_where_there_are_keys() -> None:
    digest = config.key_digest("sk-x")
    keyed = f'{BASE}[[keys]]\ntenant = "search"\nplan = "gold"\ndigest = "{digest}"\n'
    assert told('tenant.name == "search" and tenant.plan == "gold"', keyed) == ()
    (line,) = told('tenant.plan == "enterprise"', keyed)
    assert line == 'route.rules[0].when: no request has the tenant.plan "enterprise"; known: "gold"'


def test_the_default_rules_and_fixed_answers() -> None:
    assert unknown_words(config.loads(BASE, {})) == ()
    fixed = f'{BASE}[[answers]]\nname = "x"\ntext = "y"\nwhen = \'task == "faqs"\'\n'
    (line,) = unknown_words(config.loads(fixed, {}))
    assert line.startswith("answers[0].when: ")
