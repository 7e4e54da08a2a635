"""Plain fields of a chat completion request, and how one that is wrong is refused."""

from farthing.errors import InvalidRequest
from farthing.types import Json


def invalid(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{param}` {what}", param=param)


def number(body: Json, name: str) -> float | None:
    value = body.get(name)
    if value is None or value.__class__ is float or value.__class__ is int:
        return value
    raise invalid(name, "must be a number")


def integer(body: Json, name: str, neutral: int | None = None) -> int | None:
    value = body.get(name)
    if value is None or value == neutral:
        return None
    if value.__class__ is float and value.is_integer():
        return int(value)
    if value.__class__ is not int:
        raise invalid(name, "must be an integer")
    return int(value)


def text_of(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value is not None and value.__class__ is not str:
        raise invalid(name, "must be a string")
    return value


def object_of(body: Json, name: str) -> Json | None:
    value = body.get(name)
    if value is not None and value.__class__ is not dict:
        raise invalid(name, "must be an object")
    return value
