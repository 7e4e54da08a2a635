"""Checks of a provider's table: certificates, proxy and headers, and likely mistakes."""

import difflib
import os
import re
import ssl
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from farthing.config.settings.aliases import fault_of_name
from farthing.config.settings.gateway import (
    ANTHROPIC_URL,
    BEDROCK_KEYS,
    GEMINI_URL,
    AnthropicProviderConfig,
    BedrockProviderConfig,
    GeminiProviderConfig,
    OpenAIProviderConfig,
    PluginProviderConfig,
    ProviderConfig,
    ResponsesProviderConfig,
    VertexProviderConfig,
)
from farthing.config.settings.proxy import NO_PROXY, parse_proxy
from farthing.config.settings.regions import LOCAL, UNKNOWN, region_at
from farthing.config.toml import Path as Where
from farthing.dialects.chat.fields import CHANGES_THE_ANSWER, FIELDS, PARTS
from farthing.dialects.chat.requests import lowering
from farthing.dialects.responses import fields as responses
from farthing.errors import ConfigError

Faults = Iterator[tuple[Where, str]]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADERS_MAX = 32
LANES_MAX = 64
"""Pairs of an address and a key of one provider: each has a health for every model."""

# A provider need not know who a client is, hop-by-hop headers end with their connection (RFC 9110, 7.6.1),
# and we write the rest ourselves.
NEVER_PASSED = re.compile(
    r"authorization|proxy-.*|cookie2?|(x-)?api-key|x-goog-api-key|x-farthing-.*|x-stainless-.*|host"
    r"|forwarded|x-forwarded-.*|x-real-ip|via|connection|keep-alive|te|trailer|transfer-encoding|upgrade"
    r"|http2-settings|expect|content-.*|accept-encoding|user-agent|x-request-id|cache-control|origin|sec-.*"
)
NEVER_RETURNED = re.compile(
    r"set-cookie2?|proxy-.*|www-authenticate|authorization|x-farthing-.*|x-request-id|request-id"
    r"|connection|keep-alive|te|trailer|transfer-encoding|upgrade|content-.*|date|server|via|location|age"
    r"|allow|vary|cache-control|retry-after|x-should-retry|access-control-.*|x-accel-.*"
    r"|strict-transport-security|alt-svc"
)

LOCATION = re.compile(r"[a-z]{2,}(?:-[a-z]{2,}\d{0,2}){0,2}")
PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,99}")
REGION = re.compile(r"[a-z]{2,8}(?:-[a-z]{2,12}){1,3}-\d{1,2}")
MODEL_IN_PATH = "{model}"
"""In a base URL: where the path names the model, as Azure's deployments are named."""
DEPLOYMENTS = "/openai/deployments/"
_IN_BRACES = re.compile(r"(?<!\$)\{[^{}/]*\}")

ENDINGS = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses", "/messages")
"""Paths that calls append to a base URL, and that are easily included in it by mistake."""
_WITHOUT_ADVICE = (AnthropicProviderConfig, GeminiProviderConfig, VertexProviderConfig, BedrockProviderConfig)
"""Kinds whose base URL needs no `/v1`."""
_ANTHROPIC_HOST = urlsplit(ANTHROPIC_URL).hostname
_GEMINI_HOST = urlsplit(GEMINI_URL).hostname
_PATHS = {
    "api.groq.com": "/openai/v1",
    "openrouter.ai": "/api/v1",
    "api.fireworks.ai": "/inference/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
}
"""Hosts whose chat completions are at another path than `/v1`."""
_AZURE = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")
_AZURE_PATH = "/openai/v1"
_WITHOUT_PATH = frozenset({"api.deepseek.com", "api.perplexity.ai"})
"""Hosts whose documentation gives a base URL without a path."""

OPENAI_OF_GEMINI = "/openai"
"""What Google's endpoint for chat completions ends in."""
_NEAR = 0.8
"""How alike a name in `drop` is to a known one that is meant; others may be fields that a client made up."""
_WITHOUT = {
    "n": "it gets one answer",
    "response_format": "the answer has no form",
    "tool_choice": "the model need not call a tool",
    "tools": "the model knows no tool",
    "stop": "the answer goes on",
    "logprobs": "there are none",
}
"""What a client gets where a field of its request is left out."""


