"""What the types of OpenAI's package say of JSON: an example of each, and whether a value is one.

The package's types are generated from OpenAI's published specification, so they stand for it here.
"""

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typing_extensions
from pydantic import BaseModel

Json = Any

SCALARS: Final[dict[type, Json]] = {
    str: "string",
    bool: True,
    int: 1,
    float: 0.5,
    object: "anything",
    bytes: "bytes",
    datetime: "2026-01-01T00:00:00Z",
}
NAMED: Final[dict[str, Json]] = {
    "arguments": "{}",
    "created": 1_767_225_600,
    "created_at": 1_767_225_600.0,
    "index": 0,
    "prompt_tokens": 16,
    "input_tokens": 16,
    "completion_tokens": 8,
    "output_tokens": 8,
    "total_tokens": 24,
}
"""Fields of which any number or text would be in order by its type alone, and not by what it means."""

OF_FAILURES: Final = frozenset({"error", "incomplete_details"})
"""Fields that an answer has to say why there is none."""


def plain(kind: Any) -> Any:
    """`kind` without its annotations and aliases."""
    while True:
        if isinstance(kind, typing_extensions.TypeAliasType):
            kind = kind.__value__
        elif get_origin(kind) in (Annotated, typing_extensions.Required, typing_extensions.NotRequired):
            kind = get_args(kind)[0]
        else:
            return kind


def variants(kind: Any) -> list[Any]:
    """The members of a union, those of its own unions too; `kind` alone where it is none."""
    kind = plain(kind)
    if get_origin(kind) not in (Union, types.UnionType):
        return [kind]
    return [each for part in get_args(kind) for each in variants(part)]


def example(kind: Any, within: tuple[Any, ...] = ()) -> Json:
    """A value of `kind` in which every field is there, and every list has one of each thing it may hold.

    A model within itself is left out.

    Raises:
        TypeError: a type that is not known here.
    """
    kind = plain(kind)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _first(variants(kind), within)
    if origin is Literal:
        return get_args(kind)[0]
    if origin in (list, Sequence, Iterable):
        return [example(each, within) for each in variants(get_args(kind)[0]) if each not in within]
    if origin in (dict, Mapping):
        return {"key": example(get_args(kind)[1], within)}
    if isinstance(origin or kind, type) and issubclass(origin or kind, BaseModel):
        return dict(_fields(kind, (*within, kind)))
    if kind in SCALARS:
        return SCALARS[kind]
    raise TypeError(f"nobody has said what an example of {kind} is")


def _first(kinds: list[Any], within: tuple[Any, ...]) -> Json:
    known = [kind for kind in kinds if kind is not type(None)]
    for kind in known:
        if kind not in within:
            return example(kind, within)
    return None


def _fields(model: type[BaseModel], within: tuple[Any, ...]) -> Iterator[tuple[str, Json]]:
    for name, field in model.model_fields.items():
        if name in OF_FAILURES and type(None) in variants(field.annotation):
            yield field.alias or name, None
            continue
        kinds = variants(field.annotation)
        told = NAMED.get(name)
        value = told if told is not None and type(told) in kinds else example(field.annotation, within)
        yield field.alias or name, value


# -- whether a value is one ---------------------------------------------------------------------------


def fault(kind: Any, value: Json, path: str = "") -> str | None:
    """Where and why `value` is none of `kind`; None: it is one."""
    kinds = [each for each in variants(kind) if each is not type(None)]
    if value is None:
        return None if type(None) in variants(kind) else f"{path}: null"
    faults = [_fault(each, value, path) for each in kinds]
    return None if None in faults else max(faults, key=_depth)


def _depth(fault: str | None) -> int:
    """Of what a value came closest to being, its fault lies deepest."""
    return len((fault or "").partition(":")[0])


def _fault(kind: Any, value: Json, path: str) -> str | None:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return None if value in get_args(kind) else f"{path}: {value!r} is none of {get_args(kind)}"
    if typing_extensions.is_typeddict(origin):
        return _fault_of_fields(kind, value, path)
    if origin in (list, Sequence, Iterable):
        if not isinstance(value, list):
            return f"{path}: no list"
        inner = get_args(kind)[0]
        return next((f for i, each in enumerate(value) if (f := fault(inner, each, f"{path}[{i}]"))), None)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            return f"{path}: no object"
        inner = get_args(kind)[1]
        return next((f for key, each in value.items() if (f := fault(inner, each, f"{path}.{key}"))), None)
    if origin is object:
        return None
    wanted = (int, float) if origin is float else origin
    if isinstance(value, wanted) and not (isinstance(value, bool) and origin is not bool):
        return None
    return f"{path}: {value!r} is no {getattr(origin, '__name__', origin)}"


def _fault_of_fields(kind: Any, value: Json, path: str) -> str | None:
    if not isinstance(value, dict):
        return f"{path}: no object"
    hints = fields(kind)
    for name in sorted(required(kind) - value.keys()):
        return f"{path}.{name} is missing"
    for name, each in value.items():
        if name not in hints:
            return f"{path}.{name} is no field of {kind.__name__}"
        found = fault(hints[name], each, f"{path}.{name}")
        if found:
            return found
    return None


def fields(kind: Any) -> dict[str, Any]:
    """The fields of a typed dictionary."""
    return typing_extensions.get_type_hints(kind, include_extras=True)


def required(kind: Any) -> set[str]:
    told = {name for name, hint in fields(kind).items() if get_origin(hint) is typing_extensions.Required}
    return told | set(kind.__required_keys__)
