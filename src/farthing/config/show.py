"""A configuration as TOML, as plain values, and the schema of the file. No secret is ever shown."""

from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from farthing.config import toml
from farthing.config.settings.gateway import AnyProviderConfig, Config, RouteConfig
from farthing.config.settings.options import Options
from farthing.config.settings.secret import Address, Secret
from farthing.config.settings.table import Table


def render(config: Config) -> str:
    """The effective configuration as TOML, including defaults; secrets only as `${NAME}`.

    Loads again to an equal configuration if the same environment variables are set.
    """
    return toml.dumps(plain(config))


def written(config: Config) -> str:
    """`config` as TOML without its defaults, as a person would write it; secrets only as `${NAME}`.

    Loads again to an equal configuration, like `render`.
    """
    return toml.dumps(_besides_defaults(config))


def _besides_defaults(value: Any) -> Any:
    """`plain(value)` without struct fields that have their default."""
    match value:
        case Table():
            settings = value.__struct_config__
            tag = {settings.tag_field: settings.tag} if settings.tag_field and not value.assumed else {}
            return tag | {
                field.name: _besides_defaults(item)
                for field in msgspec.structs.fields(value)
                if (item := getattr(value, field.name)) != _default(field)
            }
        case dict():
            return {key: _besides_defaults(item) for key, item in value.items()}
        case tuple():
            return [_besides_defaults(item) for item in value]
        case _:
            return plain(value)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def plain(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            settings = value.__struct_config__
            tag = {settings.tag_field: settings.tag} if settings.tag_field else {}
            return tag | {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case tuple():
            return [plain(item) for item in value]
        case Options():
            return value.shown()
        case Secret() | Address() | Path():
            return str(value) if isinstance(value, Path) else repr(value)
        case _:
            return value


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the file, for editors. Cross references are checked only by `loads`."""

    def hook(kind: type) -> dict[str, Any]:
        if kind is Secret:
            return {"type": "string", "pattern": "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$"}
        if kind in (Path, Address):
            return {"type": "string"}
        if kind is Options:
            return {"type": "object"}
        raise NotImplementedError(kind)

    found = msgspec.json.schema(Config, schema_hook=hook)
    for kind in (*get_args(RouteConfig), *get_args(AnyProviderConfig)):
        if kind.assumed:
            found["$defs"][kind.__name__]["required"].remove(kind.__struct_config__.tag_field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "farthing.toml",
        **cast(dict[str, Any], _numbers(msgspec.to_builtins(found))),
    }


def _numbers(node: Any) -> Any:
    """A Decimal is text in JSON, but a number in TOML."""
    if isinstance(node, dict):
        if node.get("format") == "decimal":
            return {key: item for key, item in node.items() if key != "format"} | {"type": "number"}
        return {key: _numbers(item) for key, item in node.items()}
    return [_numbers(item) for item in node] if isinstance(node, list | tuple) else node