def faults_of(provider: ProviderConfig, here: Where) -> Faults:
    if provider.proxy is not None and provider.proxy.value.lower() != NO_PROXY:
        try:
            proxy = parse_proxy(provider.proxy.value)
        except ConfigError as why:
            yield (*here, "proxy"), str(why)
        else:
            if proxy.authorization and not provider.proxy.secret:
                yield (
                    (*here, "proxy"),
                    "a secret must not be in the file; put the whole URL into an environment variable and "
                    'write proxy = "${NAME}"',
                )
    for key, fault in faults_of_place(provider):
        yield (*here, key), fault
    for index, prefix in enumerate(getattr(provider, "file_prefixes", ())):
        if "://" not in prefix or not prefix.endswith("/"):
            yield (*here, "file_prefixes", index), 'expected an address that ends in "/", as "gs://bucket/"'
    yield from _placeholders(provider, provider.base_url, (*here, "base_url"))
    yield from _lanes(provider, here)
    yield from _files(provider, here)
    for index, model in enumerate(provider.models):
        fault = fault_of_name(model)
        if fault:
            yield (*here, "models", index), f"the name of a model {fault}"
    yield from _names(provider.pass_headers, NEVER_PASSED, "never goes up", (*here, "pass_headers"))
    yield from _names(provider.return_headers, NEVER_RETURNED, "never comes back", (*here, "return_headers"))


def faults_of_place(provider: ProviderConfig) -> Iterator[tuple[str, str]]:
    """Of the settings that the address is made of where none is given, and what is wrong with each."""
    if isinstance(provider, BedrockProviderConfig) and not REGION.fullmatch(provider.region):
        yield "region", 'expected the name of a region of AWS, such as "us-east-1"'
    if isinstance(provider, VertexProviderConfig):
        if not LOCATION.fullmatch(provider.location):
            yield "location", 'expected a location of Google Cloud, such as "europe-west4", or "global"'
        if not PROJECT.fullmatch(provider.project):
            yield "project", 'expected the id of a project of Google Cloud, such as "our-project-123"'


def _lanes(provider: ProviderConfig, here: Where) -> Faults:
    """Its keys and addresses: each pair of them once, and not too many."""
    own = [key for key in (provider.api_key, *provider.api_keys) if key is not None]
    seen: dict[str, str] = {} if provider.api_key is None else {provider.api_key.value: "api_key"}
    for index, key in enumerate(provider.api_keys):
        if key.value in seen:
            yield (*here, "api_keys", index), f"the same key as {seen[key.value]}; remove one of the two"
        seen.setdefault(key.value, f"api_keys[{index}]")
    lanes = {(provider.base_url.rstrip("/"), key.value) for key in own} or {
        (provider.base_url.rstrip("/"), "")
    }
    names: set[str] = set()
    for index, one in enumerate(provider.replicas):
        where = (*here, "replicas", index)
        yield from _placeholders(provider, one.base_url, (*where, "base_url"))
        if getattr(provider, "auth", "") == "none" and one.api_key is not None:
            yield (*where, "api_key"), 'would never be sent with auth = "none"; remove one of the two'
        keys = [one.api_key.value] if one.api_key is not None else [key.value for key in own] or [""]
        for lane in [(one.base_url.rstrip("/"), key) for key in keys]:
            if lane in lanes:
                yield (*where, "base_url"), "an address that its provider has already, with the same key"
                break
            lanes.add(lane)
        if one.name and one.name in names:
            yield (*where, "name"), f'another replica is called "{one.name}"'
        names.add(one.name)
    if len(lanes) > LANES_MAX:
        yield here, f"{len(lanes)} pairs of an address and a key; at most {LANES_MAX} are used"
    if provider.separate_accounts and len({key for _, key in lanes}) < 2:
        yield (*here, "separate_accounts"), "it has one key; add others to api_keys, or remove this"


