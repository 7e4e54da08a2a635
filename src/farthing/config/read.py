"""Reads a TOML file and the environment into `Config`, or refuses with the line and the fix.

Secrets are written as `"${NAME}"` and taken from the environment; nothing else is.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from farthing.config import renamed, toml
from farthing.config.checks import Checks, Condition
from farthing.config.renamed import Renamed
from farthing.config.settings.gateway import Config
from farthing.config.settings.options import Options
from farthing.config.settings.secret import Address, Secret
from farthing.config.strict import FromVariable, Leaf, Reader, described, dotted, parsed, quoted
from farthing.config.toml import Path as Where
from farthing.config.variables import CONFIG_VARIABLE, PREFIX, making, old_names, parts_of, unread
from farthing.errors import ConfigError

CONFIG_BYTES_MAX = 1_048_576  # a configuration is written by hand; a larger file is a mistake
DEFAULT_NAME = Path("farthing.toml")
ENV_PREFIX = PREFIX
FAULTS_SHOWN_MAX = 20
VALUES = '; write "text", a number, true, false, ["a list"] or { a = "table" }'

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LIKE_A_VARIABLE = re.compile(r"\$\{[^{}]*\}?|\$\w+|\$?\{\{[^{}]*\}\}|%\w+%|env[:.]\w+|os\.environ/\w+")
"""Other ways to write a variable, as in shells, templates and the files of other programs."""
_BRACED = re.compile(r"\$\{[A-Za-z0-9_.:-]*\}")
_IN_A_VARIABLE = re.compile(r"[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*")
_SYNTAX = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)
_DECLARED = re.compile(r"Cannot declare \((.*)\) twice")
_QUOTED = re.compile(r"'([^']*)'")
_KEY_OF_ROW = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=")


def default_file(env: Mapping[str, str]) -> Path | None:
    """The configuration file if no option names one: FARTHING_CONFIG, even if it does not exist; else the
    first existing file of ./farthing.toml and farthing/farthing.toml in the XDG configuration directory; else
    None."""
    named = env.get(CONFIG_VARIABLE)
    if named:
        return at_home(Path(named))
    return next((path for path in default_places(env) if path.is_file()), None)


def at_home(path: Path) -> Path:
    """`path` with a leading `~` as the home directory, which a shell does not expand in `--config=~/…`, nor a
    unit or container file anywhere; as it is where no such home is known."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def default_places(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a configuration lies that neither an option nor a variable names, in this order."""
    home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or Path.home()) / ".config")
    return DEFAULT_NAME, home / "farthing" / DEFAULT_NAME


def no_file(env: Mapping[str, str]) -> ConfigError:
    """What to raise where a file is needed and `default_file` found none."""
    places = " nor ".join(map(str, default_places(env)))
    return ConfigError(
        f"no configuration file: {CONFIG_VARIABLE} is not set, and there is neither {places}; name one with "
        "--config, or write one with `farthing init`"
    )


