"""The table of a cascade: what it needs, and what it refuses by its key."""

import pytest

from farthing.config import Config, PlainCheckConfig, SchemaCheckConfig, loads
from farthing.errors import ConfigError
from farthing.types import Target
from farthing.wiring.cascade import CascadeParts, build_cascades

TOML = """
[providers.a]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["a/mini"]
[tiers.expensive]
targets = ["a/big"]
[endpoints.e.cascade]
"""
GOOD = 'first = "cheap"\nthen = "expensive"\n'


def read(table: str) -> Config:
    return loads(TOML + table, {})


def no_target(name: str) -> Target | None:
    return None


def test_without_checks_the_free_ones_are_made() -> None:
    cascade = read(GOOD).endpoints["e"].cascade
    assert cascade is not None
    assert cascade.checks == (PlainCheckConfig(), SchemaCheckConfig())


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('first = "cheap"', '"then" is missing'),
        ('first = "cheep"\nthen = "expensive"', "endpoints.e.cascade.first: unknown tier"),
        ('first = "cheap"\nthen = "cheap"', "the same tier twice"),
        (f"{GOOD}checks = []", "nothing would ever be escalated"),
        (f'{GOOD}checks = [{{ kind = "guess" }}]', "expected one of"),
        (f'{GOOD}checks = [{{ kind = "judge", target = "b/x" }}]', "unknown provider"),
        (f'{GOOD}checks = [{{ kind = "judge" }}]', '"target" is missing'),
        (f'{GOOD}checks = [{{ kind = "plain" }}, {{ kind = "plain" }}]', "every name once"),
        (f'{GOOD}checks = [{{ kind = "plain", name = "a b" }}]', "letters, digits"),
        (f'{GOOD}checks = [{{ kind = "logprobs" }}, {{ kind = "consistency" }}]', "room for one score"),
        (f'{GOOD}checks = [{{ kind = "logprobs", score_min = 1.5 }}]', "at most 1"),
        (f'{GOOD}checks = [{{ kind = "consistency", samples = 9 }}]', "at most 8"),
        (f'{GOOD}checks = [{{ kind = "consistency", samples = 0 }}]', "more than 0"),
        (f'{GOOD}streams = "maybe"', 'expected one of "wait", "skip"'),
        (f"{GOOD}within_s = 0", "more than 0"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(table: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"endpoints\.e\.cascade") as refused:
        read(table)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "check", ['{ kind = "regex", pattern = "(" }', '{ kind = "schema", file = "/no/such/file.json" }']
)
def test_what_cannot_be_used_is_refused_at_the_start_with_the_name_of_the_check(check: str) -> None:
    settings = read(f"{GOOD}checks = [{check}]")
    with pytest.raises(ConfigError, match=r"endpoints\.e\.cascade: the check (regex|schema):"):
        build_cascades(settings, CascadeParts(), no_target)


def test_checks_are_made_from_cheap_to_dear() -> None:
    settings = read(
        f"""{GOOD}checks = [
  {{ kind = "consistency", score_min = 0.5 }}, {{ kind = "judge", target = "a/big" }},
  {{ kind = "command", command = ["true"] }}, {{ kind = "regex", pattern = "x" }},
  {{ kind = "schema" }}, {{ kind = "plain" }},
]"""
    )
    cascade = build_cascades(settings, CascadeParts(), no_target).of("e")
    assert [check.name for check in cascade.checks] == [
        "plain",
        "schema",
        "regex",
        "command",
        "judge",
        "consistency",
    ]
    assert [check.name for check in cascade.measures] == ["consistency"] and cascade.alternatives is None


def test_an_endpoint_without_a_cascade_goes_by_what_can_be_seen_of_the_answer() -> None:
    cascade = build_cascades(read(GOOD), CascadeParts(), no_target).of("another")
    assert [check.name for check in cascade.checks] == ["plain"] and cascade.first is None
