"""The sources of a command: the configuration that `farthing serve` would use, and the ledger it names."""

import glob
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import msgspec

from farthing import config as configuration
from farthing.config import Config
from farthing.config.settings.gateway import EndpointSemanticConfig
from farthing.errors import ConfigError
from farthing.insight.report.failed import moment
from farthing.ledger import files, read
from farthing.types import Receipt

PLACES = ("state_dir", "ledger", "cache")
"""Tables and keys whose variables count even without a file: they name places."""

NO_FILE = "no configuration file was found"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's configuration as far as this shell knows it. Secrets may be unset."""

    config: Config
    file: Path | None
    """None: there is none, and `config` has the defaults."""
    state_dir: Path
    variables: frozenset[str]
    """The `FARTHING__…` variables that are set."""
    refused: str = ""
    """Why the file that was found is not used."""

    def known_by(self, knob: str, set_in_file: bool) -> str:
        """The source of a place's setting, in a few words."""
        variable = f"{configuration.ENV_PREFIX}{knob.upper().replace('.', '__')}"
        if variable in self.variables:
            return f"as {variable} says"
        if set_in_file and self.file is not None:
            return f"{knob} of {self.file}"
        return ""

    @property
    def state_told(self) -> str:
        """Why the state directory is where it is."""
        origin = self.known_by("state_dir", self.config.state_dir is not None)
        if origin:
            return origin
        if self.file is not None:
            return f"the default state directory, for {self.file}"
        return f"the default state directory; {self.refused or NO_FILE}"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a report."""

    ledgers: tuple[Path, ...]
    """Directories of segments, each once; at least one."""
    told: str
    """Where that was specified."""
    own: bool
    """Whether it is the ledger of `settings`, so that the state directory's files belong to it."""
    settings: Settings

    @property
    def ledger(self) -> Path:
        return self.ledgers[0]

    @property
    def state_dir(self) -> Path:
        return self.settings.state_dir

    @property
    def targets_s(self) -> dict[str, float]:
        """Endpoint to its contract's target latency."""
        endpoints = self.settings.config.endpoints.items()
        return {name: one.target_s for name, one in endpoints if one.target_s is not None}

    @property
    def semantic(self) -> dict[str, EndpointSemanticConfig]:
        """The semantic cache of every endpoint of the configuration."""
        return {name: one.cache.semantic for name, one in self.settings.config.endpoints.items()}

    @property
    def config(self) -> Config | None:
        """None: no file was found."""
        return None if self.settings.file is None else self.settings.config

    def line(self) -> str:
        """A line of text that names the ledger."""
        several = "s" if len(self.ledgers) > 1 else ""
        return f"ledger{several} {', '.join(map(str, self.ledgers))} ({self.told})"


def settings(config: Path | None, env: Mapping[str, str], *, lenient: bool = False) -> Settings:
    """The configuration that `farthing serve` would read: `config`, else the file it finds by itself, else
    the defaults and the variables that name places. Unset secrets are accepted.

    With `lenient`, a file that was only found, not named, is ignored if it is invalid.

    Raises:
        ConfigError: the file is invalid.
    """
    file = config or configuration.default_file(env)
    refused = ""
    if file is not None:
        try:
            return _settings(configuration.load(file, env, secrets=False), file, env)
        except ConfigError as why:
            if config is not None or not lenient:
                raise
            refused = f"the configuration that was found is refused: {str(why).partition(chr(10))[0]}"
    placing = {
        name: value
        for name, value in env.items()
        if name.removeprefix(configuration.ENV_PREFIX).lower().split("__")[0] in PLACES
    }
    found = configuration.loads("", placing, name="the environment", folder=Path.cwd(), secrets=False)
    return _settings(found, None, env, refused)


def _settings(config: Config, file: Path | None, env: Mapping[str, str], refused: str = "") -> Settings:
    return Settings(
        config=config,
        file=file,
        state_dir=configuration.state_dir(config, env),
        variables=frozenset(name for name in env if name.startswith(configuration.ENV_PREFIX)),
        refused=refused,
    )


