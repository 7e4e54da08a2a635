"""Where a provider lives: what keeps its connections over a reload, and what is no base URL."""

import os
from pathlib import Path

import pytest

from farthing.config import OpenAIProviderConfig
from farthing.errors import ConfigError
from farthing.models.transport.origin import parse_base_url
from farthing.wiring.providers import build_provider


def test_an_unchanged_provider_is_the_same_origin_after_a_reload() -> None:
    config = OpenAIProviderConfig(base_url="https://api.example/v1")
    before, after = build_provider("a", config).origin, build_provider("a", config).origin
    assert before == after and hash(before) == hash(after)


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": "https://api.example:8443/v1"},
        {"base_url": "http://api.example/v1"},
        {"base_url": "https://api.example/v1", "connections_max": 7},
        {"base_url": "https://api.example/v1", "connect_s": 9.0},
    ],
)
def test_a_changed_provider_is_another_origin(changed: dict[str, object]) -> None:
    one = build_provider("a", OpenAIProviderConfig(base_url="https://api.example/v1")).origin
    assert one != build_provider("a", OpenAIProviderConfig(**changed)).origin  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "env", [{"http_proxy": "http://p:1"}, {"http_proxy": "http://p:2"}, {"http_proxy": "http://u:w@p:1"}]
)
def test_another_way_there_is_another_origin(env: dict[str, str]) -> None:
    config = OpenAIProviderConfig(base_url="http://api.example/v1")
    ways = [{}, {"http_proxy": "http://p:1"}, {"http_proxy": "http://p:2"}, {"http_proxy": "http://u:w@p:1"}]
    same = [
        build_provider("a", config, env).origin == build_provider("a", config, way).origin for way in ways
    ]
    assert same == [way == env for way in ways]


def test_every_call_of_a_plain_provider_names_the_whole_url_to_its_proxy() -> None:
    provider = build_provider(
        "a", OpenAIProviderConfig(base_url="http://api.example/v1"), {"http_proxy": "http://u:w@p:1"}
    )
    head = provider.list_head()
    assert head.startswith(b"GET http://api.example/v1/models HTTP/1.1\r\nhost: api.example\r\n")
    assert b"proxy-authorization: Basic dTp3\r\n" in head
    tunnelled = build_provider(
        "a", OpenAIProviderConfig(base_url="https://api.example/v1"), {"https_proxy": "http://u:w@p:1"}
    )
    head = tunnelled.list_head()
    assert head.startswith(b"GET /v1/models HTTP/1.1\r\n") and b"proxy-" not in head


def test_two_providers_at_one_address_are_two_origins() -> None:
    config = OpenAIProviderConfig(base_url="https://api.example/v1")
    assert build_provider("a", config).origin != build_provider("b", config).origin


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://api.example/v1/", ("api.example", 443, True, "/v1")),
        ("http://127.0.0.1:11434/v1", ("127.0.0.1", 11434, False, "/v1")),
        ("http://[::1]:8080", ("::1", 8080, False, "")),
    ],
)
def test_a_base_url_is_taken_apart(base_url: str, expected: tuple[str, int, bool, str]) -> None:
    assert parse_base_url(base_url) == expected


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://x/",
        "https://",
        "https://u:p@x/",
        "https://x/?a=1",
        "https://x/#a",
        "http://x:99999/",
        "http://x/a b",
    ],
)
def test_what_is_no_base_url_is_refused_by_name(base_url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        parse_base_url(base_url)


def test_other_authorities_in_the_same_file_make_another_origin(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.write_text("one")
    config = OpenAIProviderConfig(base_url="https://api.example/v1", ca_file=authorities)
    before = build_provider("a", config).origin
    assert build_provider("a", config).origin == before
    os.utime(authorities, ns=(1, 1))
    assert build_provider("a", config).origin != before
