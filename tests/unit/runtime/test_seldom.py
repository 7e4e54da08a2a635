"""A warning that is worth a line now and then."""

from farthing.runtime.seldom import NAMES_MAX, Seldom, Tally


def test_each_name_is_told_of_once_in_a_while() -> None:
    now_s = [0.0]
    seldom = Seldom(60.0, lambda: now_s[0])
    assert seldom.again("a") and seldom.again("b")
    assert not seldom.again("a")
    now_s[0] = 59.9
    assert not seldom.again("a")
    now_s[0] = 60.0
    assert seldom.again("a") and not seldom.again("a")


def test_it_forgets_rather_than_grow() -> None:
    seldom = Seldom(60.0, lambda: 0.0)
    assert all(seldom.again(str(number)) for number in range(NAMES_MAX + 1))
    assert seldom.again("0")


def test_what_was_kept_back_is_counted() -> None:
    now_s = [0.0]
    tally = Tally(10.0, lambda: now_s[0])
    assert [tally.unsaid("a") for _ in range(4)] == [0, None, None, None]
    assert tally.unsaid("b") == 0
    now_s[0] = 10.0
    assert tally.unsaid("a") == 3 and tally.unsaid("a") is None
    now_s[0] = 20.0
    assert tally.unsaid("a") == 1


def test_what_was_kept_back_is_bounded_too() -> None:
    tally = Tally(60.0, lambda: 0.0)
    for number in range(3 * NAMES_MAX):
        tally.unsaid(str(number))
        tally.unsaid(str(number))
    assert len(tally._unsaid) <= NAMES_MAX