def _placeholders(provider: ProviderConfig, base_url: str, here: Where) -> Faults:
    """Words in braces: only the kind `openai` fills one in."""
    if isinstance(provider, PluginProviderConfig):
        return
    for word in dict.fromkeys(_IN_BRACES.findall(base_url)):
        if not isinstance(provider, OpenAIProviderConfig):
            yield here, f'only the kind "openai" fills in "{word}"; write an address without it'
        elif word != MODEL_IN_PATH:
            yield here, f'nothing fills in "{word}"; write "{MODEL_IN_PATH}" where the path names the model'


def _files(provider: ProviderConfig, here: Where) -> Faults:
    cert, key = provider.client_cert_file, provider.client_key_file
    unread = False
    for name, path in (("ca_file", provider.ca_file), ("client_cert_file", cert), ("client_key_file", key)):
        if path is not None and not os.access(path, os.R_OK):
            unread = True
            yield (*here, name), f"{path} cannot be read; give the path of a PEM file"
    if key is not None and cert is None:
        yield (*here, "client_key_file"), "a key without its certificate; add client_cert_file"
    if unread:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if provider.ca_file is not None and provider.ca_file.is_file():
            context.load_verify_locations(provider.ca_file)
    except ssl.SSLError as why:
        yield (
            (*here, "ca_file"),
            f"{provider.ca_file} holds no certificates in PEM form ({why.reason or why})",
        )
    try:
        if cert is not None:
            context.load_cert_chain(cert, key, password=no_password)
    except (ssl.SSLError, ValueError) as why:
        reason = getattr(why, "reason", None) or why
        yield (*here, "client_cert_file"), f"the certificate and its key cannot be used together ({reason})"


def no_password() -> str:
    """The callback for a private key's password: nobody can type one.

    Raises:
        ValueError: always; the message has the fix.
    """
    raise ValueError("the key has a password; remove it with `openssl pkey`")


def _names(names: tuple[str, ...], never: re.Pattern[str], what: str, here: Where) -> Faults:
    if len(names) > HEADERS_MAX:
        yield here, f"expected at most {HEADERS_MAX} headers"
    for index, name in enumerate(names):
        if not HEADER_NAME.fullmatch(name):
            yield (*here, index), f'"{name}" is not a header name'
        elif never.fullmatch(name.lower()):
            yield (*here, index), f'the header "{name}" {what}; remove it'


def advice_of(name: str, provider: ProviderConfig) -> Iterator[str]:
    """Likely mistakes in a provider's table."""
    if not isinstance(provider, PluginProviderConfig):  # only its plug-in knows what its address looks like
        yield from _of_base_url(name, provider)
    if isinstance(provider, OpenAIProviderConfig) and DEPLOYMENTS in provider.base_url:
        yield from _of_deployments(name, provider)
    if isinstance(provider, BedrockProviderConfig):
        yield from _of_bedrock(name, provider)
    yield from _of_drop(name, provider)


def _of_bedrock(name: str, provider: BedrockProviderConfig) -> Iterator[str]:
    """A key that is not sent, since it is none of Bedrock's, or that is missing; another region's address."""
    if provider.auth == "bearer" and provider.api_key is None and not provider.api_keys:
        yield (
            f'providers.{name}.auth: "bearer" sends an API key of Bedrock, and there is none; write '
            'api_key = "${AWS_BEARER_TOKEN_BEDROCK}", or auth = "aws" to sign with keys of AWS'
        )
    there = region_at(provider.base_url, "", "")
    if there not in (UNKNOWN, LOCAL, provider.region):
        yield (
            f"providers.{name}.region: calls are signed for {provider.region}, and the address of base_url "
            f"is in {there}, which refuses them; make both the same"
        )
    if provider.api_key is not None and provider.signs:
        yield (
            f"providers.{name}.api_key: no API key of Bedrock, which begins with "
            f"{' or '.join(BEDROCK_KEYS)}, so calls are signed with keys of AWS instead; remove it, or write "
            'auth = "bearer" if it is to be sent'
        )


