"""The header lines of an answer."""

from farthing.edge.routes import facts_and_money_head
from farthing.types import Receipt


def test_no_word_of_a_provider_ends_its_line() -> None:
    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, tenant="t")
    receipt.stop_reason = "limit:x\r\nset-cookie: a=b"
    receipt.route_reason = "because\r\nset-cookie: a=b"
    lines = facts_and_money_head(receipt).split(b"\r\n")
    assert not [line for line in lines if line.startswith(b"set-cookie")]
    assert any(line.startswith(b"x-farthing-stop: limit:x") for line in lines)
