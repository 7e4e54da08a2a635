"""Forms (`multipart/form-data`, RFC 7578): where each part lies, and another model in the place of one.

Nothing of a form is decoded but its short text fields, and nothing is copied. What two parsers may read as
two forms is refused: a field that decides here must be the one that decides at the provider.
"""

import re
from collections.abc import Collection, Sequence

from msgspec import Struct

PARTS_MAX = 256
HEAD_BYTES_MAX = 8_192
FIELDS_BYTES_MAX = 1_048_576  # of all text fields: prompts have 32,000 characters at most

FORM_TYPE = b"multipart/form-data"
_PARAMETER = rb';[ \t]*([A-Za-z0-9*_-]+)=(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s;"]*))[ \t]*'
_boundary = re.compile(rb'(?:[^"]*?;)?[ \t]*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s;,"]{1,70}))', re.I).match
_disposition = re.compile(
    rb"content-disposition:[ \t]*form-data[ \t]*((?:%b)*)\r\n" % _PARAMETER, re.I
).finditer
_parameters = re.compile(_PARAMETER).finditer
_line_start = re.compile(rb"content-disposition[ \t]*:", re.I)


class BadForm(Exception):
    """It is no form, or one that can be read in two ways. The message says why."""


class Part(Struct, frozen=True):
    """One field of a form: its value is bytes `begin` to `end`."""

    name: str
    begin: int
    end: int
    file: bool


def boundary_of(content_type: bytes) -> bytes | None:
    """What separates the parts of a form; None: `content_type` is none of a form.

    Raises:
        BadForm: it names no boundary.
    """
    kind, _, rest = content_type.partition(b";")
    if kind.strip().lower() != FORM_TYPE:
        return None
    found = _boundary(rest)
    if found is None or rest.lower().count(b"boundary") != 1:
        raise BadForm("its content-type names no boundary, or more than one")
    return found[1] or found[2]


def parts_of(raw: bytes, boundary: bytes) -> list[Part]:
    """The parts of a form in their order.

    Raises:
        BadForm: it is none.
    """
    opening, delimiter = b"--" + boundary, b"\r\n--" + boundary
    if not raw.startswith(opening):
        raise BadForm("it does not begin with its boundary")
    found: list[Part] = []
    at = len(opening)
    while raw[at : at + 2] == b"\r\n":
        if len(found) == PARTS_MAX:
            raise BadForm(f"it has more than {PARTS_MAX} parts")
        head_end = raw.find(b"\r\n\r\n", at, at + HEAD_BYTES_MAX)
        end = -1 if head_end < 0 else raw.find(delimiter, head_end + 4)
        if end < 0:
            raise BadForm("a part has no end, or no head")
        name, file = _named(raw[at + 2 : head_end + 2])
        found.append(Part(name, head_end + 4, end, file))
        at = end + len(delimiter)
    if raw[at : at + 2] != b"--":
        raise BadForm("its last part has no end")
    if not found:
        raise BadForm("it has no parts")
    return found


def _named(head: bytes) -> tuple[str, bool]:
    """The name of the part with this head, and whether it is a file.

    Raises:
        BadForm: it says no name, or several.
    """
    if b"\r\n " in head or b"\r\n\t" in head:
        raise BadForm("a line of the head of a part goes on in the next one: write it in one line")
    found = list(_disposition(head))
    if len(found) != 1 or len(_line_start.findall(head)) != 1:
        raise BadForm("a part says no name, or says it in a way that is not read here")
    said: dict[bytes, bytes] = {}
    for one in _parameters(found[0][1]):
        key = one[1].lower()
        if key in said or key == b"name*":
            raise BadForm("a part says its name twice")
        said[key] = one[2] if one[3] is None else one[3]
    if b"name" not in said or b"\\" in said[b"name"]:
        raise BadForm("a part has no name")
    return said[b"name"].decode("utf-8", "replace"), b"filename" in said or b"filename*" in said


def fields_of(raw: bytes, parts: Sequence[Part], once: Collection[str]) -> dict[str, str]:
    """The text fields by name; of several with one name the last. Files are not among them.

    Raises:
        BadForm: they are too long, or not UTF-8, or one of `once` is there twice.
    """
    fields: dict[str, str] = {}
    size = 0
    for part in parts:
        if part.file:
            continue
        if part.name in fields and part.name in once:
            raise BadForm(f"the field `{part.name}` is there twice: send it once")
        size += part.end - part.begin
        if size > FIELDS_BYTES_MAX:
            raise BadForm(f"its text fields have more than {FIELDS_BYTES_MAX} bytes together")
        try:
            fields[part.name] = raw[part.begin : part.end].decode()
        except UnicodeDecodeError:
            raise BadForm(f"the field `{part.name[:100]}` is not UTF-8") from None
    return fields


def model_at(parts: Sequence[Part]) -> tuple[int, int] | None:
    """Where the model's name stands; None: it is not said.

    Raises:
        BadForm: it is said twice, or as a file.
    """
    found = [part for part in parts if part.name == "model"]
    if len(found) > 1 or (found and found[0].file):
        raise BadForm("the field `model` is there twice, or is a file: send it once, as text")
    return (found[0].begin, found[0].end) if found else None


def with_model(raw: bytes, at: tuple[int, int] | None, model: str) -> bytes:
    """The form with `model` for its model; `at` is where one stands, None where none does. All else stays,
    byte for byte."""
    told, view = model.encode(), memoryview(raw)
    if at is not None:
        return b"".join((view[: at[0]], told, view[at[1] :]))
    opening = raw[: raw.index(b"\r\n")]
    head = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    return b"".join((opening, head, told, b"\r\n", view))
