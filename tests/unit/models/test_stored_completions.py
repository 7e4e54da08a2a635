"""Which providers are known to keep chat completions."""

import pytest

from farthing.config import (
    AnthropicProviderConfig,
    Config,
    OpenAIProviderConfig,
    ResponsesProviderConfig,
    lanes_of,
    loads,
)
from farthing.models.lanes.ways import open_places
from farthing.models.stored_completions import Keepers
from farthing.wiring.providers import build_provider


@pytest.mark.parametrize(
    ("base_url", "keeps"),
    [
        ("https://api.openai.com/v1", True),
        ("https://acme.openai.azure.com/openai/v1", True),
        ("https://acme.openai.azure.com/openai/deployments/{model}", False),
        ("https://acme.openai.azure.com/openai/deployments/mine", False),
        ("https://api.groq.com/openai/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_it_is_known_by_the_host_unless_the_configuration_says_so(base_url: str, keeps: bool) -> None:
    for said, wanted in ((None, keeps), (True, True), (False, False)):
        config = OpenAIProviderConfig(base_url=base_url, stored_completions=said)
        assert build_provider("a", config).capabilities.stored_completions is wanted


def test_no_other_kind_keeps_any() -> None:
    for config in (AnthropicProviderConfig(), ResponsesProviderConfig()):
        assert not build_provider("a", config).capabilities.stored_completions


def test_it_is_asked_below_its_own_address_with_its_own_key_and_version() -> None:
    config = OpenAIProviderConfig(
        base_url="https://acme.openai.azure.com/openai/v1", api_version="preview", headers={"x-of": "mine"}
    )
    provider = build_provider("a", config)
    head = provider.stored_head("GET", "/chatcmpl-1/messages?limit=1").decode()
    assert head.startswith(
        "GET /openai/v1/chat/completions/chatcmpl-1/messages?limit=1&api-version=preview HTTP"
    )
    assert "x-of: mine" in head
    head = provider.stored_head("DELETE", "/chatcmpl-1").decode()
    assert head.startswith("DELETE /openai/v1/chat/completions/chatcmpl-1?api-version=preview HTTP")


# -- several addresses and accounts -------------------------------------------------------------------

SEVERAL = """
[providers.a]
base_url = "https://api.openai.com/v1"
{keys}
[[providers.a.replicas]]
name = "azure"
base_url = "https://acme.openai.azure.com/openai/v1"
api_key = "${{AZURE}}"
[[providers.a.replicas]]
name = "own"
base_url = "http://127.0.0.1:8000/v1"
api_key = "${{OWN}}"
"""
ENV = {"ONE": "sk-one", "TWO": "sk-two", "THREE": "sk-three", "AZURE": "of-azure", "OWN": "of-own"}
TWO_KEYS = 'api_keys = ["${ONE}", "${TWO}"]'


def config(keys: str, several: bool = True) -> Config:
    text = SEVERAL.format(keys=keys)
    return loads(text if several else text.partition("[[")[0], ENV)


def keepers(found: Config) -> Keepers:
    places = {
        name: open_places(lanes_of(name, one), lambda lane, account: build_provider("a", lane))
        for name, one in found.providers.items()
    }
    return Keepers(places, found.providers, b"key")


LANES = ("main, key 1", "main, key 2", "replica azure", "replica own")


def test_the_lane_is_noted_of_several_and_asked_again() -> None:
    found = keepers(config(TWO_KEYS))
    for lane in LANES[:3]:
        mark = found.mark("a", lane)
        assert mark and found.keeps("a", mark) and found.place("a", mark, 0.0).label == lane
        assert len(mark) == 32 and not set(mark) - set("0123456789abcdef"), "digests, and nothing else"
    assert found.mark("a", LANES[3]) is None, "it keeps none"
    assert found.mark("b", "") is None
    assert found.place("a", "", 0.0).label == "main, key 1", "as before it had others"


def test_another_key_of_the_address_asks_where_its_own_rests_or_is_gone() -> None:
    found = keepers(config(TWO_KEYS))
    mark = found.mark("a", "main, key 2") or ""
    found.place("a", mark, 0.0).rests_until_s = 50.0
    assert found.place("a", mark, 10.0).label == "main, key 1"
    assert found.place("a", mark, 60.0).label == "main, key 2"
    after = keepers(config('api_keys = ["${THREE}"]'))
    assert after.place("a", mark, 0.0).label == "main"


def test_separate_accounts_are_noted_apart_and_found_when_the_order_of_keys_changes() -> None:
    separate = "separate_accounts = true"
    found = keepers(config(f"{TWO_KEYS}\n{separate}"))
    one, two = found.mark("a", "main, key 1"), found.mark("a", "main, key 2")
    assert one and two and one != two
    after = keepers(config(f'api_keys = ["${{THREE}}", "${{TWO}}", "${{ONE}}"]\n{separate}'))
    assert after.place("a", one, 0.0).label == "main, key 3"
    assert after.place("a", two, 0.0).label == "main, key 2"
    after.place("a", two, 0.0).rests_until_s = 50.0
    assert after.place("a", two, 0.0).label == "main, key 2", "no other account has it"
    gone = keepers(config(f'api_keys = ["${{THREE}}", "${{TWO}}"]\n{separate}'))
    assert gone.keeps("a", two) and not gone.keeps("a", one)


def test_one_place_needs_no_mark_and_is_found_with_the_one_it_had_among_several() -> None:
    one = keepers(config('api_key = "${ONE}"', several=False))
    assert one.mark("a", "") == "" and one.keeps("a", "")
    several = keepers(config(TWO_KEYS))
    assert one.keeps("a", several.mark("a", "main, key 1") or "?")
    assert one.keeps("a", several.mark("a", "main, key 2") or "?"), "an address's keys are of one account"
    assert not one.keeps("a", several.mark("a", "replica azure") or "?")
