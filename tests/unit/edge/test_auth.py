"""Whose key it is, in whichever header it comes."""

import pytest

from farthing.config import KeyConfig, key_digest
from farthing.edge.auth import Keys
from farthing.errors import Unauthenticated

GOOD, OTHER = b"sk-good", b"sk-other"
KEYS = Keys(
    [
        KeyConfig(tenant="acme", digest=key_digest(GOOD.decode())),
        KeyConfig(tenant="umbrella", digest=key_digest(OTHER.decode())),
    ]
)
BAD: list[bytes] = [b"sk-ant-somebody", b"", b" ", b"x" * 300, b"\xff"]


def tenant(**headers: bytes) -> str:
    return KEYS.tenant({name.replace("_", "-").encode(): value for name, value in headers.items()}).name


@pytest.mark.parametrize("name", ["x_api_key", "api_key"])
def test_a_key_by_itself_or_as_a_bearer(name: str) -> None:
    assert tenant(**{name: GOOD}) == "acme" and tenant(authorization=b"bearer  " + GOOD) == "acme"


@pytest.mark.parametrize("bad", BAD)
def test_one_good_key_is_enough_whatever_stands_beside_it(bad: bytes) -> None:
    assert tenant(authorization=b"Bearer " + bad, x_api_key=GOOD) == "acme"
    assert tenant(authorization=b"Bearer " + GOOD, x_api_key=bad) == "acme"
    assert tenant(authorization=b"Basic " + bad, x_api_key=GOOD) == "acme"
    assert tenant(x_api_key=bad, api_key=GOOD) == "acme"


def test_of_two_good_ones_the_bearer_counts() -> None:
    assert tenant(authorization=b"Bearer " + GOOD, x_api_key=OTHER) == "acme"


@pytest.mark.parametrize("bad", BAD)
def test_without_a_good_one_there_is_no_answer(bad: bytes) -> None:
    for headers in (
        {"authorization": b"Bearer " + bad},
        {"x_api_key": bad},
        {"api_key": bad},
        {"authorization": b"Bearer " + bad, "x_api_key": bad},
        {"authorization": GOOD},
        {},
    ):
        with pytest.raises(Unauthenticated, match=r"key|Bearer"):
            tenant(**headers)
