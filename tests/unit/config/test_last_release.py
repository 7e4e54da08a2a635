"""Files of the last release mean what they meant: `tests/data/last_release` has some of its documentation,
benchmarks and tests, and `effective.json`, what that release itself read in each of them."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from farthing import config
from farthing.brain.route.expression import Expression

FILES = Path(__file__).parents[2] / "data" / "last_release"
EFFECTIVE = json.loads((FILES / "effective.json").read_text())
NAMES = sorted(EFFECTIVE)
OF_ANOTHER_KIND = {
    "rules": {"model", "threshold", "explore_share", "prefer", "llm"},
    "llm": {"model", "threshold"},
    "learned": set[str](),
}
"""Keys of `route` that had a value under every kind, though it was of no use there."""

NEW: "Leaves" = {
    ("call", "model_identity"): "model",
    ("call", "continue_broken_streams"): False,
    ("call", "continuations_max"): 1,
    ("guard", "plugins"): [],
    ("prompt_cache", "measure"): True,
    ("prompt_cache", "stay"): None,
    ("prompt_cache", "breakpoints"): "auto",
    ("prompt_cache", "key"): "auto",
    ("responses", "response_bytes_max"): 33_554_432,
    ("responses", "tenant_share"): 0.5,
    ("responses", "ttl_s"): 2_592_000.0,
    ("responses", "store", "kind"): "sqlite",
    ("responses", "store", "path"): None,
    ("responses", "store", "bytes_max"): 1_073_741_824,
    ("responses", "store", "responses_max"): 100_000,
    ("stored_completions", "tenant_share"): 0.5,
    ("stored_completions", "ttl_s"): 2_592_000.0,
    ("stored_completions", "store", "kind"): "sqlite",
    ("stored_completions", "store", "path"): None,
    ("stored_completions", "store", "completions_max"): 100_000,
    ("catalogue_url",): None,
    ("call", "ask_models"): True,
    ("call", "adaptive"): True,
}
"""What the last release had not, at its default."""
NEW_KEYS: dict[str, Any] = {
    "operations": None,
    "api_version": "",
    "completions": False,
    "stored_completions": None,
    "embeddings_inputs_max": None,
    "embeddings_tokens_max": None,
    "entra": None,
    "google": None,
    "api_keys": [],
    "replicas": [],
    "separate_accounts": False,
    "region": "",
    "prefill": None,
}
"""Of a provider."""
NEW_PRICES = ("cached_audio", "cached_image", "output_reasoning")
Leaves = dict[tuple[str | int, ...], Any]


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    tables = isinstance(value, list) and value and isinstance(value[0], dict)
    if (isinstance(value, dict) and value) or tables:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path, float(value) if isinstance(value, Decimal) else value


def meant(name: str) -> Leaves:
    """What the last release read in the file, by the paths that it had."""
    base = {tuple(path): value for path, value in EFFECTIVE["defaults"]["set"]}
    for path in EFFECTIVE[name]["replaced"]:
        del base[tuple(path)]
    return base | {tuple(path): value for path, value in EFFECTIVE[name]["set"]}


def now_called(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    match path:
        case ("errands", *rest):
            return ("jobs", *rest)
        case ("cache", "again_s"):
            return ("cache", "reask_s")
        case ("endpoints", name, "quality", "retry_s"):
            return ("endpoints", name, "quality", "reask_s")
        case ("endpoints", name, "cache", "semantic", "false_hits_max"):
            return ("endpoints", name, "cache", "semantic", "risk_max")
        case ("endpoints", name, "route_loss_max"):
            return ("endpoints", name, "route_risk_max")
        case _:
            return path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_last_release_means_what_it_meant(name: str) -> None:
    path = FILES / f"{name}.toml"
    read = config.loads(path.read_text(), {}, condition=Expression, secrets=False)
    was = meant(name)
    unused = {("route", key) for key in OF_ANOTHER_KIND[was["route", "kind"]]}
    expected = {now_called(key): value for key, value in was.items() if key[:2] not in unused}
    found = dict(leaves(config.plain(read)))
    kinds = {key for key in found if key[0] == "providers" and key[2:] == ("kind",)}
    assert {found.pop(key) for key in kinds} <= {"openai"}  # that release knew no other
    new: Leaves = {("endpoints", name, "retrieve"): None for name in read.endpoints}
    new |= {("tiers", name, "fallback"): None for name in read.tiers}
    new |= {("endpoints", name, "store_responses"): False for name in read.endpoints}
    for table, names in (("endpoints", read.endpoints), ("tiers", read.tiers)):
        new |= {(table, name, key): None for name in names for key in ("hedge", "hedge_after_ms")}
    new |= {("endpoints", name, "residency"): [] for name in read.endpoints}
    new |= {("endpoints", name, "continue_broken_streams"): None for name in read.endpoints}
    new |= {("providers", name, "drop"): ["temperature", "top_p", "top_k"] for name in read.providers}
    new |= {("providers", name, key): value for name in read.providers for key, value in NEW_KEYS.items()}
    new |= {
        ("endpoints", name, "prompt_cache", key): None
        for name in read.endpoints
        for key in ("breakpoints", "key")
    }
    new |= {("providers", name, "responses"): None for name in read.providers}
    prices = {key[:-1] for key in found if key[0] == "prices" and key[-1] == "cached_input"}
    new |= {(*key, name): None for key in prices for name in NEW_PRICES}
    assert found == expected | NEW | new


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("benchmark", []),
        ("defaults", []),
        ("documented", []),
        ("llm", []),
        (
            "learned",
            ["errands", "cache.again_s", "endpoints.faq.quality.retry_s", "endpoints.faq.route_loss_max"],
        ),
        ("semantic", ["endpoints.faq.quality.retry_s", "endpoints.faq.cache.semantic.false_hits_max"]),
    ],
)
def test_its_old_names_are_told_and_nothing_else(name: str, old: list[str]) -> None:
    told = config.placed((), FILES / f"{name}.toml", {})
    assert [line.split(": ")[1] for line in told] == old
    assert all("the next release reads only that name" in line for line in told)


def test_every_file_is_tried() -> None:
    assert sorted(path.stem for path in FILES.glob("*.toml")) == NAMES
