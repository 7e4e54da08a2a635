"""The list of models as Anthropic's SDK pages through it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.edge.messages import models
from farthing.errors import InvalidRequest

ENTRIES: list[dict[str, Any]] = [
    {"id": f"a/model-{number}", "object": "model", "created": 0, "owned_by": "a"} for number in range(45)
]
IDS = [entry["id"] for entry in ENTRIES]


def page(query: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(models.page(ENTRIES, query.encode()))
    return found


def test_an_entry_has_what_the_sdk_reads() -> None:
    made = models.described({"id": "a/m", "created": 1_700_000_000, "context_window": 200_000})
    assert made == {
        "type": "model",
        "id": "a/m",
        "display_name": "a/m",
        "created_at": "2023-11-14T22:13:20Z",
        "max_input_tokens": 200_000,
        "max_tokens": None,
    }
    assert models.described({"id": "auto"})["created_at"] == "1970-01-01T00:00:00Z"


def test_a_page_is_of_twenty_unless_another_number_is_asked_for() -> None:
    first = page("")
    assert [one["id"] for one in first["data"]] == IDS[:20] and first["has_more"] is True
    assert (first["first_id"], first["last_id"]) == (IDS[0], IDS[19])
    all_of_them = page("limit=1000")
    assert len(all_of_them["data"]) == 45 and all_of_them["has_more"] is False


@given(st.integers(1, 60))
def test_pages_one_after_another_are_the_list(limit: int) -> None:
    found: list[str] = []
    query = f"limit={limit}"
    for _ in range(len(IDS) + 1):
        got = page(query)
        found += [one["id"] for one in got["data"]]
        if not got["has_more"]:
            break
        query = f"limit={limit}&after_id={got['last_id']}"
    assert found == IDS


@given(st.integers(1, 60))
def test_and_so_are_pages_from_its_end(limit: int) -> None:
    found: list[str] = [IDS[-1]]
    query = f"limit={limit}&before_id={IDS[-1]}"
    for _ in range(len(IDS) + 1):
        got = page(query)
        found = [one["id"] for one in got["data"]] + found
        if not got["has_more"]:
            break
        query = f"limit={limit}&before_id={got['first_id']}"
    assert found == IDS


def test_ids_may_be_percent_encoded() -> None:
    assert page("after_id=a%2Fmodel-43")["first_id"] == IDS[44]


def test_an_empty_list_has_no_ids() -> None:
    empty = {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert json.loads(models.page([], b"limit=5")) == empty


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=many", "limit"),
        ("after_id=nobody", "after_id"),
        ("before_id=nobody", "before_id"),
        ("after_id=a/model-1&before_id=a/model-3", "before_id"),
        ("&".join(["x=1"] * 30), None),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(query: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        page(query)
    assert refused.value.param == param
