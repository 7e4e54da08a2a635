"""The page on what providers send has a line for every group of inputs that is tried, and none beside."""

import pytest
from tests.docs.pages import DOCS, rows
from tests.e2e import wild_answers, wild_chunks, wild_events, wild_refusals

PAGE = DOCS / "wire-tolerance.md"
GROUPS = {
    "## Streams": {*wild_events.GROUPS, *wild_chunks.GROUPS},
    "## Whole answers": set(wild_answers.GROUPS),
    "## Refusals and failures": set(wild_refusals.GROUPS),
}


@pytest.mark.parametrize("section", GROUPS)
def test_every_group_of_inputs_has_its_line(section: str) -> None:
    assert set(rows(PAGE, section)) - {"came"} == GROUPS[section]
