"""Google's application default credentials: a service account's key, a person's login, a workload's token
that is exchanged, the machine's metadata server. Found in the order of Google's own SDKs."""

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from farthing.config.settings.credentials import GoogleConfig
from farthing.errors import ConfigError
from farthing.models.credentials.asking import LOOPBACK, Issued, Issuers, seconds, unix_s
from farthing.models.credentials.bearer import Bearer, bearer_of
from farthing.models.credentials.files import read_file
from farthing.models.credentials.renewed import Fresh
from farthing.models.credentials.signing import Signer
from farthing.text.lenient_json import NotJson, any_json, read_json
from farthing.types import Json

TOKEN_URI = "https://oauth2.googleapis.com/token"  # an address
METADATA_HOST = "metadata.google.internal"
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # a type
ASSERTION_S = 3_600
FILE_BYTES_MAX = 262_144
FIXES = {
    "Invalid JWT Signature": "the key was deleted at Google, or the file is not whole: create a new key",
    "account not found": "the service account does not exist any more: name another's file",
    "short-lived": "the assertion's time is wrong: look at this machine's clock",
    "invalid_rapt": "the login has expired: run `gcloud auth application-default login`",
    "expired or revoked": "the login has expired: run `gcloud auth application-default login`",
    "invalid_client": "the file's client_id and client_secret are not known: log in anew",
    "PERMISSION_DENIED": "the account may not create tokens of the service account it stands for: grant it "
    "roles/iam.serviceAccountTokenCreator",
}
FIX = "look at the file that GOOGLE_APPLICATION_CREDENTIALS or providers.NAME.google.credentials_file names"
NOWHERE = (
    "there is no file of Google's credentials, and the metadata server does not answer; set "
    "GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`"
)
_Fetch = Callable[[], Awaitable[Fresh[str]]]


def google_token(
    config: GoogleConfig, env: Mapping[str, str], issuers: Issuers, clock: Callable[[], float]
) -> Bearer:
    """Raises:
    ConfigError: the file cannot be read, or is of a kind that is not supported.
    """
    what = f"{issuers.name}: the token of Google"
    path = config.credentials_file or _default_file(env)
    if path is None:
        host = env.get("GCE_METADATA_HOST") or METADATA_HOST
        url = f"http://{host}{METADATA}?scopes={quote(config.scope, safe='')}"
        return bearer_of(what, partial(_of_machine, issuers, url), issuers.learn, clock)
    said = _account(path, issuers)
    kind = str(said.get("type"))
    if kind not in KINDS:
        raise ConfigError(
            f'{path} is a credential of type "{kind[:40]}", which is not supported; use one of '
            f"{', '.join(KINDS)}, or run where the metadata server gives tokens"
        )
    _check(said, path)
    quota = said.get("quota_project_id") or env.get("GOOGLE_CLOUD_QUOTA_PROJECT")
    more = ""
    if isinstance(quota, str) and kind == "authorized_user" and quota.isascii() and quota.isprintable():
        more = f"x-goog-user-project: {quota}\r\n"  # without it calls are charged to gcloud's own project
    fetch = partial(_of_file, issuers, path, config.scope)
    return bearer_of(what, fetch, issuers.learn, clock, more)


def signed_by(config: GoogleConfig, env: Mapping[str, str]) -> Path | None:
    """The file whose key the gateway signs with; None: it signs nothing, or the file cannot be read."""
    path = config.credentials_file or _default_file(env)
    try:
        said = None if path is None else any_json(path.expanduser().read_bytes()[:FILE_BYTES_MAX])
    except OSError:
        return None
    source = said.get("source_credentials") if isinstance(said, dict) else None
    kinds = [one.get("type") for one in (said, source) if isinstance(one, dict)]
    return path if "service_account" in kinds else None


def _check(said: Json, path: Path) -> None:
    """Raises:
    ConfigError: secrets would go to an address without TLS, or it names a source that is not supported.
    """
    for name in ("token_uri", "token_url", "service_account_impersonation_url"):
        if name in said:
            _url(said[name], "", path)
    kind, source = said["type"], said.get("credential_source")
    if kind == "external_account" and not (isinstance(source, dict) and isinstance(source.get("file"), str)):
        raise ConfigError(
            f"{path}: only a credential_source with a `file` is supported; have the token written to one"
        )
    if kind == "impersonated_service_account":
        source = said.get("source_credentials")
        if not isinstance(source, dict) or source.get("type") not in ("authorized_user", "service_account"):
            raise ConfigError(f"{path}: its source_credentials are of a type that is not supported")
        _check(source, path)


def _default_file(env: Mapping[str, str]) -> Path | None:
    named = env.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        return Path(named)
    folder = env.get("CLOUDSDK_CONFIG")
    home = env.get("HOME")
    base = Path(folder) if folder else Path(home, ".config", "gcloud") if home else None
    found = None if base is None else base / "application_default_credentials.json"
    return found if found is not None and os.access(found, os.R_OK) else None


