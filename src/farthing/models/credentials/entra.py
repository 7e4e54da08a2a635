"""Tokens of Microsoft Entra: of an application with a secret or a certificate, of a workload identity, of a
managed identity. Chosen in the order of Azure's own SDKs, by what the configuration and the environment
give."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode

from farthing.config.settings.credentials import EntraConfig
from farthing.errors import ConfigError
from farthing.models.credentials.asking import Issued, Issuers, seconds
from farthing.models.credentials.bearer import Bearer, bearer_of
from farthing.models.credentials.files import read_file
from farthing.models.credentials.renewed import Fresh
from farthing.models.credentials.signing import Signer, certificate_digest

AUTHORITY = "https://login.microsoftonline.com"
IMDS = "http://169.254.169.254"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S = 600
FIXES = {
    "AADSTS7000215": "the client secret is wrong: AZURE_CLIENT_SECRET has to be the secret's value, not its "
    "id",
    "AADSTS7000222": "the client secret has expired: create a new one for the application",
    "AADSTS700016": "the tenant has no application with this id: look at AZURE_CLIENT_ID and AZURE_TENANT_ID",
    "AADSTS90002": "there is no such tenant: look at AZURE_TENANT_ID",
    "AADSTS900023": "this is no tenant's id: look at AZURE_TENANT_ID",
    "AADSTS500011": "the tenant knows nothing of this scope: look at `scope`",
    "AADSTS70011": "the scope is wrong: it ends in /.default",
    "AADSTS700027": "the certificate is not among the application's: upload it there",
    "AADSTS70021": "no federated credential of the application fits the token: look at its issuer and "
    "subject",
    "AADSTS700024": "the assertion's time is wrong: look at this machine's clock",
    "Identity not found": "no identity of that client_id is assigned to this machine",
}
FIX = "look at the application's id, tenant and secret in providers.NAME.entra or AZURE_…"
NOWHERE = (
    "no application is configured, and this machine has no managed identity that answers; set "
    "AZURE_TENANT_ID, "
    "AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
)
_Fetch = Callable[[], Awaitable[Fresh[str]]]


def entra_token(
    config: EntraConfig, env: Mapping[str, str], issuers: Issuers, clock: Callable[[], float]
) -> Bearer:
    """Raises:
    ConfigError: what is given is incomplete, or of a kind that is not supported.
    """
    way = _way(config, env, issuers)
    return bearer_of(f"{issuers.name}: the token of Entra", way, issuers.learn, clock)


def signed_by(config: EntraConfig, env: Mapping[str, str]) -> Path | None:
    """The certificate that the gateway signs with; None: it signs nothing."""
    if config.certificate_file is not None or config.client_secret or config.federated_token_file:
        return None if config.client_secret else config.certificate_file
    return None if env.get("AZURE_CLIENT_SECRET") else _path(env, "AZURE_CLIENT_CERTIFICATE_PATH")


def _way(config: EntraConfig, env: Mapping[str, str], issuers: Issuers) -> _Fetch:
    client_id = config.client_id or env.get("AZURE_CLIENT_ID", "")
    tenant = config.tenant_id or env.get("AZURE_TENANT_ID", "")
    secret = config.client_secret.value if config.client_secret else env.get("AZURE_CLIENT_SECRET", "")
    certificate = config.certificate_file or _path(env, "AZURE_CLIENT_CERTIFICATE_PATH")
    token_file = config.federated_token_file or _path(env, "AZURE_FEDERATED_TOKEN_FILE")
    if config.client_secret is not None:
        certificate = token_file = None
    elif config.certificate_file is not None:
        secret, token_file = "", None
    elif config.federated_token_file is not None:
        secret, certificate = "", None
    if not (secret or certificate or token_file):
        return _managed(config, env, issuers, client_id)
    lacking = [name for name, value in (("tenant_id", tenant), ("client_id", client_id)) if not value]
    if lacking:
        raise ConfigError(
            f"providers.{issuers.name}.entra: {' and '.join(lacking)} missing; write "
            f"{'it' if len(lacking) == 1 else 'them'} there or set "
            + " and ".join(f"AZURE_{name.upper()}" for name in lacking)
        )
    host = (config.authority or env.get("AZURE_AUTHORITY_HOST") or AUTHORITY).rstrip("/")
    url = f"{host if '://' in host else 'https://' + host}/{quote(tenant, safe='')}/oauth2/v2.0/token"
    form = {"client_id": client_id, "scope": config.scope, "grant_type": "client_credentials"}
    if secret:
        issuers.learn(secret)
        return partial(_by_form, issuers, url, form, lambda: {"client_secret": secret})
    if certificate:
        signed = partial(_signed, issuers, url, client_id, certificate)
        return partial(_by_form, issuers, url, form, signed)
    assert token_file is not None
    return partial(_by_form, issuers, url, form, partial(_federated, issuers, token_file))


def _path(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None


async def _by_form(
    issuers: Issuers, url: str, form: Mapping[str, str], proof: Callable[[], Mapping[str, str]]
) -> Fresh[str]:
    offset_s = issuers.offset_s
    issued = await issuers.ask("POST", url, {**form, **proof()})
    if issued.status == 400 and issuers.offset_s != offset_s:  # the assertion had the time of a wrong clock
        issued = await issuers.ask("POST", url, {**form, **proof()})
    return _read(issuers, issued, "Entra")


def _signed(issuers: Issuers, url: str, client_id: str, file: Path) -> Mapping[str, str]:
    whose = f"{issuers.name}: {file}"
    pem = read_file(file, whose)
    now = int(issuers.now_unix_s())
    header = {"alg": "PS256", "typ": "JWT", "x5t#S256": certificate_digest(pem, whose)}
    claims = {
        "aud": url,
        "iss": client_id,
        "sub": client_id,
        "jti": secrets.token_hex(16),
        "nbf": now - 60,
        "exp": now + ASSERTION_S,
    }
    assertion = Signer(pem, whose).assertion(header, claims, padding="PSS")
    return {"client_assertion_type": ASSERTION, "client_assertion": assertion}


def _federated(issuers: Issuers, file: Path) -> Mapping[str, str]:
    token = read_file(file, f"{issuers.name}: the federated token {file}").decode("latin-1").strip()
    issuers.learn(token)
    return {"client_assertion_type": ASSERTION, "client_assertion": token}


def _managed(config: EntraConfig, env: Mapping[str, str], issuers: Issuers, client_id: str) -> _Fetch:
    resource = config.scope.removesuffix("/.default")
    endpoint, proof = env.get("IDENTITY_ENDPOINT"), env.get("IDENTITY_HEADER")
    if endpoint and proof and not env.get("IDENTITY_SERVER_THUMBPRINT"):
        query = {"api-version": "2019-08-01", "resource": resource}
        headers = {"x-identity-header": proof}
        issuers.learn(proof)
    elif endpoint or env.get("MSI_ENDPOINT"):
        raise ConfigError(
            f"providers.{issuers.name}.auth: managed identities of Azure Arc, Service Fabric and Cloud "
            f"Shell are "
            "not supported; use an application with a secret, a certificate or a workload identity"
        )
    else:
        host = env.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", IMDS).rstrip("/")
        endpoint = f"{host}/metadata/identity/oauth2/token"
        query = {"api-version": "2018-02-01", "resource": resource}
        headers = {"metadata": "true"}
    if client_id:
        query["client_id"] = client_id
    return partial(_of_machine, issuers, f"{endpoint}?{urlencode(query)}", headers)


async def _of_machine(issuers: Issuers, url: str, headers: Mapping[str, str]) -> Fresh[str]:
    issued = await issuers.of_machine("GET", url, headers, NOWHERE)
    return _read(issuers, issued, "the managed identity of this machine")


def _read(issuers: Issuers, issued: Issued, who: str) -> Fresh[str]:
    if issued.status != 200:
        raise issuers.refusal(who, issued, FIXES, FIX.replace("NAME", issuers.name))
    said = issued.json
    token = said.get("access_token")
    life_s, until = seconds(said.get("expires_in")), seconds(said.get("expires_on"))
    if life_s is None and until is not None:
        life_s = issuers.life_s(until, issued)
    if not isinstance(token, str) or life_s is None:
        raise issuers.misread(who)
    return Fresh(token, life_s, seconds(said.get("refresh_in")))
