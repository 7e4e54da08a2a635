"""docs/configuration.md names every key with its type and default, and its examples load."""

import re
import types
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest

from farthing import config
from farthing.config import Config, Options, Secret, toml
from farthing.config.settings.secret import Address
from farthing.models.discovery.presets import PRESETS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "configuration.md"
TEXT = {"OPENAI_API_KEY": "sk-example"}

Field = msgspec.structs.FieldInfo


def parts(kind: Any) -> list[Any]:
    """The types a key may have, without None."""
    if get_origin(kind) in (Union, types.UnionType):
        return [part for part in get_args(kind) if part is not types.NoneType]
    return [kind]


def tables(kind: Any, path: str) -> list[tuple[str, type[msgspec.Struct]]]:
    """Heading and struct of every table that a value of `kind` is or holds."""
    found: list[tuple[str, type[msgspec.Struct]]] = []
    options = parts(kind)
    for option in options:
        if get_origin(option) is tuple:
            inner = tables(get_args(option)[0], path)
            found += [(re.sub(r"^\[(.*?)\]", r"[[\1]]", title), struct) for title, struct in inner]
        elif get_origin(option) is dict:
            found += tables(get_args(option)[1], f"{path}.NAME")
        elif isinstance(option, type) and issubclass(option, msgspec.Struct):
            kinds = f' kind = "{option.__struct_config__.tag}"' if len(options) > 1 else ""
            found.append((f"[{path}]{kinds}", option))
    return found


def sections() -> dict[str, list[Field]]:
    """Heading -> the keys of its table that are no tables themselves, in the order of the structs."""
    found: dict[str, list[Field]] = {}

    def visit(title: str, path: str, struct: type[msgspec.Struct]) -> None:
        fields = msgspec.structs.fields(struct)
        shared = struct.__mro__[1]
        if " kind" in title and msgspec.structs.fields(shared):  # what every kind has stands once, above them
            below = re.sub(r" kind.*", "", title)
            visit(below, path, shared) if below not in found else None
            common = {(one.name, repr(one.type), repr(one.default)) for one in msgspec.structs.fields(shared)}
            fields = tuple(
                one for one in fields if (one.name, repr(one.type), repr(one.default)) not in common
            )
        plain = [field for field in fields if not tables(field.type, "x") and field.name != "aliases"]
        if plain:
            found[title] = plain
        for field in fields:
            below = f"{path}.{field.name}" if path else field.name
            if field.name == "aliases":
                found["[aliases]"] = []
            for inner, kind in tables(field.type, below):
                visit(inner, re.sub(r"[\[\]]| kind.*", "", inner), kind)

    visit("top level", "", Config)
    return found


def written_type(kind: Any) -> str:
    names = {bool: "true or false", int: "whole number", float: "number", Decimal: "number", str: "text"}
    names |= {Path: "path", Secret: '`"${NAME}"`', Address: 'text or `"${NAME}"`', Options: "table"}
    (option,) = parts(kind)
    if get_origin(option) is tuple:
        return f"list of {written_type(get_args(option)[0])}"
    if get_origin(option) is dict:
        return f"table of {written_type(get_args(option)[1])}"
    if get_origin(option) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(option))
    return names[option]


def written_default(field: Field) -> str:
    if field.required:
        return "required"
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if default is None:
        return "-"
    shown = {(): "[]", "": '""'}.get(default) if isinstance(default, tuple | str) else None
    if isinstance(default, dict | Options) and default in ({}, Options()):
        shown = "{}"
    return f"`{shown or toml.dumps({'x': default}).removeprefix('x = ').strip()}`"


def page_sections() -> dict[str, dict[str, tuple[str, str, str]]]:
    """Heading -> key -> type, default, meaning, as the page has them below "Every key"."""
    found: dict[str, dict[str, tuple[str, str, str]]] = {}
    for block in PAGE.read_text().split("## Every key")[1].split("\n### ")[1:]:
        title, _, rest = block.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", rest, re.MULTILINE)
        found[title.strip("`").replace("Top level", "top level")] = {row[0]: row[1:] for row in rows}
    return found


def test_the_page_has_every_table_and_no_other() -> None:
    assert list(page_sections()) == list(sections())


@pytest.mark.parametrize("title", sections())
def test_the_page_has_every_key_with_its_type_and_default(title: str) -> None:
    expected = {field.name: (written_type(field.type), written_default(field)) for field in sections()[title]}
    shown = page_sections()[title]
    assert {key: row[:2] for key, row in shown.items()} == expected
    assert all(len(row[2]) > 10 for row in shown.values())


def examples() -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", examples())
def test_every_example_of_the_page_loads(example: str) -> None:
    assert config.loads(example, TEXT) != Config()


def test_the_page_has_examples_and_every_preset() -> None:
    assert len(examples()) >= 2
    for preset in PRESETS:
        row = f"| {preset.name} | {', '.join(f'`{name}`' for name in preset.key_variables)} |"
        row += f" {', '.join(f'`{name}`' for name in preset.url_variables)} |".replace("  ", " ")
        assert row in PAGE.read_text()


def test_the_published_schema_is_the_one_the_code_has() -> None:
    """After a change of a struct: `farthing check --schema > docs/config.schema.json`."""
    assert msgspec.json.decode((DOCS / "config.schema.json").read_bytes()) == config.schema()
