"""Which entries an invalidation means. All parts given must fit; a selection by nothing selects nothing."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from farthing.errors import InvalidRequest
from farthing.types import Json


class Selection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to select entries by. `everything` selects what no other part narrows."""

    document: str | None = None
    """Id of a document of the answer; `id@version` is that version of it alone."""
    documents_version: str | None = None
    """The endpoint's `documents` when the answer was given."""
    tenant: str | None = None
    endpoint: str | None = None
    tag: str | None = None
    older_than_s: Annotated[float, Meta(ge=0)] | None = None
    model: str | None = None
    """Target `provider/model` that gave the answer, or its model alone."""
    policy: str | None = None
    user: str | None = None
    """Digest of who asked for the answer."""
    request: str | None = None
    """Id of the request that the answer came from."""
    entry: str | None = None
    everything: bool = False


class Found(Struct, frozen=True, kw_only=True):
    """What a selection comes to."""

    entries: int
    bytes: int
    examples: tuple[Json, ...] = ()


def read_selection(raw: Json) -> Selection:
    """Raises:
    InvalidRequest: a name is not known, or nothing is selected by.
    """
    try:
        selection = msgspec.convert(raw, Selection)
    except msgspec.ValidationError as error:
        known = ", ".join(Selection.__struct_fields__)
        raise InvalidRequest(f"the selection cannot be read: {error}; known: {known}") from None
    if not where(selection, 0.0)[0]:
        raise InvalidRequest("select by something: a selection that says nothing would mean everything")
    return selection


def where(selection: Selection, now_unix_s: float) -> tuple[str, tuple[Any, ...]]:
    """The condition on a row of `entries`, and its parameters. Empty: selected by nothing."""
    conditions: list[str] = []
    values: list[Any] = []

    def also(condition: str, *given: Any) -> None:
        conditions.append(condition)
        values.extend(given)

    for name in ("tenant", "endpoint", "policy", "user", "documents_version"):
        value = getattr(selection, name)
        if value is not None:
            also(f"{name} = ?", value)
    if selection.request is not None:
        also("request_id = ?", selection.request)
    if selection.entry is not None:
        also("'e' || id = ?", selection.entry)
    if selection.model is not None:
        also("(target = ? OR substr(target, instr(target, '/') + 1) = ?)", selection.model, selection.model)
    if selection.tag is not None:
        also("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", selection.tag)
    if selection.document is not None:
        _document(selection.document, also)
    if selection.older_than_s is not None:
        also("created_s <= ?", now_unix_s - selection.older_than_s)
    if not conditions and selection.everything:
        conditions.append("1")
    return " AND ".join(conditions), tuple(values)


def _document(said: str, also: Any) -> None:
    name, at, version = said.rpartition("@")
    if at and name:
        also("id IN (SELECT entry FROM documents WHERE document = ? AND version = ?)", name, version)
    else:
        also("id IN (SELECT entry FROM documents WHERE document = ?)", said)
