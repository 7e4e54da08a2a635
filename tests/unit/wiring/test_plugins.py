"""Plug-ins by entry points: what is found, what is loaded, and what is said where one cannot be."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.plugged import distribution
from tests.wired import parts_in_memory

from farthing import config as configuration
from farthing.cli.main import cli
from farthing.config import Config, Options, loads
from farthing.errors import ConfigError
from farthing.ledger.memory import MemoryLedger
from farthing.wiring.build import build
from farthing.wiring.plugins import Named, Plugins, find, installed, named, strays

TOYS = """
import sys
sys.modules[__name__].given = []

class Router:
    closed = ended = 0
    def __init__(self, options, context):
        sys.modules[__name__].given.append((options, context))
    async def route(self, request, traits):
        return None
    async def aclose(self):
        self.closed += 1
        Router.ended += 1

def broken(options, context):
    raise RuntimeError("no luck with " + options["token"])

def leaves(options, context):
    raise SystemExit(3)

def panics(options, context):
    raise BaseException("a panic of an extension")

def nothing(options, context):
    return object()

def misspelt(options, context):
    return options["chars_max"]

class AtOnce(Router):
    def route(self, request, traits):
        return None

class TooFew(Router):
    async def route(self, request):
        return None
"""
POINTS = {
    "farthing.routers:toy": "Router",
    "farthing.routers:broken": "broken",
    "farthing.routers:leaves": "leaves",
    "farthing.routers:panics": "panics",
    "farthing.routers:nothing": "nothing",
    "farthing.routers:absent": "not_there",
    "farthing.routers:misspelt": "misspelt",
    "farthing.routers:at_once": "AtOnce",
    "farthing.routers:too_few": "TooFew",
}
ENV = {"TOY_TOKEN": "sekrit-1234"}
ROUTE = """
[providers.a]
base_url = "http://127.0.0.1:1/v1"
[tiers.cheap]
targets = ["a/mini"]
[tiers.expensive]
targets = ["a/big"]
[route]
kind = "plugin"
plugin = "{plugin}"
[route.options]
token = "${{TOY_TOKEN}}"
depth = 2
share = 0.5
on = true
words = ["a", {{ b = "${{TOY_TOKEN}}" }}]
"""


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = distribution(tmp_path / "site", POINTS, TOYS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "toys", raising=False)
    return folder


def read(plugin: str = "toy") -> Config:
    return loads(ROUTE.format(plugin=plugin), ENV)


def wanted(plugin: str = "toy") -> Named:
    return next(named(read(plugin)))


# -- the configuration ------------------------------------------------------------------------------


def test_options_are_shown_without_their_secrets_and_read_back_equal() -> None:
    settings = read()
    text = configuration.render(settings)
    assert "sekrit" not in text and "sekrit" not in str(configuration.plain(settings))
    assert 'token = "${TOY_TOKEN}"' in text
    assert loads(text, ENV) == settings
    assert loads(configuration.written(settings), ENV) == settings
    assert "sekrit" not in repr(settings)


def test_the_secrets_of_options_are_taken_out_of_the_log() -> None:
    assert "sekrit-1234" in configuration.secrets_of(read(), {})[0]


def test_a_secret_whose_variable_is_not_set_is_a_fault_with_its_key() -> None:
    with pytest.raises(
        ConfigError, match=r"route.options: token: the environment variable TOY_TOKEN is not set"
    ):
        loads(ROUTE.format(plugin="toy"), {})


def test_a_date_cannot_be_an_option() -> None:
    with pytest.raises(ConfigError, match="day: a date cannot be given; write it as text"):
        loads('[route]\nkind = "plugin"\nplugin = "x"\noptions = { day = 2026-01-01 }\n', {})


def test_a_variable_may_give_an_option_and_all_of_them() -> None:
    base = '[route]\nkind = "plugin"\nplugin = "x"\n'
    one = loads(base, {"FARTHING__ROUTE__OPTIONS__DEPTH": "3"})
    both = loads(base, {"FARTHING__ROUTE__OPTIONS": '{ depth = 3, word = "three" }'})
    (first,), (second,) = named(one), named(both)
    assert first.options.values() == {"depth": 3}
    assert second.options.values() == {"depth": 3, "word": "three"}


def test_a_kind_without_a_plugin_is_refused() -> None:
    with pytest.raises(ConfigError, match='the key "plugin" is missing'):
        loads('[cache.store]\nkind = "plugin"\n', {})


def test_a_check_is_called_what_its_plugin_is_called_unless_it_is_said_otherwise() -> None:
    base = """
