"""All secret values of a configuration, for code that redacts texts."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from farthing.config.settings.gateway import Config
from farthing.config.settings.options import Options
from farthing.config.settings.proxy import NO_PROXY

CONCEALED = "[secret]"
PROXIES = ("https_proxy", "http_proxy", "all_proxy")
_OF_A_SECRET = re.compile(r"key|token|secret|auth|passw|cookie|credential|session", re.IGNORECASE)
"""Names of headers with secret values, although the values are in the file."""


def secrets_of(config: Config, env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The secrets of `config` and of the environment's proxies; and the digests of clients' keys."""
    found = [key.key.value for key in config.keys if key.key is not None]
    if config.admin.key is not None:
        found.append(config.admin.key.value)
    for provider in config.providers.values():
        keys = [provider.api_key, *provider.api_keys, *(one.api_key for one in provider.replicas)]
        found += [key.value for key in keys if key is not None]
        found += (text for name, text in provider.headers.items() if _OF_A_SECRET.search(name))
        if provider.proxy is not None and provider.proxy.value.lower() != NO_PROXY:
            found += _of_url(provider.proxy.value)
    for options in options_of(config):
        found += options.secrets()
    for name in (*PROXIES, *map(str.upper, PROXIES)):
        found += _of_url(env.get(name, ""))
    return found, [key.digest for key in config.keys if key.digest is not None]


def concealed(config: Config) -> Config:
    """`config` for people to look at: headers whose names say that they are secret, without their values."""
    providers = {
        name: msgspec.structs.replace(provider, headers=_concealed(provider.headers))
        for name, provider in config.providers.items()
    }
    return msgspec.structs.replace(config, providers=providers)


def _concealed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: CONCEALED if _OF_A_SECRET.search(name) else text for name, text in headers.items()}


def options_of(value: Any) -> Iterator[Options]:
    """The options of every plug-in that a configuration, or a part of one, names."""
    match value:
        case Options():
            yield value
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from options_of(getattr(value, name))
        case dict():
            for item in value.values():
                yield from options_of(item)
        case tuple():
            for item in value:
                yield from options_of(item)


def _of_url(text: str) -> Iterator[str]:
    """The password of a URL, as written and decoded."""
    stripped = text.strip()
    try:
        parts = urlsplit(stripped if "://" in stripped else f"http://{stripped}")
        password = parts.password or (None if parts.password is not None else parts.username)
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)
