"""The book of an endpoint's policy: what may be changed, what is kept, and that a bad file is refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.certified import certificate

from farthing.errors import ConfigError
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.applied import Policies
from farthing.guarantees.policy.versions import (
    CHANGES_MAX,
    VERSIONS_MAX,
    Author,
    PolicyBook,
    PolicyRefused,
    add,
    canary,
    promote,
    rollback,
)
from farthing.types import replace

ANNA = Author(who="anna", at_unix_s=1_000.0)


def book_of(count: int = 2) -> PolicyBook:
    book = PolicyBook(endpoint="faq")
    for _ in range(count):
        book = add(book, certificate(), ANNA, note="made")
    return book


def test_a_new_version_decides_nothing_until_it_is_tried_or_served() -> None:
    book = book_of(2)
    assert [one.number for one in book.versions] == [1, 2]
    assert (book.serving, book.candidate) == (0, None)


def test_a_canary_takes_a_share_and_promoting_it_ends_the_trial() -> None:
    book = canary(book_of(2), 2, 0.1, ANNA)
    assert (book.serving, book.candidate, book.share) == (0, 2, 0.1)
    book = promote(book, None, ANNA)
    assert (book.serving, book.candidate, book.share) == (2, None, 0.0)


def test_rollback_takes_back_the_canary_first_and_then_what_served_before_down_to_the_configuration() -> None:
    book = promote(promote(book_of(3), 1, ANNA), 2, ANNA)
    book = rollback(canary(book, 3, 0.5, ANNA), ANNA)
    assert (book.serving, book.candidate) == (2, None)
    book = rollback(book, ANNA)
    assert book.serving == 1
    book = rollback(book, ANNA)
    assert book.serving == 0
    with pytest.raises(PolicyRefused, match="nothing to roll back: no version of 'faq' serves"):
        rollback(book, ANNA)


def test_rollback_to_a_named_version_may_itself_be_rolled_back() -> None:
    book = rollback(promote(book_of(2), 2, ANNA), ANNA, to=1)
    assert book.serving == 1
    assert rollback(book, ANNA).serving == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda book: canary(book, 9, 0.1, ANNA), "no version 9; existing versions: 1, 2"),
        (lambda book: canary(book, 1, 1.0, ANNA), "between 0 and 1"),
        (lambda book: canary(book, 0, 0.1, ANNA), "is already serving"),
        (lambda book: promote(book, None, ANNA), "no candidate to promote"),
        (lambda book: promote(book, 0, ANNA), "is already serving"),
        (lambda book: rollback(book, ANNA, to=7), "no version 7"),
        (lambda book: add(book, certificate("other"), ANNA), "to 'other', not to 'faq'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(change: object, why: str) -> None:
    with pytest.raises(PolicyRefused, match=why):
        change(book_of(2))  # type: ignore[operator]


def test_every_change_says_who_when_and_what() -> None:
    book = rollback(canary(book_of(1), 1, 0.25, Author(who="ben", at_unix_s=5.0)), ANNA)
    assert [(one.who, one.what) for one in book.changes] == [
        ("anna", "added version 1: made"),
        ("ben", "version 1 decides 25.0% beside version 0"),
        ("anna", "dropped candidate 1; version 0 serves"),
    ]
    assert book.changes[1].at_unix_s == 5.0


def test_of_too_many_versions_the_oldest_that_nobody_uses_goes() -> None:
    book = canary(promote(book_of(2), 1, ANNA), 2, 0.1, ANNA)
    for _ in range(VERSIONS_MAX + 5):
        book = add(book, certificate(), ANNA)
    kept = [one.number for one in book.versions]
    assert len(kept) == VERSIONS_MAX and {1, 2} <= set(kept) and 3 not in kept
    assert book.last_number == VERSIONS_MAX + 7
    for _ in range(CHANGES_MAX):
        book = rollback(canary(book, 2, 0.1, ANNA), ANNA) if book.candidate is None else rollback(book, ANNA)
    assert len(book.changes) == CHANGES_MAX


# -- files --------------------------------------------------------------------------------------------


def test_a_book_comes_back_from_its_file_whatever_the_endpoint_is_called(tmp_path: Path) -> None:
    name = "../Über faq@2"
    made = versions.change(tmp_path, name, lambda book: promote(add(book, certificate(name), ANNA), 1, ANNA))
    path = versions.place(tmp_path, name)
    assert path.parent == tmp_path / "policies"
    assert versions.load(path) == made and versions.endpoint_at(path) == name
    assert versions.load(versions.place(tmp_path, "none")) is None


def test_a_refused_change_writes_nothing(tmp_path: Path) -> None:
    versions.change(tmp_path, "faq", lambda book: add(book, certificate(), ANNA))
    before = versions.place(tmp_path, "faq").read_bytes()
    with pytest.raises(PolicyRefused):
        versions.change(tmp_path, "faq", lambda book: canary(book, 4, 0.1, ANNA))
    assert versions.place(tmp_path, "faq").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": 2}, "format 2"),
        ({"endpoint": "other"}, "its file name says 'faq'"),
        ({"serving": 5}, "does not contain"),
        ({"candidate": 1, "share": 1.5}, "between 0 and 1"),
        ({"last_number": 1}, "version numbers"),
        ({"unknown_field": 1}, "unknown_field"),
        ({"serving": "one"}, "not a routing policy"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    path = versions.place(tmp_path, "faq")
    path.parent.mkdir()
    plain = msgspec.to_builtins(book_of(2))
    path.write_bytes(msgspec.json.encode({**plain, **changes}))
    with pytest.raises(ConfigError, match=why):
        versions.load(path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"risk_max": 0.0}, "risk_max is 0, not between"),
        ({"delta": 1.0}, "delta is 1, not between"),
        ({"segment_risk_max": -0.1}, "segment_risk_max is -0.1, not between"),
        ({"version": 9}, "certificate of format 9"),
        ({"endpoint": "other"}, "another endpoint"),
    ],
)
def test_a_certificate_that_no_watch_could_hold_to_is_refused_and_stops_nothing(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    path = versions.place(tmp_path, "faq")
    made = promote(add(PolicyBook(endpoint="faq"), certificate(), ANNA), 1, ANNA)
    versions.save(path, made)
    policies = Policies(versions.folder_of(tmp_path), RouteMonitor())
    policies.refresh()
    broken = replace(made.versions[0], certificate=replace(made.versions[0].certificate, **changes))
    versions.save(path, replace(made, versions=(broken,)))
    with pytest.raises(ConfigError, match=why):
        versions.load(path)
    policies.refresh()
    assert policies.refused == 1 and policies.book("faq") == made


def test_labels_name_endpoint_and_version() -> None:
    assert versions.number_of(versions.label_of("a@b", 12)) == 12
    assert versions.number_of("faq") is None and versions.number_of("faq@x") is None


def test_a_file_that_is_nested_too_deeply_is_refused_like_any_other(tmp_path: Path) -> None:
    """Not by a RecursionError, which would end the start, or the following of policies for good."""
    path = tmp_path / "exam.json"
    for deep in (b'{"a":' * 990 + b"1" + b"}" * 990, b"[" * 900 + b"]" * 900):
        path.write_bytes(deep)
        with pytest.raises(ConfigError, match="is not a routing policy"):
            versions.load(path)
