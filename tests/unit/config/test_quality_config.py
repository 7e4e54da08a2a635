"""What a configuration may say of quality, and what it is told when that cannot be."""

import asyncio
from pathlib import Path

import pytest

from farthing import config
from farthing.config import Config, RegexCheckConfig, SchemaCheckConfig
from farthing.errors import ConfigError
from farthing.evaluation.checks.delivered import CheckResources
from farthing.wiring.quality import build_tests

PROVIDER = """
[providers.a]
base_url = "http://127.0.0.1:1/v1"
[endpoints.faq.quality]
"""


def loaded(text: str) -> Config:
    return config.loads(PROVIDER + text, {})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("judge_share = 0.1", "there is no judge; add judge"),
        ('judge = "b/model"', "unknown provider"),
        ('judge = "a/m"\njudge_share = 1.5', "at most 1"),
        ("reask_s = -1", "at least 0"),
        ('[[endpoints.faq.quality.checks]]\nkind = "spell"', '"schema", "exact", "regex", "command"'),
        ('[[endpoints.faq.quality.checks]]\nkind = "exact"', '"file" is missing'),
        ('[[endpoints.faq.quality.checks]]\nkind = "command"\ncommand = []', "no program"),
        ('[[endpoints.faq.quality.checks]]\nkind = "schema"\nname = "a b"', "letters, digits"),
        ('[[endpoints.faq.quality.checks]]\nkind = "schema"\n' * 2, "already"),
        (
            '[[endpoints.faq.quality.checks]]\nkind = "command"\ncommand = ["x"]\ntimeout_s = 0',
            "more than 0",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=r"farthing\.toml:\d+: ") as refused:
        loaded(text)
    assert fault in str(refused.value)


def test_by_default_nothing_is_noted_and_with_a_judge_repeats_are_too() -> None:
    quality = Config().endpoints.get("faq", config.EndpointConfig()).quality
    assert (quality.judge, quality.judge_share, quality.checks) == (None, 0.0, ())
    assert quality.reask_window_s == 0.0
    assert config.QualityConfig(judge="a/b").reask_window_s == 60.0
    assert config.QualityConfig(judge="a/b", reask_s=0.0).reask_window_s == 0.0
    assert config.QualityConfig(reask_s=5.0).reask_window_s == 5.0


def test_a_check_that_cannot_be_used_is_named_by_its_key(tmp_path: Path) -> None:
    bad = tmp_path / "schema.json"
    bad.write_text("[1]")
    good = RegexCheckConfig(pattern="x")
    for check, why in (
        (RegexCheckConfig(pattern="("), "the pattern is invalid"),
        (SchemaCheckConfig(file=bad), "a JSON Schema is an object"),
        (SchemaCheckConfig(file=tmp_path / "none.json"), "cannot be read"),
    ):
        with pytest.raises(ConfigError) as refused:
            build_tests("faq", config.QualityConfig(checks=(good, check)), CheckResources())
        assert str(refused.value).startswith("endpoints.faq.quality.checks[1]: ")
        assert why in str(refused.value)


def test_a_bench_that_was_never_used_closes() -> None:
    async def main() -> None:
        bench = CheckResources()
        await bench.aclose()
        await bench.aclose()

    asyncio.run(main())
