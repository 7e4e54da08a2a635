"""What `[server]` may say of web pages and bodies."""

import pytest

from farthing import config
from farthing.errors import ConfigError

KEY = '[[keys]]\ntenant = "a"\nkey = "${K}"\n'


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://app.example",
        "https://app.example/",
        "HTTPS://App.Example:8443",
        "http://[::1]:5173",
        "http://192.168.1.7:8080",
        "app://obsidian.md",
        "chrome-extension://abcdefghijklmnop",
        "tauri://localhost",
        "*",
    ],
)
def test_an_origin_as_a_browser_writes_it_is_taken(origin: str) -> None:
    assert config.loads(f'server.cors_origins = ["{origin}"]', {}).server.cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "localhost:3000",
        "app.example",
        "https://app.example/path",
        "https://app.example?x",
        "https://*.example",
        "http://localhost:*",
        "https://user@app.example",
        "http://localhost:80",
        "https://app.example:443",
        "null",
        "https://app.example, https://b.example",
    ],
)
def test_what_no_browser_would_write_is_refused_with_the_fix(origin: str) -> None:
    with pytest.raises(
        ConfigError, match=r'server\.cors_origins.*is not an origin; write "https://app\.example"'
    ):
        config.loads(f'server.cors_origins = ["{origin}"]', {})


def test_every_page_without_a_key_is_allowed_and_warned_of() -> None:
    told = config.advice(config.loads('server.cors_origins = ["*"]', {}))
    assert len(told) == 1 and told[0].startswith("server.cors_origins: ") and "money" in told[0]
    assert not config.advice(config.loads(f'server.cors_origins = ["*"]\n{KEY}', {"K": "sk"}))
    assert not config.advice(config.loads('server.cors_origins = ["http://localhost:3000"]', {}))


def test_all_bodies_together_have_room_for_one() -> None:
    with pytest.raises(ConfigError, match=r"server\.body_bytes_max"):
        config.loads("server = { body_bytes_max = 2_000_000, bodies_bytes_max = 1_000_000 }", {})


def test_a_depth_that_the_parser_cannot_reach_is_refused() -> None:
    assert config.loads("server.depth_max = 512", {}).server.depth_max == 512
    with pytest.raises(ConfigError, match="at most 512"):
        config.loads("server.depth_max = 513", {})