def _account(path: Path, issuers: Issuers) -> Json:
    """The object in a file of credentials, whose secrets are kept out of logs from now on.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.expanduser().open("rb") as file:
            value = read_json(file.read(FILE_BYTES_MAX))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); name a file of Google's credentials"
        ) from None
    except NotJson:
        raise ConfigError(f"{path} is no JSON; name a file of Google's credentials") from None
    said: Json = value if isinstance(value, dict) else {}
    for name in ("private_key", "refresh_token", "client_secret"):
        if isinstance(said.get(name), str):
            issuers.learn("".join(str(said[name]).split("-----")[2:3]).replace("\n", "") or str(said[name]))
    return said


async def _of_file(issuers: Issuers, path: Path, scope: str) -> Fresh[str]:
    return await _of_account(issuers, _account(path, issuers), path, scope)


async def _of_account(issuers: Issuers, said: Json, path: Path, scope: str) -> Fresh[str]:
    return await KINDS[str(said["type"])](issuers, said, path, scope)


async def _of_service_account(issuers: Issuers, said: Json, path: Path, scope: str) -> Fresh[str]:
    url = _url(said.get("token_uri"), TOKEN_URI, path)
    signer = Signer(str(said.get("private_key", "")).encode(), f"{issuers.name}: private_key in {path}")

    def form() -> dict[str, str]:
        now = int(issuers.now_unix_s())
        header = {"alg": "RS256", "typ": "JWT", "kid": str(said.get("private_key_id", ""))}
        email = str(said.get("client_email", ""))
        claims = {"iss": email, "scope": scope, "aud": url, "iat": now, "exp": now + ASSERTION_S}
        return {"grant_type": JWT_GRANT, "assertion": signer.assertion(header, claims)}

    offset_s = issuers.offset_s
    issued = await issuers.ask("POST", url, form())
    if issued.status == 400 and issuers.offset_s != offset_s:  # the assertion had the time of a wrong clock
        issued = await issuers.ask("POST", url, form())
    return _read(issuers, issued)


async def _of_login(issuers: Issuers, said: Json, path: Path, scope: str) -> Fresh[str]:
    form = {name: str(said.get(name, "")) for name in ("client_id", "client_secret", "refresh_token")}
    url = _url(said.get("token_uri"), TOKEN_URI, path)
    return _read(issuers, await issuers.ask("POST", url, {**form, "grant_type": "refresh_token"}))


async def _of_workload(issuers: Issuers, said: Json, path: Path, scope: str) -> Fresh[str]:
    """Exchange the token of another issuer (RFC 8693), which a file holds."""
    _check(said, path)
    source = said["credential_source"]
    file = source["file"]
    raw = read_file(Path(file), f"{issuers.name}: the token {file}")
    form_of = source.get("format")
    field = form_of.get("subject_token_field_name") if isinstance(form_of, dict) else None
    inner = any_json(raw) if field else None
    subject = str(inner.get(field, "") if isinstance(inner, dict) else "") if field else raw.decode("latin-1")
    issuers.learn(subject.strip())
    impersonates = said.get("service_account_impersonation_url")
    asked = {
        "grant_type": EXCHANGE_GRANT,
        "audience": str(said.get("audience", "")),
        "scope": GOOGLE_CLOUD if impersonates else scope,
        "requested_token_type": ACCESS_TOKEN,
        "subject_token": subject.strip(),
        "subject_token_type": str(said.get("subject_token_type", "")),
    }
    url = _url(said.get("token_url"), "https://sts.googleapis.com/v1/token", path)
    fresh = _read(issuers, await issuers.ask("POST", url, asked))
    if impersonates is None:
        return fresh
    return await _standing_for(issuers, _url(impersonates, "", path), fresh, scope)


GOOGLE_CLOUD = "https://www.googleapis.com/auth/cloud-platform"


async def _of_impersonation(issuers: Issuers, said: Json, path: Path, scope: str) -> Fresh[str]:
    _check(said, path)
    fresh = await _of_account(issuers, said["source_credentials"], path, GOOGLE_CLOUD)
    return await _standing_for(
        issuers, _url(said.get("service_account_impersonation_url"), "", path), fresh, scope
    )


async def _standing_for(issuers: Issuers, url: str, fresh: Fresh[str], scope: str) -> Fresh[str]:
    issuers.learn(fresh.value)
    issued = await issuers.ask(
        "POST",
        url,
        msgspec.json.encode({"scope": [scope], "lifetime": "3600s"}),
        headers={"authorization": f"Bearer {fresh.value}"},
        content_type="application/json",
    )
    if issued.status != 200:
        raise issuers.refusal("Google", issued, FIXES, FIX.replace("NAME", issuers.name))
    said = issued.json
    token, until = said.get("accessToken"), said.get("expireTime")
    if not isinstance(token, str) or not isinstance(until, str):
        raise issuers.misread("Google")
    return Fresh(token, issuers.life_s(unix_s(until), issued))


KINDS: dict[str, Callable[[Issuers, Json, Path, str], Awaitable[Fresh[str]]]] = {
    "service_account": _of_service_account,
    "authorized_user": _of_login,
    "external_account": _of_workload,
    "impersonated_service_account": _of_impersonation,
}


async def _of_machine(issuers: Issuers, url: str) -> Fresh[str]:
    return _read(issuers, await issuers.of_machine("GET", url, {"metadata-flavor": "Google"}, NOWHERE))


def _url(given: Any, default: str, path: Path) -> str:
    """An address in a file of credentials, which secrets are sent to.

    Raises:
        ConfigError: it is neither HTTPS nor this machine.
    """
    url = str(given or default)
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ConfigError(f'{path}: "{url[:100]}" is no https address, and secrets go there; write one')
    return url


def _read(issuers: Issuers, issued: Issued) -> Fresh[str]:
    if issued.status != 200:
        raise issuers.refusal("Google", issued, FIXES, FIX.replace("NAME", issuers.name))
    said = issued.json
    token, life_s = said.get("access_token"), seconds(said.get("expires_in"))
    if not isinstance(token, str) or life_s is None:
        raise issuers.misread("Google")
    return Fresh(token, life_s)
