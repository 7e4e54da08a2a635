"""Of a target with several addresses, requests that must stay within regions use those that are."""

from typing import cast

import pytest

from farthing.config import CallConfig, loads, remaining
from farthing.errors import OutsideResidency
from farthing.models.lanes.pick import Lane, Lanes, Place
from farthing.models.lanes.ways import Ways
from farthing.models.residency import Regions
from farthing.protocols import Provider
from farthing.types import Endpoint, Target, Terms

CONFIG = loads(
    """
[providers.p]
base_url = "https://gpu.example/v1"
region = "us-east-1"
api_keys = ["${K1}", "${K2}"]
[[providers.p.replicas]]
base_url = "https://gpu2.example/v1"
region = "eu-west-1"
[[providers.p.replicas]]
base_url = "https://gpu3.example/v1"
""",
    {"K1": "one", "K2": "two"},
)
TARGET = Target(name="p/m", provider="p", model="m")
EU = Endpoint(name="eu", terms=Terms(), residency=("eu",))
ANY = Endpoint(name="any", terms=Terms())
NOBODY = Endpoint(name="jp", terms=Terms(), residency=("jp",))


def place(address: str, region: str, key: str = "1") -> Place:
    return Place(
        cast(Provider, None), label=f"{address} {key}", address=address, region=region, identity=address + key
    )


PLACES = (
    place("https://gpu.example/v1", "us-east-1", "1"),
    place("https://gpu.example/v1", "us-east-1", "2"),
    place("https://gpu2.example/v1", "eu-west-1"),
    place("https://gpu3.example/v1", ""),
)
WITHIN = {"https://gpu2.example/v1 1"}


@pytest.fixture
def lanes() -> Lanes:
    ways = Ways(
        {"p": cast(Provider, None)}, CallConfig(), lambda: 100.0, {}, lambda name, error, seconds: None
    )
    ways.places = {"p": PLACES}
    found = ways.open(TARGET)
    assert isinstance(found, Lanes)
    return found


def test_a_target_is_asked_where_one_of_its_addresses_is_within() -> None:
    regions = Regions(CONFIG.providers)
    assert [regions.allows(one, TARGET) for one in (EU, ANY, NOBODY)] == [True, True, False]
    assert [regions.allows_first(one, TARGET) for one in (EU, ANY)] == [False, True], "a batch asks the first"
    found = regions.within(EU, TARGET, PLACES)
    assert found is not None and found.label in WITHIN
    assert regions.within(ANY, TARGET, PLACES) is PLACES[0] and regions.within(NOBODY, TARGET, PLACES) is None


def test_every_place_is_checked_before_it_is_called() -> None:
    regions = Regions(CONFIG.providers)
    for one in PLACES:
        regions.check(ANY, TARGET, one)
        if one.label in WITHIN:
            regions.check(EU, TARGET, one)
            continue
        with pytest.raises(OutsideResidency):
            regions.check(EU, TARGET, one)
    with pytest.raises(OutsideResidency):
        regions.check(EU, TARGET, Place(cast(Provider, None)))  # of a provider with one address: its own


def test_only_lanes_within_are_picked_at_first_after_a_failure_beside_and_last(lanes: Lanes) -> None:
    regions = Regions(CONFIG.providers)
    barred = regions.barred(EU, TARGET, lanes.all)

    def labels(found: Lane | None) -> set[str]:
        return set() if found is None else {found.label}

    for _ in range(50):
        assert labels(lanes.pick(tried=barred)) == WITHIN
    within = next(lane for lane in lanes.all if lane.label in WITHIN)
    assert lanes.beside(within, barred) is None and not lanes.others(within, barred)
    assert {lane.label for lane in lanes.left((), barred)} == WITHIN
    assert regions.barred(ANY, TARGET, lanes.all) == ()
    assert regions.barred(NOBODY, TARGET, lanes.all) == (), "so that the call itself says why it is refused"


def test_an_endpoint_is_told_which_addresses_are_left_out() -> None:
    text = """
[providers.p]
base_url = "https://gpu.example/v1"
[[providers.p.replicas]]
base_url = "https://gpu2.example/v1"
region = "eu-west-1"
[tiers.cheap]
targets = ["p/small"]
[endpoints.eu]
residency = ["eu"]
"""
    found = remaining(loads(text, {}))["eu"]
    assert (found.targets, found.left_out, found.partly) == (("p/small",), {}, {"p/small": ("",)})
    assert "it asks p/small (not its addresses: region unknown)" in found.story("eu")
