"""What is booked equals, to the nano-dollar, the bill that a provider makes by its own published rules."""

from random import Random

import pytest
from tests.bills.billers import BILLERS
from tests.bills.booked import Accounts
from tests.bills.drawn import Biller
from tests.sampled import at_length

STREAM_PIECES = (1, 7, 100, 1_000, 100_000)


@pytest.mark.slow
@at_length("requests", sample=300, full=2_000)
@pytest.mark.parametrize(
    "biller",
    BILLERS,
    ids=lambda biller: f"{type(biller).__module__.rpartition('.')[2]}.{type(biller).__name__}",
)
def test_requests_are_booked_as_the_provider_bills_them(biller: Biller, requests: int) -> None:
    random, accounts = Random(f"bills of {biller.name}"), Accounts(biller)
    billed = booked = 0
    for number in range(requests):
        drawn = biller.draw(random)
        piece_bytes = STREAM_PIECES[number // 2 % len(STREAM_PIECES)] if number % 20 < 10 else 1_000_000
        attempt = accounts.streamed(drawn, piece_bytes) if number % 2 else accounts.whole(drawn)
        assert attempt.cost_nusd == drawn.nusd, (number, drawn, attempt)
        assert attempt.usage is not None and not attempt.usage.estimated
        billed, booked = billed + drawn.nusd, booked + attempt.cost_nusd
    assert billed == booked > 0
