"""Tests that take long: a fixed sample of each in every run, all of it in `make conformance`."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def at_length(name: str, *, sample: Any, full: Any) -> pytest.MarkDecorator:
    """Parametrise a test by `name`: with `sample` in every run, with `full` in conformance."""
    return pytest.mark.parametrize(
        name,
        [pytest.param(sample, id="sample"), pytest.param(full, id="full", marks=pytest.mark.conformance)],
    )


def some_of(names: Iterable[str], sample: Collection[str]) -> list[Any]:
    """`names` as parameters, of which all but those in `sample` are left to conformance."""
    return [
        pytest.param(name, id=name, marks=() if name in sample else pytest.mark.conformance) for name in names
    ]
