"""How proxies and their exceptions are written, in the configuration and in the environment."""

from base64 import b64encode

import pytest

from farthing import config as configuration
from farthing.config.settings.proxy import parse_proxy, proxy_of_environment
from farthing.errors import ConfigError

P = "http://proxy.corp:3128"


def basic(pair: str) -> str:
    return f"Basic {b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("text", "shown", "authorization"),
    [
        ("http://proxy.corp:3128", "http://proxy.corp:3128", ""),
        ("proxy.corp:3128", "http://proxy.corp:3128", ""),
        ("HTTP://Proxy.Corp", "http://proxy.corp:80", ""),
        ("https://proxy.corp/", "https://proxy.corp:443", ""),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128", ""),
        ("http://me:secret@proxy.corp:1", "http://proxy.corp:1", basic("me:secret")),
        ("http://me%40corp:p%40ss%3Aw%2F%23@proxy.corp:1", "http://proxy.corp:1", basic("me@corp:p@ss:w/#")),
        ("http://me:p@ss@proxy.corp:1", "http://proxy.corp:1", basic("me:p@ss")),
        ("http://token@proxy.corp:1", "http://proxy.corp:1", basic("token:")),
        ("http://me:p%C3%A4ss@proxy.corp:1", "http://proxy.corp:1", basic("me:päss")),
        ("me:secret@proxy.corp:1", "http://proxy.corp:1", basic("me:secret")),
    ],
)
def test_a_proxys_url_is_read_and_shown_without_its_secret(text: str, shown: str, authorization: str) -> None:
    proxy = parse_proxy(text)
    assert str(proxy) == shown and proxy.authorization == authorization
    assert "secret" not in repr(proxy) and "p@ss" not in repr(proxy)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "ftp://x:1",
        "http://x:99999",
        "http://x:y",
        "http://[::1",
        "http://me:p/w@x:1",
        "http://x/p",
    ],
)
def test_what_is_no_proxy_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigError) as no:
        parse_proxy(text)
    assert "http://proxy.example:3128" in str(no.value) and "p/w" not in str(no.value)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "SOCKS5"])
def test_a_socks_proxy_is_refused_by_name(scheme: str) -> None:
    with pytest.raises(ConfigError, match=r"SOCKS.*not supported"):
        parse_proxy(f"{scheme}://127.0.0.1:1080")


def way(host: str = "api.example.com", port: int = 443, *, tls: bool = True, **env: str) -> str | None:
    found = proxy_of_environment(env, host, port, tls)
    return None if found is None else str(found)


def test_the_scheme_of_the_origin_chooses_the_variable_and_lower_case_wins() -> None:
    assert way() is None
    assert way(HTTPS_PROXY=P) == way(https_proxy=P) == way(ALL_PROXY=P) == way(all_proxy=P) == P
    assert way(HTTP_PROXY=P) is None and way(tls=False, HTTP_PROXY=P) == P
    assert way(HTTPS_PROXY="http://upper:1", https_proxy=P) == P
    assert way(https_proxy="", HTTPS_PROXY=P) is None, "an empty one in lower case switches it off"
    assert way(https_proxy="", all_proxy=P) == P
    assert way(HTTPS_PROXY=P, ALL_PROXY="socks5://x:1") == P, "what is not used need not be readable"


@pytest.mark.parametrize("host", ["localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0"])
def test_this_machine_itself_is_never_asked_of_a_proxy(host: str) -> None:
    assert way(host, https_proxy=P, all_proxy=P) is None
    assert way(host, all_proxy="socks5://x:1") is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "exempt"),
    [
        ("*", "api.example.com", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        (".example.com", "example.com", True),
        ("example.com", "notexample.com", False),
        ("ample.com", "example.com", False),
        ("EXAMPLE.com.", "Api.Example.COM", True),
        ("other.com, example.com", "api.example.com", True),
        ("other.com example.com", "api.example.com", True),
        ("example.com:443", "api.example.com", True),
        ("example.com:8443", "api.example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("1.2.3", "10.1.2.3", False),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("fd00::1", "fd00:0:0::1", True),
        ("10.0.0.0/99, ,,", "10.1.2.3", False),
        ("", "api.example.com", False),
    ],
)
def test_no_proxy_names_hosts_domains_addresses_networks_and_ports(
    no_proxy: str, host: str, exempt: bool
) -> None:
    assert (way(host, https_proxy=P, no_proxy=no_proxy) is None) is exempt
    assert (way(host, https_proxy=P, NO_PROXY=no_proxy) is None) is exempt


def told(text: str, **env: str) -> str:
    with pytest.raises(ConfigError) as no:
        configuration.loads(f'[providers.a]\nbase_url = "https://api.example.com/v1"\n{text}\n', env)
    return str(no.value)


def test_the_configuration_names_a_proxy_none_or_a_variable_with_all_of_it() -> None:
    text = '[providers.a]\nbase_url = "https://x.test/v1"\nproxy = "${WAY}"\n'
    loaded = configuration.loads(text, {"WAY": "http://me:CANARY@proxy.corp:1"})
    assert 'proxy = "${WAY}"' in configuration.render(loaded)
    assert "CANARY" not in configuration.render(loaded) and "CANARY" not in repr(loaded)
    for plain in ("none", P):
        again = configuration.loads(text.replace("${WAY}", plain), {})
        assert configuration.loads(configuration.render(again), {}) == again


def test_what_a_provider_cannot_have_is_told_with_its_line() -> None:
    literal = told('proxy = "http://me:CANARY@proxy.corp:1"')
    assert "a secret must not be in the file" in literal and "CANARY" not in literal
    assert "farthing.toml:3: providers.a.proxy" in literal
    assert "SOCKS5" in told('proxy = "socks5://127.0.0.1:1080"')
    assert "WAY is not set" in told('proxy = "${WAY}"')
    assert "SOCKS5" in told('proxy = "${WAY}"', WAY="socks5://me:CANARY@x:1")
    for name in ("Authorization", "cookie", "X-Forwarded-For", "host", "content-length", "x-api-key"):
        assert "never goes up" in told(f'pass_headers = ["{name}"]')
    for name in ("Set-Cookie", "content-encoding", "x-request-id", "retry-after"):
        assert "never comes back" in told(f'return_headers = ["{name}"]')
    assert "not a header name" in told('pass_headers = ["x y"]')
    assert "providers.a.models[1]: the name of a model is empty" in told('models = ["m", ""]')
    assert 'has white space around it; write "m"' in told('models = ["m "]')


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("https://api.example.com/v1/chat/completions", 'write "https://api.example.com/v1"'),
        ("https://api.example.com/v1/chat/completions/", 'write "https://api.example.com/v1"'),
        ("https://api.example.com/v1/embeddings", 'write "https://api.example.com/v1"'),
        ("https://api.example.com", 'write "https://api.example.com/v1"'),
        ("http://[::1]:8000/", 'write "http://[::1]:8000/v1"'),
    ],
)
def test_a_base_url_that_is_hardly_meant_is_told_with_the_right_one(base_url: str, words: str) -> None:
    config = configuration.loads(f'[providers.a]\nbase_url = "{base_url}"\n', {})
    (line,) = configuration.advice(config)
    assert line.startswith("providers.a.base_url") and words in line


@pytest.mark.parametrize(
    "base_url", ["https://x.test/v1", "https://x.test/openai/v1", "https://api.deepseek.com"]
)
def test_a_base_url_as_the_sdks_want_it_needs_no_advice(base_url: str) -> None:
    config = configuration.loads(f'[providers.a]\nbase_url = "{base_url}"\n', {})
    assert configuration.advice(config) == ()
