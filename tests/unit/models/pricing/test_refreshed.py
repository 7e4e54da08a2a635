"""A price list that was fetched is read like a hostile file, and kept whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.models.pricing import kept_list
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.refreshed import BYTES_MAX, NotAList, Refreshed, read_fetched
from farthing.models.pricing.rows import File

TODAY = "2031-05-01"
SHIPPED = Catalogue.load()


def read(content: bytes, before: Catalogue = SHIPPED) -> Refreshed:
    return read_fetched(content, source="prices.test", today=TODAY, before=before)


def own(*rows: dict[str, Any], head: bool = True) -> bytes:
    """A list in our format: a hundred plain models, and `rows`."""
    many = [{"provider": "p", "model": f"m{n}", "prices": [{"in": 10, "out": 20}]} for n in range(100)]
    lines = [*([{"version": "theirs", "providers": {}}] if head else []), *many, *rows]
    return "\n".join(map(json.dumps, lines)).encode()


def litellms(**rows: Any) -> bytes:
    many = {
        f"groq/m{n}": {
            "litellm_provider": "groq",
            "mode": "chat",
            "input_cost_per_token": 1e-6,
            "output_cost_per_token": 2e-6,
        }
        for n in range(100)
    }
    return json.dumps({"sample_spec": {"mode": "one of: chat"}, **many, **rows}, indent=1).encode()


def test_the_list_of_the_package_passes_its_own_check() -> None:
    found = read(kept_list.packaged().body)
    assert (found.refused, found.added, found.gone, found.changed) == (0, 0, 0, 0)
    again = Catalogue.of(File(found.content))
    assert again.find("openai", "gpt-5.2") == SHIPPED.find("openai", "gpt-5.2")


@pytest.mark.parametrize("head", [True, False])
def test_our_own_format_replaces_the_list(head: bool) -> None:
    found = read(own(head=head))
    assert (found.models, found.added, found.refused) == (100, 100, 0) and found.gone > 3_000
    listed = Catalogue.of(File(found.content))
    assert listed.version == f"{TODAY} fetched from prices.test" and listed.providers() == ["p"]


def test_litellms_format_goes_over_the_list_and_keeps_the_prices_of_before() -> None:
    new = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 5e-6,
        "output_cost_per_token": 5e-5,
        "max_input_tokens": 500_000,
        "supports_vision": True,
        "supports_audio_input": False,
    }
    found = read(litellms(**{"gpt-5.2": new, "gpt-99": new}))
    listed = Catalogue.of(File(found.content))
    price, old = listed.price("openai", "gpt-5.2", TODAY), SHIPPED.price("openai", "gpt-5.2")
    assert price is not None and (price.input_pusd, price.output_pusd) == (5_000_000, 50_000_000)
    assert listed.price("openai", "gpt-5.2", "2030-01-01") == old
    model = listed.find("openai", "gpt-99")
    assert model is not None and model.context_tokens_max == 500_000
    assert "vision" in model.features.can and "audio_in" in model.features.cannot
    assert listed.find("anthropic", "claude-opus-5-5") == SHIPPED.find("anthropic", "claude-opus-5-5")
    assert found.changed == 1 and found.added == 101


def test_a_price_of_litellms_format_that_no_model_has_is_counted_and_changes_nothing() -> None:
    dear = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1,
        "output_cost_per_token": 5e-5,
        "max_input_tokens": 7,
    }
    found = read(litellms(**{"gpt-5.2": dear}))
    assert (found.refused, found.changed) == (1, 0)
    assert Catalogue.of(File(found.content)).find("openai", "gpt-5.2") == SHIPPED.find("openai", "gpt-5.2")


def test_prices_that_jump_are_told_and_others_are_not() -> None:
    low = {"provider": "openai", "model": "gpt-5.2", "prices": [{"in": 1_000, "out": 2_000}]}
    same = {"provider": "openai", "model": "gpt-4o", "prices": [{"in": 3_000_000, "out": 9_000_000}]}
    found = read(own(low, same))
    assert len(found.jumps) == 1 and found.changed == 2
    assert found.jumps[0].startswith("openai/gpt-5.2: from $1.75 in and $14 out to $0.001 in and $0.002 out")


HOSTILE: list[dict[str, Any]] = [
    {"prices": [{"in": 0, "out": 0}]},
    {"prices": [{"in": -1, "out": 5}]},
    {"prices": [{"in": 2_000_000_000, "out": 5}]},
    {"prices": [{"in": 5, "out": 5, "cached": 6}]},
    {"prices": [{"in": 5, "out": 5, "since": "tomorrow"}]},
    {"prices": [{"in": 5, "out": 5, "since": "2030-01-01"}, {"in": 5, "out": 5, "since": "2029-01-01"}]},
    {"prices": [{"in": 5, "out": 5, "factors": {"fast": "1e999999999"}}]},
    {"prices": [{"in": 5, "out": 5, "factors": {"fast": "0"}}]},
    {"prices": [{"in": 5, "out": 5, "factors": {"fast\n": "1"}}]},
    {"prices": [{"in": 5, "out": 5, "long_over": 5}]},
    {"prices": [{"in": 5, "out": 5, "fees": {"web_search": 10**18}}]},
    {"prices": "free"},
    {"model": "a\nb"},
    {"model": "m" * 300},
    {"provider": "../etc"},
    {"context": 10**15},
    {"context": 0},
    {"can": "fly"},
    {"released": "soon"},
    {"model": "m5"},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=repr)
def test_a_row_that_cannot_be_is_left_out(changes: dict[str, Any]) -> None:
    row = {"provider": "p", "model": "odd", "prices": [{"in": 5, "out": 5}], **changes}
    found = read(own(row))
    assert (found.refused, found.models) == (1, 100)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"version":"x"}\n{"provider":1}\n',
        b'{"version":"x"}\n' + b'{"provider":"p","model":"m","prices":' + b"[" * 100_000,
        own()[:3_000],
        b'{"gpt": 5}',
        b"{}",
        b"\xff\xfe" * 50,
        b" " * (BYTES_MAX + 1),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_what_is_no_list_is_refused(content: bytes) -> None:
    with pytest.raises(NotAList):
        read(content)


@pytest.mark.parametrize(
    "odd",
    [
        {"input_cost_per_token": 1e300},
        {"input_cost_per_token": "1"},
        {"max_input_tokens": 10**30},
        {"supported_modalities": 5},
        {"supported_output_modalities": 5},
        {"supported_endpoints": {"a": 1}},
        {"search_context_cost_per_query": [1]},
        {"provider_specific_entry": "x"},
        {"litellm_provider": ["groq"]},
        {"mode": {"a": 1}},
        {"deprecation_date": "9999"},
        {"reasoning_effort_levels": [[1]]},
        {"regional_processing_uplift_multiplier_eu": "much"},
    ],
    ids=repr,
)
def test_an_odd_row_of_litellms_list_does_not_spoil_the_others(odd: dict[str, Any]) -> None:
    plain = {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    found = read(litellms(**{"groq/odd": {"litellm_provider": "groq", **plain, **odd}}))
    listed = Catalogue.of(File(found.content))
    assert listed.find("groq", "m7") is not None and listed.price("groq", "m7", TODAY) is not None


@given(st.data())
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
def test_whatever_comes_is_a_list_or_refused(data: st.DataObject) -> None:
    """A good list with a part of it replaced."""
    content = bytearray(data.draw(st.sampled_from([own(), litellms()])))
    at = data.draw(st.integers(0, len(content)))
    content[at : at + data.draw(st.integers(0, 60))] = data.draw(st.binary(max_size=40))
    try:
        found = read(bytes(content), before=Catalogue("none", {}))
    except NotAList:
        return
    listed = Catalogue.of(File(found.content))
    assert sum(len(list(listed.models(provider))) for provider in listed.providers()) == found.models


def test_the_newer_list_is_used_and_can_be_taken_back(tmp_path: Path) -> None:
    assert kept_list.current(tmp_path).version == SHIPPED.version
    kept_list.keep(tmp_path, read(own()).content)
    assert kept_list.current(tmp_path).version == f"{TODAY} fetched from prices.test"
    assert kept_list.forget(tmp_path) and not kept_list.forget(tmp_path)
    assert kept_list.current(tmp_path).version == SHIPPED.version


def test_a_fetched_list_older_than_that_of_the_package_is_not_used(tmp_path: Path) -> None:
    old = read_fetched(own(), source="prices.test", today="2020-01-01", before=SHIPPED)
    kept_list.keep(tmp_path, old.content)
    assert kept_list.current(tmp_path).version == SHIPPED.version


def test_a_kept_list_that_was_cut_or_changed_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = read(own()).content
    for broken in (content[:-20], content.replace(b'"in":10', b'"in":11', 1), b"", b"x"):
        kept_list.keep(tmp_path, broken)
        assert kept_list.current(tmp_path).version == SHIPPED.version
        assert "cannot be used" in caplog.text
        caplog.clear()