def _of_deployments(name: str, provider: OpenAIProviderConfig) -> Iterator[str]:
    """What Azure's older interface wants and the others do not."""
    if not provider.api_version:
        yield (
            f"providers.{name}.api_version: Azure answers 404 to calls of a deployment without one; write "
            'api_version = "2024-10-21", or the base URL https://NAME.openai.azure.com/openai/v1, which '
            "needs none"
        )
    if provider.auth == "bearer" and provider.api_key is not None:
        yield (
            f"providers.{name}.auth: Azure's deployments take a key in the header api-key, and in a bearer "
            'only tokens of Entra; write auth = "api-key" if this is a key'
        )


def _of_drop(name: str, provider: ProviderConfig) -> Iterator[str]:
    key = f"providers.{name}.drop"
    known, changes = FIELDS | PARTS, CHANGES_THE_ANSWER
    if isinstance(provider, OpenAIProviderConfig):  # which knows all that clients of chat completions say
        known, changes = lowering.NAMES, lowering.CHANGES
    elif isinstance(provider, PluginProviderConfig | ResponsesProviderConfig):
        known, changes = known | lowering.NAMES, changes | lowering.CHANGES
    else:
        known, changes = known | responses.LACKED, changes | responses.LACKED
    for field in provider.drop:
        if field in changes:
            how = _WITHOUT.get(field, "its answer is another than it asked for")
            yield (
                f'{key}: a client whose "{field}" is left out may not notice that {how}; remove it, so that '
                "such a request is refused or goes to another target"
            )
        elif field not in known:
            near = difflib.get_close_matches(field, sorted(known), 1, _NEAR)
            if near:
                yield f'{key}: no field is known as "{field}"; did you mean "{near[0]}"?'


def _of_base_url(name: str, provider: ProviderConfig) -> Iterator[str]:
    try:
        url = urlsplit(provider.base_url)
    except ValueError:
        return
    path = url.path.rstrip("/")
    ending = next((end for end in ENDINGS if path.endswith(end)), None)
    key = f"providers.{name}.base_url"
    if ending is not None:
        base = f"{url.scheme}://{url.netloc}{path.removesuffix(ending)}"
        yield f'{key}: "{ending}" is added to it by every call; write "{base}"'
    elif isinstance(provider, GeminiProviderConfig) and path.endswith(OPENAI_OF_GEMINI):
        base = f"{url.scheme}://{url.netloc}{path.removesuffix(OPENAI_OF_GEMINI)}"
        yield (
            f'{key}: "{OPENAI_OF_GEMINI}" is the endpoint for chat completions, of kind = "openai"; write '
            f'"{base}"'
        )
    elif isinstance(provider, GeminiProviderConfig) and not path:
        yield f'{key}: it has no path, and Gemini wants a version in it; write "{_joined(url, "/v1beta")}"'
    elif isinstance(provider, _WITHOUT_ADVICE):
        return
    elif url.hostname == _ANTHROPIC_HOST:
        yield (
            f"{key}: chat completions of this provider lose prompt caching and thinking; write "
            f'kind = "anthropic" beside it, which speaks its own Messages. Requests with n above 1, '
            "logprobs, json_object or unknown fields are then refused with 400 (docs/upgrade.md)"
        )
    else:
        yield from _of_path(key, url, path)


def _of_path(key: str, url: SplitResult, path: str) -> Iterator[str]:
    """A path that its host has no chat completions at."""
    host = url.hostname or ""
    wanted = _PATHS.get(host) or (_AZURE_PATH if host.endswith(_AZURE) and not path else "")
    if host == _GEMINI_HOST and not path.endswith(OPENAI_OF_GEMINI):
        yield (
            f'{key}: chat completions of Gemini are at "{_joined(url, wanted)}"; write that, or '
            f'kind = "gemini" beside it, whose base URL is "{GEMINI_URL}"'
        )
    elif wanted and not path.startswith(wanted.rpartition("/")[0]):
        yield f'{key}: chat completions of {host} are below another path; write "{_joined(url, wanted)}"'
    elif not path and host not in _WITHOUT_PATH:
        yield (
            f"{key}: it has no path, and most providers want /v1 in it, as their SDKs do; if calls are "
            f'answered with 404, write "{_joined(url, "/v1")}"'
        )


def _joined(url: SplitResult, path: str) -> str:
    return f"{url.scheme}://{url.netloc}{path}"
