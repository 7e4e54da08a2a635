"""All secret values of a configuration, for code that redacts texts."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from farthing.config.settings.credentials import SECRET_VARIABLES
from farthing.config.settings.gateway import Config, ProviderConfig
from farthing.config.settings.options import Options
from farthing.config.settings.proxy import NO_PROXY
from farthing.config.settings.secret import Secret
from farthing.config.settings.table import Table

CONCEALED = "[secret]"
PROXIES = ("https_proxy", "http_proxy", "all_proxy")
_OF_A_SECRET = re.compile(r"key|token|secret|auth|passw|cookie|credential|session", re.IGNORECASE)
"""Names of headers with secret values, although the values are in the file."""


def secrets_of(config: Config, env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The secrets of `config`, of the environment's proxies and those by which credentials are fetched; and
    the digests of clients' keys."""
    found = [key.key.value for key in config.keys if key.key is not None]
    if config.admin.key is not None:
        found.append(config.admin.key.value)
    for provider in config.providers.values():
        keys = [provider.api_key, *provider.api_keys, *(one.api_key for one in provider.replicas)]
        found += [key.value for key in keys if key is not None]
        found += _nested(provider)
        found += (text for name, text in provider.headers.items() if _OF_A_SECRET.search(name))
        if provider.proxy is not None and provider.proxy.value.lower() != NO_PROXY:
            found += _of_url(provider.proxy.value)
    for options in options_of(config):
        found += options.secrets()
    found += (env[name] for name in SECRET_VARIABLES if env.get(name))
    for name in (*PROXIES, *map(str.upper, PROXIES)):
        found += _of_url(env.get(name, ""))
    return found, [key.digest for key in config.keys if key.digest is not None]


def _nested(provider: ProviderConfig) -> Iterator[str]:
    """The secrets in the tables of a provider's table."""
    for table in (getattr(provider, name) for name in provider.__struct_fields__):
        if isinstance(table, Table):
            fields = (getattr(table, name) for name in table.__struct_fields__)
            yield from (field.value for field in fields if isinstance(field, Secret))


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
