"""docs/openapi.json is a valid OpenAPI 3.1 document of exactly the routes that the program has."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.docs.pages import DOCS, code, rows

from farthing import __version__
from farthing.brain.cache.semantic.store.invalidate import Selection
from farthing.config import AdminConfig
from farthing.edge.http.answering import REASONS
from farthing.edge.operators.listener import Admin
from farthing.edge.routes import ROUTES
from farthing.stores.responses.bounds import Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.wiring.build import operators_parts

DOCUMENT: dict[str, Any] = json.loads((DOCS / "openapi.json").read_text())
ADMIN: dict[str, Any] = json.loads((DOCS / "openapi-admin.json").read_text())
RESPONSES = MemoryResponses(Bounds(responses_max=1, bytes_max=1, response_bytes_max=1))
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def operations(document: dict[str, Any] = DOCUMENT) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def found(reference: str, document: dict[str, Any] = DOCUMENT) -> Any:
    value: Any = document
    for part in reference.removeprefix("#/").split("/"):
        value = value[part.replace("~1", "/")]
    return value


def test_it_has_every_route_and_no_other() -> None:
    routes = {(path, method.decode().lower()) for path, methods in ROUTES.items() for method in methods}
    assert {(path, method) for path, method, _ in operations()} == routes


def test_it_is_a_valid_document() -> None:
    import schemathesis  # as slow as it is large

    schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT)).validate()
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == __version__


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    used = set(references(DOCUMENT))
    for reference in used:
        assert found(reference) is not None
    kinds = {kind: parts for kind, parts in DOCUMENT["components"].items() if kind != "securitySchemes"}
    assert {f"#/components/{kind}/{name}" for kind, parts in kinds.items() for name in parts} == used


def test_operations_are_named_once_and_told_in_words() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for _, _, operation in operations():
        assert operation["summary"].endswith(".")
        assert all(tag in {known["name"] for known in DOCUMENT["tags"]} for tag in operation["tags"])


@pytest.mark.parametrize(("path", "method", "operation"), list(operations()))
def test_every_documented_status_is_one_the_server_can_say(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    assert {int(status) for status in operation["responses"]} <= set(REASONS)
    assert {"200", "202"} & set(operation["responses"])


def test_the_page_has_every_route_and_says_which_need_a_key() -> None:
    listed = {
        code(first)[0]: others[-1]
        for first, others in rows(DOCS / "http-api.md").items()
        if re.match("`(GET|POST|DELETE) /", first) and "/admin" not in first
    }
    expected = {
        f"{method.upper()} {path}": "no" if operation.get("security") == [] else "yes"
        for path, method, operation in operations()
    }
    assert listed == expected


def test_the_page_has_every_header_of_an_answer() -> None:
    names = {name for first in rows(DOCS / "http-api.md", "## Headers of an answer") for name in code(first)}
    assert names == set(DOCUMENT["components"]["headers"])


def test_the_page_has_every_header_a_request_may_carry() -> None:
    names = {
        name
        for first in rows(DOCS / "http-api.md", "## Which endpoint, which session, which task")
        for name in code(first)
    }
    assert {parameter["name"] for parameter in DOCUMENT["components"]["parameters"].values()} <= names


def test_the_operators_document_has_every_route_of_theirs_and_no_other() -> None:
    mounted = Admin(AdminConfig(), operators_parts(lambda: None, RESPONSES, RESPONSES)).mounted()
    routes = {(path, method.lower()) for _, path, methods, _ in mounted for method in methods}
    assert {(path, method) for path, method, _ in operations(ADMIN)} == routes
    listed = rows(DOCS / "http-api.md", "## Operators")
    assert {f"`{method.upper()} {path}`" for path, method in routes} == {row for row in listed if "/" in row}


def test_the_operators_document_is_valid_and_whole() -> None:
    import schemathesis

    schemathesis.openapi.from_dict(copy.deepcopy(ADMIN)).validate()
    assert ADMIN["info"]["version"] == __version__
    used = set(references(ADMIN))
    assert all(found(reference, ADMIN) is not None for reference in used)
    kinds = {kind: parts for kind, parts in ADMIN["components"].items() if kind != "securitySchemes"}
    assert {f"#/components/{kind}/{name}" for kind, parts in kinds.items() for name in parts} == used


def test_the_operators_document_selects_by_what_the_program_selects_by() -> None:
    assert set(ADMIN["components"]["schemas"]["Selection"]["properties"]) == set(Selection.__struct_fields__)