[endpoints.faq.cascade]
first = "cheap"
then = "expensive"
[[endpoints.faq.cascade.checks]]
kind = "plugin"
plugin = "tone"
[[endpoints.faq.cascade.checks]]
kind = "plugin"
plugin = "tone"
name = "other"
"""
    settings = loads(ROUTE.format(plugin="toy") + base, ENV)
    cascade = settings.endpoints["faq"].cascade
    assert cascade is not None and [check.name for check in cascade.checks] == ["tone", "other"]
    assert loads(configuration.render(settings), ENV) == settings


# -- what is installed ------------------------------------------------------------------------------


def test_what_is_installed_is_listed_and_nothing_is_loaded(toys: Path) -> None:
    found = [one for one in installed() if one.distribution == "toys"]
    assert {(one.kind, one.name, one.version) for one in found} == {
        ("router", name, "1.2") for name in (point.partition(":")[2] for point in POINTS)
    }
    assert "toys" not in sys.modules


def refused(plugin: str) -> str:
    with pytest.raises(ConfigError) as caught:
        find(wanted(plugin))
    return str(caught.value)


def test_a_missing_one_says_what_is_there_and_how_to_install(toys: Path) -> None:
    said = refused("tpy")
    assert 'route: no plug-in "tpy" is installed in the group farthing.routers; did you mean "toy"?' in said
    assert "toy (toys 1.2)" in said and "-m pip install NAME" in said and "farthing plugins" in said
    assert find(wanted("toy")).name == "toy"


def test_one_of_another_kind_or_of_a_misspelt_group_is_told(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {
        "farthing.guardrails:guardy": "Router",
        "farthing.router:lost": "Router",
        "farthing_checks:odd": "Router",
        "console_scripts:fine": "Router",
    }
    monkeypatch.syspath_prepend(str(distribution(tmp_path / "more", points, TOYS, name="others")))
    assert "guardy is a guardrail, not a router" in refused("guardy")
    assert 'others has it in the group "farthing.router", which is none: it must be "farthing.routers"' in (
        refused("lost")
    )
    ours = [(one.group, one.meant, one.name) for one in strays() if one.distribution == "others"]
    assert ours == [
        ("farthing.router", "farthing.routers", "lost"),
        ("farthing_checks", "farthing.checks", "odd"),
    ]
    shown = listed(tmp_path, ROUTE.format(plugin="toy"))
    assert 'NOT FOUND: its group "farthing.router" is none; write "farthing.routers"' in shown


def test_one_name_in_two_distributions_is_refused(toys: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(
        str(distribution(tmp_path / "more", {"farthing.routers:toy": "Router"}, TOYS, name="others"))
    )
    with pytest.raises(ConfigError, match=r"is in (toys 1.2, others 1.2|others 1.2, toys 1.2): uninstall"):
        Plugins().open(wanted())
    shown = listed(tmp_path, ROUTE.format(plugin="toy"), status=1).splitlines()
    assert len([line for line in shown if " toy " in line and "TWICE: uninstall" in line]) == 2
    assert not any("TWICE" in line for line in shown if " broken " in line)


def about(toys: Path, name: str) -> Path:
    """A file of the metadata of the toys."""
    return toys / "toys-1.2.dist-info" / name


def test_a_distribution_without_metadata_is_told_as_one_without_a_name(
    toys: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    about(toys, "METADATA").unlink()
    other = distribution(tmp_path / "more", {"farthing.routers:toy": "Router"}, TOYS, name="others")
    monkeypatch.syspath_prepend(str(other))
    told = [(one.distribution, one.version) for one in installed() if one.name == "toy"]
    assert told == [("a distribution without a name", ""), ("others", "1.2")]
    with pytest.raises(ConfigError, match="a distribution without a name"):
        Plugins().open(wanted())


def test_entry_points_that_cannot_be_read_are_told_with_whose_they_are(toys: Path) -> None:
    about(toys, "entry_points.txt").write_bytes(b"[farthing.routers]\ntoy = toys:Router \xff\n")
    for step in (installed, lambda: Plugins().open(wanted())):
        with pytest.raises(ConfigError, match=f"the entry points of toys in {toys} cannot be read: Unicode"):
            step()


def test_an_entry_point_that_names_nothing_is_told_as_it_stands(toys: Path) -> None:
    about(toys, "entry_points.txt").write_text("[farthing.routers]\ntoy = to the toys!\n")
    with pytest.raises(ConfigError, match="'to the toys!' is no `module:attribute`"):
        Plugins().open(wanted())


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (
            "broken",
            r'"broken" of toys 1.2 cannot be loaded: RuntimeError at toys.py:16: no luck with \[secret\]',
        ),
        ("leaves", '"leaves" of toys 1.2 cannot be loaded: SystemExit at toys.py:19: 3'),
        ("misspelt", "\"misspelt\" of toys 1.2 cannot be loaded: KeyError at toys.py:28: 'chars_max'"),
        ("at_once", r"no router: `route` is not async; write `async def route`, and `return` in it"),
        ("too_few", r"no router: `route\(request\)` must take \(request, traits\): too many positional"),
        ("nothing", '"nothing" of toys 1.2 gave an object, which is no router: it has no route'),
        ("panics", '"panics" of toys 1.2 cannot be loaded: BaseException at toys.py:'),
        ("absent", '"absent" of toys 1.2 cannot be loaded: AttributeError'),
    ],
)
def test_one_that_cannot_be_used_is_told_with_its_distribution(toys: Path, plugin: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Plugins().open(wanted(plugin))


@pytest.mark.parametrize(
    ("allows", "said"),
    [
        ("async def allows(self, texts): return True", "looks as if it took a list of texts"),
        ("async def allows(self, one: list[str]): return True", "looks as if it took a list of texts"),
        ("def allows(self, text): return True", "`allows` is not async"),
        ("async def allows(self): return True", "must take (text)"),
        ("async def allows(self, text):\n        yield True", "`allows` is not async"),
        ("async def allows(self, text: str) -> bool: return True", ""),
        ("allows = staticmethod(functools.partial(print))", ""),
    ],
)
def test_a_guardrail_that_would_let_everything_through_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allows: str, said: str
) -> None:
    source = f"import functools\nclass Guard:\n    def __init__(self, o, c): pass\n    {allows}\n"
    folder = distribution(tmp_path / "site", {"farthing.guardrails:g": "Guard"}, source, name="guards")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "guards", raising=False)
    one = Named(kind="guardrail", plugin="g", where="guard.plugins.g", options=Options())
    if not said:
        Plugins().open(one)
        return
    with pytest.raises(ConfigError) as caught:
        Plugins().open(one)
    assert said in str(caught.value)


def test_the_factory_gets_plain_options_and_the_tiers(toys: Path, tmp_path: Path) -> None:
    tiers: dict[str, Any] = {"cheap": ()}
    Plugins(tmp_path).open(wanted(), tiers=tiers)
    ((options, context),) = sys.modules["toys"].given
    assert options == {
        "token": "sekrit-1234",
        "depth": 2,
        "share": 0.5,
        "on": True,
        "words": ["a", {"b": "sekrit-1234"}],
    }
    assert (context.name, context.where, context.state_dir) == ("toy", "route", tmp_path)
    assert context.tiers == tiers


def test_a_reload_that_changes_nothing_keeps_it_and_the_end_closes_each_once(toys: Path) -> None:
    async def main() -> None:
        plugins = Plugins()
        first = plugins.open(wanted())
        assert plugins.open(wanted()) is first
        other = plugins.open(wanted(), tiers={"cheap": ()})
        assert other is not first
        await plugins.aclose()
        await plugins.aclose()
        assert [one.implementation.closed for one in (first, other)] == [1, 1]

    asyncio.run(main())


def test_a_gateway_without_plugins_looks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(**asked: Any) -> Any:
        raise AssertionError(f"looked for {asked}")

    monkeypatch.setattr("farthing.wiring.plugins.entry_points", looked)

    async def main() -> None:
        parts = parts_in_memory(MemoryLedger())
        build(loads(ROUTE.partition("[route]")[0].format(), {}), parts)
        await parts.aclose()

    asyncio.run(main())


# -- the command line -------------------------------------------------------------------------------


def listed(folder: Path, text: str, *arguments: str, status: int = 0) -> str:
    path = folder / "farthing.toml"
    path.write_text(text)
    result = CliRunner().invoke(cli, ["plugins", "--config", str(path), *arguments], standalone_mode=False)
    assert result.return_value == status, result.output
    return result.output


def test_the_command_says_what_is_used(toys: Path, tmp_path: Path) -> None:
    found = json.loads(listed(tmp_path, ROUTE.format(plugin="toy"), "--json"))
    ours = {one["name"]: one for one in found["plugins"] if one["distribution"] == "toys"}
    assert ours["toy"]["used"] == ["route"] and ours["broken"]["used"] == []
    assert ours["toy"] | {"used": []} == {
        "kind": "router",
        "group": "farthing.routers",
        "name": "toy",
        "distribution": "toys",
        "version": "1.2",
        "used": [],
        "twice": False,
    }
    assert found["missing"] == []


def test_the_command_says_what_is_missing(toys: Path, tmp_path: Path) -> None:
    text = ROUTE.format(plugin="tpy")
    assert json.loads(listed(tmp_path, text, "--json", status=1))["missing"] == [
        {"kind": "router", "name": "tpy", "used": ["route"]}
    ]
    shown = listed(tmp_path, text, status=1)
    assert "tpy                  NOT INSTALLED  route" in shown
    assert "toy                  toys 1.2  not used" in shown


def checked(tmp_path: Path, plugin: str, *arguments: str) -> Any:
    path = tmp_path / "farthing.toml"
    path.write_text(ROUTE.format(plugin=plugin))
    return CliRunner(env={**ENV, "HOME": str(tmp_path)}).invoke(
        cli, ["check", str(path), *arguments], standalone_mode=False
    )


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        ("tpy", 'no plug-in "tpy" is installed'),
        ("nothing", "gave an object, which is no router: it has no route"),
        ("broken", "cannot be loaded: RuntimeError"),
        ("absent", "cannot be loaded: AttributeError"),
        ("at_once", "`route` is not async"),
    ],
)
def test_check_refuses_what_the_start_would(toys: Path, tmp_path: Path, plugin: str, said: str) -> None:
    result = checked(tmp_path, plugin)
    assert result.return_value == 1 and said in result.stderr and "is good" not in result.output
    answer = json.loads(checked(tmp_path, plugin, "--json").stdout)
    assert answer["ok"] is False and said in answer["errors"][0]
    assert "sekrit" not in result.output + str(answer)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "cannot be loaded: ModuleNotFoundError"),
        ("\nraise RuntimeError('at import')\n", "cannot be loaded: RuntimeError at lost.py:2: at import"),
        ("def Router():\n    return 7\n", "cannot be loaded: TypeError"),
        ("def Router(options, context):\n    return None\n", "gave None, which is no router"),
    ],
)
def test_check_tells_of_what_cannot_be_imported_or_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, said: str
) -> None:
    points = {"farthing.routers:lost": "Router"}
    folder = distribution(tmp_path / "site", points, source or "", name="lost")
    if source is None:
        (folder / "lost.py").unlink()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "lost", raising=False)
    result = checked(tmp_path, "lost")
    assert result.return_value == 1 and said in result.stderr


def test_check_makes_and_closes_what_is_in_order(toys: Path, tmp_path: Path) -> None:
    result = checked(tmp_path, "toy")
    assert result.return_value == 0 and "is good" in result.output
    ((_, context),) = sys.modules["toys"].given
    assert [target.name for target in context.tiers["cheap"]] == ["a/mini"]
    assert sys.modules["toys"].Router.ended == 1