def load(
    path: Path, env: Mapping[str, str], *, condition: Condition | None = None, secrets: bool = True
) -> Config:
    """Read the configuration file at `path`; see `loads`. Relative paths in it start at its directory.

    Raises:
        ConfigError: the file cannot be read, is larger than `CONFIG_BYTES_MAX`, or is refused by `loads`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as why:
        said = env.get(CONFIG_VARIABLE)
        named = " (FARTHING_CONFIG names it)" if said and path == at_home(Path(said)) else ""
        raise ConfigError(f"{path}: cannot be read: {why.strerror or why}{named}") from why
    if len(raw) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {CONFIG_BYTES_MAX} bytes; this is not a configuration")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        line = raw.count(b"\n", 0, why.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from why
    folder = path.absolute().parent
    return loads(text, env, name=str(path), folder=folder, condition=condition, secrets=secrets)


def loads(
    text: str,
    env: Mapping[str, str],
    *,
    name: str = "farthing.toml",
    folder: Path | None = None,
    condition: Condition | None = None,
    secrets: bool = True,
) -> Config:
    """Return the configuration that `text` and the `FARTHING__…` variables of `env` describe.

    Variables win over the file. The result is complete and valid, or ConfigError is raised. Without
    `condition` the expressions of rules and answers are not checked; whoever compiles them does that. Without
    `secrets` an unset secret is accepted, for commands that only look, in a shell that need not be the
    gateway's; its value is then a placeholder.

    Raises:
        ConfigError: one line for each fault, `name:line: path: what is wrong; the fix`.
    """
    text = text.replace("\r\n", "\n")
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(_syntax_fault(why, text, name)) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    read_secret = _secret_reader(env, None if secrets else "unset {}")
    leaves: dict[type, Leaf] = {
        Secret: read_secret,
        Options: _options_reader(read_secret),
        Path: _path_reader(folder),
        str: _read_text,
        Address: _address_reader(_secret_reader(env, None if secrets else "http://unset.invalid:1")),
    }
    reader = Reader(leaves)
    old, twice = renamed.rename(table)
    for one in twice:
        reader.fault(one.old, one.fault())
    variables = _override(table, env, reader)
    renamed.drop_unused(table)
    config = reader.read(Config, table, ())
    if not reader.faults:
        for path, message in Checks(config, condition).faults():
            reader.fault(path, message)
    if reader.faults:
        raise ConfigError(_fault_lines(reader.faults, Places(toml.lines(text), variables, name, old)))
    return cast(Config, config)


def placed(advice: Iterable[str], path: Path, env: Mapping[str, str]) -> list[str]:
    """`advice` about the file at `path`, whose lines may begin with a key, each prefixed with the place where
    that key was set; then the renamed keys of the file. Lines about variables come last: those that create
    entries which the file does not have, those with an old name, and those that are not read."""
    places, table, old = Places({}, {}, str(path)), dict[str, Any](), list[Renamed]()
    try:
        text = path.read_text("utf-8-sig").replace("\r\n", "\n")
        table = tomllib.loads(text, parse_float=Decimal)
        old, _ = renamed.rename(table)
        places = Places(toml.lines(text), {}, str(path), old)
    except (OSError, ValueError, RecursionError):
        pass  # it has changed since it was read
    about_variables = [*making(table, env), *old_names(env), *unread(env)]
    places.variables = _override(table, env, Reader({}))
    lines = [*advice, *(one.told() for one in old), *(one.told() for one in renamed.drop_unused(table))]
    return [*(places.before(line) for line in lines), *about_variables]


class Places:
    """Where the setting at a path was made: on a line of the file, or by a variable."""

    def __init__(
        self,
        lines: Mapping[Where, int],
        variables: Mapping[Where, str],
        name: str,
        old: Sequence[Renamed] = (),
    ) -> None:
        """`old`: the keys that the file has under the last release's name."""
        self.lines = {_moved(path, old, back=False): line for path, line in lines.items()} | dict(lines)
        self.variables = variables
        self.name = name
        self.old = old

    def written(self, path: Where) -> Where:
        """`path` by the names in the file."""
        said_by_variable = any(path[:length] in self.variables for length in range(1, len(path) + 1))
        return path if said_by_variable else _moved(path, self.old, back=True)

    def of(self, path: Where) -> tuple[int, str]:
        """The line (beyond all lines if there is none) and the place in words."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                return CONFIG_BYTES_MAX, self.variables[path[:length]]
            if path[:length] in self.lines:
                line = self.lines[path[:length]]
                return line, f"{self.name}:{line}"
        return CONFIG_BYTES_MAX, self.name

    def before(self, line: str) -> str:
        """`line`, which may begin with a key, prefixed with its place."""
        known = {dotted(path): path for path in (*self.lines, *self.variables)}
        key = line.partition(": ")[0]
        while key and key not in known:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return f"{self.of(known[key])[1] if key else self.name}: {line}"


def _moved(path: Where, old: Iterable[Renamed], *, back: bool) -> Where:
    """`path` with new names for old ones; with `back`, the old names."""
    for one in old:
        here, there = (one.new, one.old) if back else (one.old, one.new)
        if path[: len(here)] == here:
            return (*there, *path[len(here) :])
    return path


def _syntax_fault(why: tomllib.TOMLDecodeError, text: str, name: str) -> str:
    """The place of a syntax error and the fix. The text itself is not repeated: it may be a secret."""
    found = _SYNTAX.fullmatch(str(why))
    if found is None:
        return f"{name}: {why}"
    rows = text.split("\n")
    line = int(found["line"] or len(rows))
    row = rows[line - 1] if line <= len(rows) else ""
    at = f" (column {found['column']})" if found["column"] else ""
    key = _KEY_OF_ROW.match(row)
    what = _syntax_words(
        found["what"], "" if key is None else quoted(key[1]), row[key.end() :] if key else row
    )
    return f"{name}:{line}: not TOML: {what[0]}{at}{what[1]}"


def _syntax_words(what: str, key: str, rest: str) -> tuple[str, str]:
    """The parser's message, rewritten to name the key, and the fix; `rest` is the text after the key's
    `=`."""
    if what == "Invalid value":
        if not rest.strip():
            return f"{key or 'this'} has no value", VALUES
        return f"{key or 'this'} has a value that is not valid TOML", VALUES
    if what == "Cannot overwrite a value":
        return f"{key or 'this'} has a value already", "; keep one of the two"
    if what.startswith("Illegal character '\\n'"):
        return f"the text of {key or 'this value'} does not end on its line", "; close it with its quote"
    declared = _DECLARED.fullmatch(what)
    if declared is not None:
        return (
            f"the table [{'.'.join(re.findall(_QUOTED, declared[1]))}] is defined here a second time",
            "; join them",
        )
    return what, ""


def _fault_lines(faults: list[tuple[Where, str]], places: Places) -> str:
    """All faults, in the order of the file, those of variables last."""
    placed_faults: list[tuple[int, str]] = []
    for path, message in faults:
        line, place = places.of(path)
        about = places.written(path[:-1] if message.startswith("unknown key") else path)
        placed_faults.append(
            (line, f"{place}: {dotted(about)}: {message}" if about else f"{place}: {message}")
        )
    placed_faults.sort(key=lambda one: one[0])
    shown = [line for _, line in placed_faults[:FAULTS_SHOWN_MAX]]
    if len(placed_faults) > FAULTS_SHOWN_MAX:
        shown.append(f"{places.name}: and {len(placed_faults) - FAULTS_SHOWN_MAX} more")
    return "\n".join(shown)


def _override(table: dict[str, Any], env: Mapping[str, str], reader: Reader) -> dict[Where, str]:
    """Apply variables such as `FARTHING__SERVER__PORT=9000` to `table`; return which variable set which
    key."""
    given: dict[Where, str] = {}
    named = [(renamed.current(parts_of(name)), name) for name in env if name.startswith(ENV_PREFIX)]
    for parts, variable in sorted(named):  # what sets a table whole comes before what sets a key in it
        here: Any = table
        path: Where = ()
        for position, part in enumerate(parts):
            if not isinstance(here, dict) or not part:
                reader.fault(
                    path, f"{variable} does not name a key; give a list or a table as a whole, in TOML"
                )
                break
            key = next((known for known in here if known.lower().replace("-", "_") == part), part)
            path = (*path, key)
            if position < len(parts) - 1 and path in given:
                whole = f"is set whole by {given[path]}, and {variable} sets a key in it"
                reader.fault(path, f"{whole}; put the key into the table, and unset {variable}")
                break
            if position == len(parts) - 1:
                if path in given:
                    reader.fault(path, f"is set by {given[path]} too, its other name; unset the old one")
                here[key] = _value_of(env[variable], path, reader)
                given[path] = variable
            else:
                here = here.setdefault(key, {})
    return given


def _value_of(text: str, path: Where, reader: Reader) -> Any:
    """The value of a variable for the key at `path`: text until the expected type is known, except for a
    table that contains old names."""
    parts = [str(part) for part in path]
    table = parsed(text) if renamed.holds_old(parts) else None
    if not isinstance(table, dict):
        return FromVariable(text)
    table, _, twice = renamed.within(path, table)
    for one in twice:
        reader.fault(path, f"{dotted(one.old)} {one.fault()}")
    return table


def _secret_reader(env: Mapping[str, str], unset: str | None) -> Leaf:
    """`unset` is the placeholder for an unset variable, with `{}` for its name; None: an unset variable is a
    fault."""

    def read(value: Any, path: Where) -> Secret:
        found = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            # The value is not repeated: it may be the secret that does not belong here.
            variable = _variable_for(path)
            if isinstance(value, str) and _LIKE_A_VARIABLE.fullmatch(value.strip()):
                raise ValueError(
                    "this is not an environment variable: a name has letters, digits and underscores and "
                    f'does not begin with a digit; write "${{{variable}}}", with the name of yours'
                )
            raise ValueError(
                f'a secret must not be in the file; set an environment variable and write "${{{variable}}}"'
            )
        name = found[1]
        secret = env.get(name, "").strip()
        if not secret and unset is not None:
            return Secret(name, unset.format(name))
        if not secret:
            state = "is empty" if name in env else "is not set"
            raise ValueError(f"the environment variable {name} {state}; export {name}=… or remove the key")
        if not (secret.isascii() and secret.isprintable()):
            raise ValueError(f"the environment variable {name} contains characters that no key has")
        return Secret(name, secret)

    return read


def _variable_for(path: Where) -> str:
    """A variable name for the secret at `path`; those of a list are numbered from 1."""
    index = path[-1] if len(path) > 1 else ""
    if isinstance(index, int):
        *before, several = path[:-1]
        return f"{_variable_for((*before, str(several).removesuffix('s')))}_{index + 1}"
    for length in (2, 3, 4):
        name = re.sub(r"\W+", "_", dotted(path[-length:])).strip("_").upper()
        if name and not name[0].isdigit():
            return name
    return "NAME"


def _address_reader(read_secret: Leaf) -> Leaf:
    def read(value: Any, path: Where) -> Address:
        if isinstance(value, str) and _LIKE_A_VARIABLE.fullmatch(value.strip()):
            return Address(read_secret(value, path))
        return Address(_read_text(value, path))

    return read


def _options_reader(read_secret: Leaf) -> Leaf:
    """Reads the options of a plug-in: whatever TOML has but dates, secrets as everywhere."""

    def read(value: Any, path: Where) -> Options:
        table = parsed(value) if isinstance(value, FromVariable) else value
        if not isinstance(table, dict):
            raise ValueError(f"expected a table, got {described(table)}")
        return Options({key: option(item, (key,), path) for key, item in table.items()})

    def option(value: Any, inner: Where, path: Where) -> Any:
        if isinstance(value, FromVariable) and not _VARIABLE.fullmatch(value):
            value = parsed(value)
        match value:
            case dict():
                return {key: option(item, (*inner, key), path) for key, item in value.items()}
            case list():
                return [option(item, (*inner, index), path) for index, item in enumerate(value)]
            case Decimal():
                return float(value)
            case str() if _LIKE_A_VARIABLE.fullmatch(value.strip()) or _BRACED.fullmatch(value.strip()):
                try:
                    return read_secret(value, (*path, *inner))
                except ValueError as why:
                    raise ValueError(f"{dotted(inner)}: {why}") from None
            case bool() | int() | str():
                return value
            case _:
                raise ValueError(
                    f"{dotted(inner)}: a {type(value).__name__} cannot be given; write it as text"
                )

    return read


def _path_reader(folder: Path | None) -> Leaf:
    def read(value: Any, path: Where) -> Path:
        text = _read_text(value, path)
        if not text or "\0" in text:
            raise ValueError(f"expected a path, got {described(value)}")
        try:
            found = Path(text).expanduser()
        except RuntimeError as why:
            raise ValueError(f"{why}; write the whole path") from why
        return found if folder is None else folder / found

    return read


def _read_text(value: Any, path: Where) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text in quotes, got {described(value)}")
    if _VARIABLE.fullmatch(value) or _BRACED.fullmatch(value.strip()):
        raise ValueError(f"only secrets can be taken from the environment like this; {_instead(path)}")
    return str(value)


def _instead(path: Where) -> str:
    """What to do if a variable is named for something that is not secret."""
    if any(isinstance(part, int) or not _IN_A_VARIABLE.fullmatch(part) for part in path):
        return "write the text itself"  # elements of a list have no variable, nor do all names
    variable = ENV_PREFIX + "__".join(map(str, path)).upper().replace("-", "_")
    return f"set {variable} instead"
