"""A warning that is worth a line now and then."""

from farthing.models.seldom import NAMES_MAX, Seldom


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
