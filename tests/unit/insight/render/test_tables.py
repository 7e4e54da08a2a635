"""A table keeps every name and figure whole at any width, and uses the width there is."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from farthing.insight.render.tables import Group, Line, tables

LONG = "openrouter/anthropic/claude-sonnet-4.5-20250929"
GROUPS = (Group("Cost", ("requests", "share", "$")), Group("Latency, ms", ("P50", "P99")))


def shown(names: tuple[str, ...], lines: list[Line], width: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    for line in tables(names, GROUPS, lines, width):
        console.print(line)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_one_table_where_all_fits_beside_the_names() -> None:
    lines = [Line((LONG, "cheap"), ("1,234", "9.5%", "$1.25", "10", "2,000"))]
    assert shown(("model", "tier"), lines, 120) == [
        "",
        "Cost",
        f"model{' ' * 42}  tier   requests  share      $  P50    P99",
        f"{LONG}  cheap     1,234   9.5%  $1.25   10  2,000",
    ]


def test_it_is_cut_between_groups_of_columns_where_it_does_not_fit() -> None:
    lines = [Line((LONG, "cheap"), ("1,234", "9.5%", "$1.25", "10", "2,000"))]
    assert shown(("model", "tier"), lines, 80) == [
        "",
        "Cost",
        f"model{' ' * 42}  tier   requests  share      $",
        f"{LONG}  cheap     1,234   9.5%  $1.25",
        "",
        "Latency, ms",
        f"model{' ' * 42}  tier   P50    P99",
        f"{LONG}  cheap   10  2,000",
    ]


def test_names_that_leave_no_room_stand_above_their_figures() -> None:
    lines = [Line((LONG, "cheap"), ("1,234", "9.5%", "$1.25", "10", "2,000"))]
    assert shown(("model", "tier"), lines, 60) == [
        "",
        "Cost",
        "model · tier",
        "  requests  share      $  P50    P99",
        f"{LONG} · cheap",
        "     1,234   9.5%  $1.25   10  2,000",
    ]


names = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C", "M"]), min_size=1, max_size=90)
figures = st.tuples(*[st.integers(0, 10**12).map(lambda value: f"{value:,}")] * 5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, figures), min_size=1, max_size=4), st.sampled_from([40, 80, 100, 120, 200]))
def test_nothing_is_lost_or_wider_than_the_terminal(
    rows: list[tuple[str, tuple[str, ...]]], width: int
) -> None:
    lines = [Line((name, "tier"), found) for name, found in rows]
    text = shown(("model", "tier"), lines, width)
    joined = "".join(text).replace(" ", "")
    for name, found in rows:
        assert name in joined
        assert all(any(figure in line for line in text) for figure in found)
    assert "…" not in joined or any("…" in name for name, _ in rows)


@pytest.mark.parametrize("steering", ["\x1b[31mred", "a\rb", "a\x07", "a\nb"])
def test_a_name_never_steers_the_terminal(steering: str) -> None:
    text = "\n".join(shown(("model",), [Line((steering,), ("1", "2", "3", "4", "5"))], 80))
    assert "?" in text and "\x1b" not in text and "\r" not in text and "\x07" not in text
