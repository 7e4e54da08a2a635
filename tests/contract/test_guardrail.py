"""What every Guardrail does. A new guardrail is one more line in GUARDRAILS, with a text it blocks."""

import pytest

from farthing.config import GuardRule
from farthing.errors import Blocked
from farthing.evaluation.guard import DenyGuard
from farthing.protocols import Guardrail

GUARDRAILS: dict[str, tuple[Guardrail, str]] = {
    "deny": (DenyGuard([GuardRule(name="nightjar", contains=("operation nightjar",))]), "Operation Nightjar"),
}


@pytest.fixture(params=GUARDRAILS)
def case(request: pytest.FixtureRequest) -> tuple[Guardrail, str]:
    return GUARDRAILS[request.param]


def test_harmless_and_empty_text_passes(case: tuple[Guardrail, str]) -> None:
    guardrail, _ = case
    guardrail.check("")
    guardrail.check("What is a farthing?")


def test_what_it_is_there_for_is_blocked_each_time(case: tuple[Guardrail, str]) -> None:
    guardrail, bad = case
    for text in (bad, bad, f"Please: {bad}."):
        with pytest.raises(Blocked):
            guardrail.check(text)
        with pytest.raises(Blocked):
            list(guardrail.check_long("long " * 100_000 + text))
    list(guardrail.check_long("long " * 100_000))


def test_the_message_does_not_repeat_the_text(case: tuple[Guardrail, str]) -> None:
    guardrail, bad = case
    with pytest.raises(Blocked) as blocked:
        guardrail.check(f"{bad} 8c1f")
    assert bad.lower() not in str(blocked.value).lower()
    assert "8c1f" not in str(blocked.value)
