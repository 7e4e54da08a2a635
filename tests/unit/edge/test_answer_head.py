"""The header lines of an answer."""

from farthing.edge.http.heads import facts_and_money_head
from farthing.types import Attempt, Receipt


def test_no_word_of_a_provider_ends_its_line() -> None:
    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, tenant="t")
    receipt.stop_reason = "limit:x\r\nset-cookie: a=b"
    receipt.route_reason = "because\r\nset-cookie: a=b"
    lines = facts_and_money_head(receipt).split(b"\r\n")
    assert not [line for line in lines if line.startswith(b"set-cookie")]
    assert any(line.startswith(b"x-farthing-stop: limit:x") for line in lines)


def test_what_the_provider_was_not_told_is_said_of_the_attempt_that_answered() -> None:
    def attempt(target: str, left_out: str, error: str | None = None) -> Attempt:
        return Attempt(target=target, tier="cheap", started_ms=0.0, left_out=left_out, error=error)

    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, target="b/m")
    receipt.attempts = [attempt("a/m", "n", "provider_busy"), attempt("b/m", "temperature, seed")]
    assert b"\r\nx-farthing-left-out: temperature, seed\r\n" in facts_and_money_head(receipt)
    receipt.attempts[1].left_out = ""
    assert b"left-out" not in facts_and_money_head(receipt)
