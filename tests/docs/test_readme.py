"""The README tells the truth about the journey, the commands, and what is and is not there."""

import json
import re
from pathlib import Path

import pytest
from benchmarks.pictures import pictures, savings, savings_picture
from tests.docs.pages import ROOT

from farthing.pipeline import answer as pipeline

README = ROOT / "README.md"
LINES_MAX = 150


def journey(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("admit -> ")]
    assert lines, "the journey is not drawn"
    return lines


def test_the_journey_is_drawn_as_the_pipeline_has_it() -> None:
    assert pipeline.__doc__ is not None
    (steps,) = journey(pipeline.__doc__)
    for page in (README, ROOT / "docs" / "how-it-decides.md"):
        assert journey(page.read_text()) == [steps]


def test_the_steps_stand_in_the_pipeline_in_the_order_of_the_drawing() -> None:
    assert pipeline.__file__ is not None
    source = Path(pipeline.__file__).read_text()
    body = source.partition("async def answer(")[2].partition("\nasync def ")[0]
    (steps,) = journey(pipeline.__doc__ or "")
    written_as = {
        "guard": "guard_request(",
        "classify": "classifier.classify(",
        "retrieve": "await retrieved(",
        "cache": "await reuse(",
        "compose": "compose(",
        "route": "router.route(",
        "reserve": "contract.reserve(",
        "call": "caller.call(",
        "check": "deliver(",
        "settle": "hold.settle(",
        "record": "ledger.record(",
    }
    names = steps.split(" -> ")
    assert names == ["admit", *written_as]
    places = [body.find(call) for call in written_as.values()]
    assert -1 not in places
    assert places == sorted(places)


def test_it_is_short_and_begins_with_one_sentence() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) < LINES_MAX
    assert lines[2].endswith(".") and lines[2].count(". ") == 0
    assert "badge" not in README.read_text()


def test_its_two_commands_are_targets_of_the_makefile() -> None:
    commands = re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert commands == ["demo", "test"]
    assert set(commands) <= set(targets)


def test_the_first_sentence_is_that_of_the_package() -> None:
    assert f'description = "{README.read_text().splitlines()[2]}"' in (ROOT / "pyproject.toml").read_text()


def test_it_has_one_place_for_the_measured_number() -> None:
    text = README.read_text()
    assert text.count("<!-- measured:begin -->") == text.count("<!-- measured:end -->") == 1
    assert text.index("<!-- measured:begin -->") < text.index("<!-- measured:end -->")


def test_the_pictures_are_those_of_the_results_and_say_the_same_in_words() -> None:
    pages = README.read_text() + (ROOT / "docs" / "performance.md").read_text()
    shown = dict(re.findall(r"!\[([^\]]*)\]\((?:docs/)?pictures/([^)]*)\)", pages))
    assert "docs/pictures/savings.svg" in README.read_text()
    drawn = pictures()
    assert set(shown.values()) == set(drawn)
    for words, name in shown.items():
        assert (ROOT / "docs" / "pictures" / name).read_text() == drawn[name], "python -m benchmarks.pictures"
        assert f"<title>{words}</title>" in drawn[name]


def test_a_picture_says_what_was_saved_and_its_parts_add_up() -> None:
    demo = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text())
    assert demo["ok"] and demo["simulated"] and demo["complaints"] == []
    dollars = savings(demo)
    assert sum(dollars.values()) == pytest.approx(demo["report"]["savings"]["baseline_nusd"] / 1e9)
    assert f"{demo['report']['savings']['saved_share']:.0%} saved" in savings_picture(demo)
