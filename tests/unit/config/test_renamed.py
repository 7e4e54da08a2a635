"""Old names of settings: the same configuration, a warning with its place and the new name, never both."""

from pathlib import Path

import pytest

from farthing import config
from farthing.config import Config, renamed
from farthing.errors import ConfigError

OLD = """[errands]
per_minute = 7
[cache]
again_s = 11
[endpoints.faq]
route_loss_max = 0.03
[endpoints.faq.quality]
retry_s = 5
[endpoints.faq.cache.semantic]
false_hits_max = 0.02
"""
NEW = """[jobs]
per_minute = 7
[cache]
reask_s = 11
[endpoints.faq]
route_risk_max = 0.03
[endpoints.faq.quality]
reask_s = 5
[endpoints.faq.cache.semantic]
risk_max = 0.02
"""
GONE = "now; the next release reads only that name"


def warnings(folder: Path, text: str, env: dict[str, str]) -> list[str]:
    """What is told of a file with `text`, without its folder."""
    path = folder / "farthing.toml"
    path.write_text(text)
    config.load(path, env)
    return [line.replace(f"{path}", "farthing.toml") for line in config.placed((), path, env)]


def test_every_old_key_is_in_the_example_and_means_what_the_new_one_does() -> None:
    assert len(renamed.KEYS) == 5, "add the key to OLD and NEW"
    assert config.loads(OLD, {}) == config.loads(NEW, {}) != Config()


