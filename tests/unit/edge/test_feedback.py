"""What a person may say of an answer, and what they are told when it cannot be taken."""

import json
from typing import Any

import pytest

from farthing.edge import feedback
from farthing.errors import BodyTooLarge, InvalidRequest, RateLimited
from farthing.types import Signal, Tenant

ACME = Tenant(name="acme")
ID = "req_0123456789abcdef000001"


def read(**fields: Any) -> Signal:
    body = json.dumps({"request_id": ID, **fields}).encode()
    return feedback.read(body, tenant=ACME, now_unix_s=7.0)


@pytest.mark.parametrize(
    ("said", "kind", "quality"),
    [
        ({"thumb": "up"}, "thumb", 1.0),
        ({"thumb": "down"}, "thumb", 0.0),
        ({"rating": 1}, "rating", 0.0),
        ({"rating": 4}, "rating", 0.75),
        ({"rating": 4.5}, "rating", 0.875),
        ({"rating": 10, "scale": 10}, "rating", 1.0),
        ({"quality": 0.8}, "quality", 0.8),
        ({"quality": 0}, "quality", 0.0),
    ],
)
def test_what_is_said_becomes_a_quality_from_0_to_1(said: Any, kind: str, quality: float) -> None:
    assert read(**said) == Signal(
        request_id=ID, at_unix_s=7.0, source="feedback", quality=quality, kind=kind, tenant="acme"
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "none of them is there"),
        ({"thumb": "up", "quality": 1}, "thumb and quality are"),
        ({"thumb": "sideways"}, "sideways"),
        ({"rating": 6}, "`rating` is 6 of 5"),
        ({"rating": 0}, "rating"),
        ({"rating": "5"}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": 3, "scale": None}, "scale"),
        ({"quality": 1.1}, "quality"),
        ({"thumb": "up", "scale": 5}, "`scale` says what `rating` is out of"),
        ({"rating": 1, "scale": 1}, "scale"),
        ({"thumb": "up", "comment": "very bad"}, "`comment` is not taken"),
        ({"thumb": "up", "stars": 5}, "stars"),
        ({"thumb": "up", "request_id": "chatcmpl-123"}, "x-request-id"),
        ({"thumb": "up", "request_id": 5}, "request_id"),
        ({"thumb": "up", "request_id": "req_" + "0" * 100}, "x-request-id"),
    ],
)
def test_what_cannot_be_taken_is_said_with_the_fix(said: Any, why: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(**said)
    assert why in str(refused.value)
    assert "very bad" not in str(refused.value)


def test_a_large_body_is_refused_unread() -> None:
    with pytest.raises(BodyTooLarge):
        feedback.read(b" " * 5_000, tenant=ACME, now_unix_s=0.0)


def test_a_tenant_may_send_so_much_a_minute_and_does_not_take_from_others() -> None:
    now_s = 0.0
    allowances = feedback.Allowances(lambda: now_s, per_minute=10)
    for _ in range(10):
        allowances.take(ACME)
    with pytest.raises(RateLimited):
        allowances.take(ACME)
    allowances.take(Tenant(name="other"))
    now_s = 6.1
    allowances.take(ACME)
