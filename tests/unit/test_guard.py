"""What the deny rules block, and what their message gives away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.config import GuardRule
from farthing.errors import Blocked
from farthing.postprocess.guard import DenyGuard

GUARD = DenyGuard(
    [
        GuardRule(name="project", contains=("Operation  Nightjar", "STRASSE")),
        GuardRule(name="secrets", contains=("begin private key",), message="Keys do not belong here."),
    ]
)


@pytest.mark.parametrize(
    "text",
    ["operation nightjar", "about OPERATION\n\t Nightjar, please", "xoperation nightjarx", "Straße"],
)
def test_a_phrase_is_found_whatever_its_case_and_white_space(text: str) -> None:
    with pytest.raises(Blocked):
        GUARD.check(text)


@pytest.mark.parametrize("text", ["", "operation", "nightjar operation", "operation-nightjar"])
def test_other_text_passes(text: str) -> None:
    GUARD.check(text)


def test_the_message_names_the_rule_and_never_the_text() -> None:
    with pytest.raises(Blocked) as blocked:
        GUARD.check("Operation Nightjar at noon")
    assert "project" in str(blocked.value)
    assert "ightjar" not in str(blocked.value)
    assert "noon" not in str(blocked.value)


def test_a_rule_may_have_its_own_message() -> None:
    with pytest.raises(Blocked, match=r"^Keys do not belong here\.$"):
        GUARD.check("-----BEGIN PRIVATE KEY-----")


@given(st.text(), st.text())
def test_a_phrase_is_found_wherever_it_stands(before: str, after: str) -> None:
    with pytest.raises(Blocked):
        GUARD.check(f"{before} operation nightjar {after}")


@given(st.text())
def test_without_rules_everything_passes(text: str) -> None:
    DenyGuard([]).check(text)
    DenyGuard([GuardRule(name="empty", contains=("", "  "))]).check(text)
