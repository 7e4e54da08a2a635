"""Further keys and addresses of a provider, and hedging, as a file says them."""

import pytest

from farthing import config
from farthing.config import lanes_of, secrets_of
from farthing.errors import ConfigError

ENV = {"A": "sk-first-0123456789", "B": "sk-second-0123456789", "A2": "sk-first-0123456789"}


def labels(text: str) -> list[tuple[str, str, str, str]]:
    read = config.loads(f'[providers.x]\nbase_url = "http://a.test/v1"\n{text}', ENV).providers["x"]
    return [
        (
            lane.label,
            lane.config.base_url,
            "" if lane.config.api_key is None else lane.config.api_key.name,
            lane.account,
        )
        for lane in lanes_of("x", read)
    ]


def test_one_address_with_one_key_has_no_label() -> None:
    assert labels("") == [("", "http://a.test/v1", "", "")]
    for text in ('api_key = "${A}"', 'api_keys = ["${A}"]'):
        assert labels(text) == [("", "http://a.test/v1", "A", "")]


def test_every_address_goes_with_each_of_its_keys_under_a_name_without_secrets() -> None:
    replicas = """
    api_key = "${A}"
    api_keys = ["${B}"]
    [[providers.x.replicas]]
    base_url = "http://b.test/v1"
    region = "eu"
    [[providers.x.replicas]]
    base_url = "http://c.test/v1"
    api_key = "${B}"
    """
    assert labels(replicas) == [
        ("main, key 1", "http://a.test/v1", "A", ""),
        ("main, key 2", "http://a.test/v1", "B", ""),
        ("replica eu, key 1", "http://b.test/v1", "A", ""),
        ("replica eu, key 2", "http://b.test/v1", "B", ""),
        ("replica 3", "http://c.test/v1", "B", ""),
    ]


def test_keys_of_different_accounts_have_accounts_of_their_own() -> None:
    found = labels('api_key = "${A}"\napi_keys = ["${B}"]\nseparate_accounts = true')
    assert [account for *_, account in found] == ["x, key 1", "x, key 2"]


def test_replicas_without_a_name_of_their_own_are_numbered() -> None:
    both = "".join(
        f'[[providers.x.replicas]]\nbase_url = "http://{host}.test/v1"\nregion = "eu"\n' for host in "bc"
    )
    assert [label for label, *_ in labels(both)] == ["main", "replica 2", "replica 3"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'api_key = "${A}"\napi_keys = ["${A2}"]',
            "providers.x.api_keys[0]: the same key as api_key; remove",
        ),
        ('api_keys = ["sk-in-the-file"]', "a secret must not be in the file"),
        ('api_keys = ["${A}"]\nauth = "none"', 'api_keys: would never be sent with auth = "none"'),
        ('api_key = "${A}"\nseparate_accounts = true', "separate_accounts: it has one key; add others"),
        (
            '[[providers.x.replicas]]\nbase_url = "http://a.test/v1/"',
            "replicas[0].base_url: an address that its provider has already, with the same key",
        ),
        ('[[providers.x.replicas]]\nbase_url = "a.test"', "replicas[0].base_url: expected an URL"),
        (
            '[[providers.x.replicas]]\nbase_url = "http://b.test/v1"\nregion = "e u"',
            "replicas[0].region: expected letters, digits, dots",
        ),
        (
            '[[providers.x.replicas]]\nbase_url = "http://b.test/{m}"',
            'replicas[0].base_url: nothing fills in "{m}"',
        ),
        (
            "".join(f'[[providers.x.replicas]]\nbase_url = "http://r{n}.test/v1"\n' for n in range(64)),
            "providers.x: 65 pairs of an address and a key; at most 64 are used",
        ),
        (
            '[tiers.t]\ntargets = ["x/m"]\nhedge = "p95"\nhedge_after_ms = 10',
            'tiers.t.hedge_after_ms: hedge = "p95" says when already; remove one of the two',
        ),
        (
            '[endpoints.e]\nhedge = "off"\nhedge_after_ms = 10',
            'endpoints.e.hedge_after_ms: hedge = "off" says never already; remove one of the two',
        ),
        ('[endpoints.e]\nhedge = "p96"', 'endpoints.e.hedge: expected one of "off", "p95"'),
        ("[endpoints.e]\nhedge_after_ms = 0", "endpoints.e.hedge_after_ms: expected more than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.loads(f'[providers.x]\nbase_url = "http://a.test/v1"\n{text}', ENV)
    assert fault in str(caught.value)
    assert not any(value in str(caught.value) for value in ENV.values())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", True),
        ('[[providers.x.replicas]]\nbase_url = "http://b.test/v1"', False),
        ('[providers.y]\nbase_url = "http://y.test/v1"', False),
    ],
)
def test_hedging_that_has_nowhere_to_go_is_told(more: str, told: bool) -> None:
    second = ', "y/m"' if "providers.y" in more else ""
    text = (
        f'[tiers.t]\ntargets = ["x/m"{second}]\nhedge = "p95"\n[providers.x]\nbase_url = "http://a.test/v1"\n'
    )
    lines = config.advice(config.loads(text + more, {}))
    assert any(line.startswith("tiers.t.hedge: a second call goes to another") for line in lines) == told


def test_all_keys_are_secrets_and_are_shown_by_their_names() -> None:
    text = """
    [providers.x]
    base_url = "http://a.test/v1"
    api_keys = ["${A}"]
    [[providers.x.replicas]]
    base_url = "http://b.test/v1"
    api_key = "${B}"
    """
    read = config.loads(text, ENV)
    assert {ENV["A"], ENV["B"]} <= set(secrets_of(read, {})[0])
    shown = config.render(read)
    assert 'api_keys = ["${A}"]' in shown and 'api_key = "${B}"' in shown
    assert not any(value in shown for value in ENV.values())
    assert config.loads(shown, ENV) == read


def test_neither_keys_nor_hedging_empty_a_cache() -> None:
    plain = '[providers.x]\nbase_url = "http://a.test/v1"\napi_key = "${A}"\n'
    tier = '[tiers.t]\ntargets = ["x/m"]\n'
    more = plain + 'api_keys = ["${B}"]\n' + tier + 'hedge = "p95"\n[endpoints.e]\nhedge_after_ms = 5\n'
    before, after = (config.loads(text, ENV) for text in (plain + tier + "[endpoints.e]\n", more))
    assert config.answers_version(before) == config.answers_version(after)
