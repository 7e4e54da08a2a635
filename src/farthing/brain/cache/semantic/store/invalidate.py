"""Selects the entries to invalidate. All given criteria must match; an empty selection matches nothing."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from farthing.errors import InvalidRequest
from farthing.types import Json


class Selection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The criteria. `everything` matches whatever no other criterion excludes."""

    document: str | None = None
    """Id of a document of the answer; `id@version` means that version only."""
    documents_version: str | None = None
    """The endpoint's `documents` when the answer was given."""
    tenant: str | None = None
    endpoint: str | None = None
    tag: str | None = None
    older_than_s: Annotated[float, Meta(ge=0)] | None = None
    model: str | None = None
    """Target `provider/model` that gave the answer, or just the model."""
    policy: str | None = None
    user: str | None = None
    """Digest of the user who asked."""
    request: str | None = None
    """Id of the request whose answer this is."""
    entry: str | None = None
    everything: bool = False


class Found(Struct, frozen=True, kw_only=True):
    """What a selection matches."""

    entries: int
    bytes: int
    examples: tuple[Json, ...] = ()


def read_selection(raw: Json) -> Selection:
    """Raises:
    InvalidRequest: a name is unknown, or there is no criterion.
    """
    try:
        selection = msgspec.convert(raw, Selection)
    except msgspec.ValidationError as error:
        known = ", ".join(Selection.__struct_fields__)
        raise InvalidRequest(f"the selection is invalid: {error}; known: {known}") from None
    if not where(selection, 0.0)[0]:
        raise InvalidRequest("give at least one criterion: an empty selection would match everything")
    return selection


def where(selection: Selection, now_unix_s: float) -> tuple[str, tuple[Any, ...]]:
    """The condition on a row of `entries`, and its parameters. Empty: no criterion."""
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


def _document(document: str, also: Any) -> None:
    name, at, version = document.rpartition("@")
    if at and name:
        also("id IN (SELECT entry FROM documents WHERE document = ? AND version = ?)", name, version)
    else:
        also("id IN (SELECT entry FROM documents WHERE document = ?)", document)