def test_each_old_key_is_a_warning_with_its_line_and_the_new_name(tmp_path: Path) -> None:
    assert warnings(tmp_path, OLD, {}) == [
        f"farthing.toml:1: errands: is called jobs {GONE}",
        f"farthing.toml:4: cache.again_s: is called cache.reask_s {GONE}",
        f"farthing.toml:8: endpoints.faq.quality.retry_s: is called endpoints.faq.quality.reask_s {GONE}",
        f"farthing.toml:10: endpoints.faq.cache.semantic.false_hits_max: is called "
        f"endpoints.faq.cache.semantic.risk_max {GONE}",
        f"farthing.toml:6: endpoints.faq.route_loss_max: is called endpoints.faq.route_risk_max {GONE}",
    ]
    assert warnings(tmp_path, NEW, {}) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[cache]\nreask_s = 1\nagain_s = 2\n",
            "farthing.toml:3: cache.again_s: is called cache.reask_s now, and both are set; remove the old "
            "name",
        ),
        (
            "[jobs]\nat_once = 1\n[errands]\nper_minute = 2\n",
            "farthing.toml:3: errands: is called jobs now, and both are set; remove the old name",
        ),
        ("[errands]\nat_once = 1\nper_minut = 2\n", 'farthing.toml:3: errands: unknown key "per_minut"; did'),
        ("[cache]\nagain_s = -1\n", "farthing.toml:2: cache.again_s: expected at least 0"),
        ("[errands]\nqueue_max = 0\n", "farthing.toml:2: errands.queue_max: expected more than 0"),
        ("errands = 3\n", "farthing.toml:1: errands: expected a table, got the number 3"),
    ],
)
def test_a_fault_is_told_by_the_name_that_stands_there(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as why:
        config.loads(text, {})
    assert str(why.value).startswith(said)


def test_a_variable_with_an_old_name_wins_over_the_file_and_is_told(tmp_path: Path) -> None:
    env = {"FARTHING__CACHE__AGAIN_S": "3", "FARTHING__ENDPOINTS__FAQ__QUALITY__RETRY_S": "4"}
    for text in (OLD, NEW):
        read = config.loads(text, env)
        assert (read.cache.reask_s, read.endpoints["faq"].quality.reask_s) == (3.0, 4.0)
    assert warnings(tmp_path, NEW, env) == [
        f"FARTHING__CACHE__AGAIN_S is called FARTHING__CACHE__REASK_S {GONE}",
        "FARTHING__ENDPOINTS__FAQ__QUALITY__RETRY_S is called FARTHING__ENDPOINTS__FAQ__QUALITY__REASK_S "
        f"{GONE}",
    ]


def test_an_old_table_of_the_file_and_a_new_variable_are_one_table() -> None:
    read = config.loads("[errands]\nper_minute = 7\n", {"FARTHING__JOBS__AT_ONCE": "3"})
    assert (read.jobs.per_minute, read.jobs.at_once) == (7, 3)


def test_a_variable_that_holds_a_table_may_have_old_names_in_it() -> None:
    env = {"FARTHING__ENDPOINTS__FAQ__CACHE": "{ semantic = { false_hits_max = 0.02 } }"}
    assert (
        config.loads("[endpoints.faq]\ncalls_max = 1\n", env).endpoints["faq"].cache.semantic.risk_max == 0.02
    )


def test_old_names_in_the_table_of_a_variable_are_told_and_both_together_refused(tmp_path: Path) -> None:
    told = warnings(tmp_path, "", {"FARTHING__CACHE": "{again_s = 3}"})
    assert f"FARTHING__CACHE: cache.again_s: is called cache.reask_s {GONE}" in told
    with pytest.raises(ConfigError, match=r"cache\.again_s is called cache\.reask_s now, and both are set"):
        config.loads("", {"FARTHING__CACHE": "{again_s = 1, reask_s = 2}"})


@pytest.mark.parametrize(
    ("route", "env", "unused"),
    [
        ('threshold = 0.9\nprefer = "latency"', {}, ["threshold", "prefer"]),
        ('kind = "rules"\nexplore_share = 0.1', {}, ["explore_share"]),
        ('kind = "learned"\nmodel = "m.json"', {"FARTHING__ROUTE__KIND": "rules"}, ["model"]),
        ("", {"FARTHING__ROUTE__PREFER": "latency"}, ["prefer"]),
        ('kind = "llm"\nmodel = "m"\n[route.llm]\ntarget = "p/m"', {}, ["model"]),
    ],
)
def test_a_key_of_route_that_its_kind_never_used_is_left_out_and_told(
    tmp_path: Path, route: str, env: dict[str, str], unused: list[str]
) -> None:
    """A file that the last release printed has all of them."""
    text = f'[route]\n{route}\n[providers.p]\nbase_url = "http://a.test"\n[tiers.cheap]\ntargets = ["p/m"]\n'
    plain = config.loads(text, env)
    assert type(plain.route) is not config.LearnedRouteConfig
    told = "\n".join(warnings(tmp_path, text, env))
    for key in unused:
        assert f"route.{key}: is not used with kind = " in told


def test_both_variables_of_one_key_are_refused() -> None:
    with pytest.raises(ConfigError, match="FARTHING__CACHE__AGAIN_S too, its other name"):
        config.loads("", {"FARTHING__CACHE__AGAIN_S": "3", "FARTHING__CACHE__REASK_S": "4"})


def test_a_name_of_the_users_own_is_never_taken_for_an_old_key() -> None:
    text = '[endpoints.errands]\ncalls_max = 1\n[aliases]\nerrands = "auto"\n'
    read = config.loads(text, {})
    assert (read.endpoints["errands"].calls_max, read.aliases["errands"]) == (1, "auto")


@pytest.mark.parametrize(
    "env",
    [
        {"FARTHING__ERRANDS__AT_ONCE": "3", "FARTHING__JOBS": "{per_minute = 7}"},
        {"FARTHING__ERRANDS": "{per_minute = 7}", "FARTHING__JOBS__AT_ONCE": "3"},
        {"FARTHING__CACHE": "{again_s = 3}", "FARTHING__CACHE__REASK_S": "4"},
        {"FARTHING__CACHE": "{again_s = 3}", "FARTHING__CACHE__AGAIN_S": "4"},
        {"FARTHING__JOBS": "{per_minute = 7}", "FARTHING__JOBS__AT_ONCE": "3"},
    ],
)
def test_a_variable_for_a_table_and_one_for_a_key_in_it_are_refused_by_both_names(
    env: dict[str, str],
) -> None:
    with pytest.raises(ConfigError) as told:
        config.loads("", env)
    (line,) = str(told.value).splitlines()
    assert all(name in line for name in env) and "unset" in line
