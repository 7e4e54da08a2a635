"""What may be answered from memory, and who asks again."""

from typing import Any

import pytest
from tests.asking import asked

from farthing.brain.cache.fresh import Given, who_and_what, why_asked_anew
from farthing.types import Endpoint, Request, Tenant


def request(body: dict[str, Any] | None = None, **changes: Any) -> Request:
    messages = [{"role": "user", "content": "q"}]
    return asked("q", body={"model": "m", "messages": messages, **(body or {})}, **changes)


@pytest.mark.parametrize(
    ("body", "named", "chosen"),
    [
        ({}, "named", ""),
        ({"temperature": None, "seed": None, "n": None}, "named", ""),
        ({"temperature": 0}, "", ""),
        ({"temperature": 0.0}, "", ""),
        ({"temperature": -0.0}, "", ""),
        ({"temperature": 1e-9}, "sampled", "sampled"),
        ({"temperature": 0.2}, "sampled", "sampled"),
        ({"temperature": 1}, "sampled", "sampled"),
        ({"temperature": 1, "seed": 0}, "", ""),
        ({"seed": 7}, "", ""),
        ({"n": 1, "temperature": 0}, "", ""),
        ({"n": 3}, "sampled", "sampled"),
        ({"n": 3, "temperature": 0}, "sampled", "sampled"),
        ({"n": 3, "temperature": 1, "seed": 7}, "", ""),
        ({"top_p": 0.1}, "named", ""),
    ],
)
def test_a_request_is_a_sample_or_can_be_answered_the_same_way_twice(
    body: dict[str, Any], named: str, chosen: str
) -> None:
    assert why_asked_anew(request(body), lambda _: True) == named
    assert why_asked_anew(request(body), lambda _: False) == chosen


@pytest.mark.parametrize(
    "changes",
    [{"endpoint": Endpoint(name="e", cache_reuse="always")}, {"operation": "embeddings"}, {"own": True}],
)
def test_where_all_is_shared_an_embedding_or_our_own_nothing_is_a_sample(changes: dict[str, Any]) -> None:
    of_somebody = request({"temperature": 1, "n": 2}, user="u", session="s", **changes)
    assert why_asked_anew(of_somebody, lambda _: True) == ""
    assert who_and_what(of_somebody, b"k") is None


def test_who_is_the_session_else_the_user_of_one_tenant() -> None:
    same = [who_and_what(request(session="s", user=user), b"k") for user in ("", "u", "v")]
    assert same[0] is not None and len(set(same)) == 1
    others = [
        request(session="t"),
        request(user="s"),
        request(user="u"),
        request({"safety_identifier": "v"}),
        request(session="s", tenant=Tenant(name="rival")),
    ]
    digests = [who_and_what(one, b"k") for one in others] + [who_and_what(request(session="s"), b"other")]
    assert None not in digests and len({*digests, same[0]}) == len(digests) + 1
    assert who_and_what(request(), b"k") is None
    assert who_and_what(request({"safety_identifier": ["not", "a", "name"]}), b"k") is not None


def test_without_a_key_the_question_tells_what_is_asked() -> None:
    one = who_and_what(asked("q", session="s"), None)
    assert one is not None and one == who_and_what(asked("q", session="s"), None)
    assert one != who_and_what(asked("r", session="s"), None)
    talk: list[Any] = [{"role": "user", "content": "q"}]
    first = request({"messages": talk}, session="s")
    talk = [*talk, {"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "4"}]
    step = request({"messages": talk}, session="s")
    assert who_and_what(first, None) != who_and_what(step, None), "an agent's next step"


def test_what_was_given_is_forgotten_in_time_and_beyond_the_bound() -> None:
    now_s = 0.0
    given = Given(kept_max=2, clock=lambda: now_s)
    given.note(1)
    now_s = 10.0
    given.note(2)
    assert given.lately(1, 10) and not given.lately(1, 9) and not given.lately(3, 9)
    given.note(1)  # again: it is the newest now
    given.note(3)
    assert len(given) == 2 and given.lately(1, 1) and not given.lately(2, 100)


def test_within_no_time_nothing_was_given() -> None:
    given = Given(clock=lambda: 0.0)
    given.note(1)
    assert given.lately(1, 1) and not given.lately(1, 0)