def locate(
    ledger: Path | Sequence[Path] | None,
    config: Path | None,
    env: Mapping[str, str],
    *,
    lenient: bool = False,
) -> Source:
    """The ledgers at `ledger`, else the one of the configuration that `settings` finds.

    A path may be a pattern (`/data/*/ledger`), or the directory that contains a ledger. With `lenient` an
    invalid configuration does not matter if a ledger is named.

    Raises:
        ConfigError: the configuration is invalid, or there is no ledger; the message says what helps.
    """
    given = (ledger,) if isinstance(ledger, Path) else tuple(ledger or ())
    known = settings(config, env, lenient=lenient and bool(given))
    own = known.config.ledger.path or known.state_dir / "ledger"
    if given:
        found = _each_once(one for path in given for one in _matching(path))
        return Source(
            ledgers=found,
            told="--ledger",
            own=config is not None or [one.resolve() for one in found] == [own.resolve()],
            settings=known,
        )
    origin = known.known_by("ledger.path", known.config.ledger.path is not None) or known.state_told
    if not own.is_dir():
        raise ConfigError(f"no ledger at {own} ({origin}): {_help(known)}")
    return Source(ledgers=(own,), told=origin, own=True, settings=known)


def _help(known: Settings) -> str:
    if known.file is not None:
        return (
            "no gateway has run with this configuration; start one with "
            f"`farthing serve --config {known.file}`, or name another ledger with --ledger"
        )
    return (
        "name the gateway's file with --config or its ledger with --ledger; a gateway that has never run "
        "has none"
    )


def _matching(path: Path) -> list[Path]:
    """The directories that `path` matches.

    Raises:
        ConfigError: there is none.
    """
    if path.is_dir():
        return [_ledger_in(path)]
    found = [_ledger_in(Path(one)) for one in sorted(glob.glob(str(path))) if Path(one).is_dir()]
    if not found:
        raise ConfigError(
            f"--ledger: no ledger at {path}; name the directory with the segments (w0-00000000.seg …), or "
            "leave --ledger out to read the ledger of the configuration"
        )
    return found


def _ledger_in(path: Path) -> Path:
    """`path`, or the ledger in it if it is a state directory."""
    inner = path / "ledger"
    return inner if inner.is_dir() and next(files.segment_paths(path), None) is None else path


def _each_once(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Remove duplicates by the real place, whatever its names."""
    found: dict[Path, Path] = {}
    for path in paths:
        found.setdefault(path.resolve(), path)
    return tuple(found.values())


def unknown_endpoint(name: str, seen: Iterable[str], config: Config | None) -> str:
    """The message when nothing was found about the endpoint `name`: that it does not exist, with the existing
    ones, or that it is configured but had no requests. `seen` are the endpoints with requests."""
    with_requests = sorted(set(seen))
    configured = set() if config is None else set(config.endpoints)
    origin = (
        f"requests came to {listed(with_requests)}" if with_requests else "no requests came to any endpoint"
    )
    if name in configured or name == "default":
        return f"no requests came to the endpoint {name!r} in that time; {origin}"
    known = sorted({*with_requests, *configured})
    near = get_close_matches(name, known, 1)
    if not known:
        return f"there is no endpoint {name!r}; {origin}"
    there = f"there is only {known[0]!r}" if len(known) == 1 else f"there are {listed(known)}"
    if near:
        return f"there is no endpoint {name!r}; did you mean {near[0]!r}? {there[0].upper()}{there[1:]}"
    return f"there is no endpoint {name!r}; {there}"


def check_endpoint(name: str, settings: Settings, ledgers: Sequence[Path] = (), *, own: bool = True) -> None:
    """`own`: `ledgers` are those of `settings`, whose endpoints count then. Where none is known at all,
    nothing is said of this one.

    Raises:
        ConfigError: neither the configuration nor a ledger has the endpoint; the message names those that
            there are.
    """
    config = settings.config if own and settings.file is not None else None
    if name == "default" or (config is not None and name in config.endpoints):
        return
    seen: set[str] = {"default"} if config is not None else set()
    for ledger in ledgers:
        for row in read.read(ledger, None):
            if isinstance(row, Receipt):
                if row.endpoint == name:
                    return
                seen.add(row.endpoint)
    if seen:
        raise ConfigError(unknown_endpoint(name, seen, config))


def nothing_there(ledgers: Sequence[Path], span: tuple[float | None, float]) -> str:
    """The message when `ledgers` have no requests in a period, `[since, until)` in Unix seconds."""
    newest = [one for ledger in ledgers for one in read.recent(ledger, 1)[-1:]]
    if not newest:
        return "the ledger has no requests yet: send one to the gateway, or name another ledger with --ledger"
    last = max(one.at_unix_s for one in newest)
    if span[0] is not None and last < span[0]:
        return f"the newest request arrived at {moment(last)}: give an earlier --since, or --since all"
    return f"no request arrived in that time; the newest did at {moment(last)}"


NAMES_SHOWN = 20


def listed(names: Sequence[str]) -> str:
    """`names` as text, at most `NAMES_SHOWN` of them."""
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
