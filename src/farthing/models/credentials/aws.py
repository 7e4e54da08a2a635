"""Keys of AWS, for signing: from the environment, a web identity, the shared files, a container's endpoint
or the machine's metadata, in the order of its own SDKs."""

import configparser
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from farthing.config.settings.credentials import AwsConfig
from farthing.errors import ConfigError, KeyRejected
from farthing.models.credentials.asking import LOOPBACK, Issued, Issuers, unix_s
from farthing.models.credentials.files import read_file
from farthing.models.credentials.renewed import LIFE_S_MAX, Fresh, Renewed
from farthing.protocols import SigningKeys

IMDS = "http://169.254.169.254"
IMDS_TOKEN_S = "21600"  # of the session with the metadata server, in seconds
ROLES = "/latest/meta-data/iam/security-credentials/"
CONTAINERS = "http://169.254.170.2"
CONTAINER_HOSTS = frozenset({*LOOPBACK, "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
"""Where a token for keys may go without TLS: this machine, and the endpoints of ECS and EKS."""
FILE_S = 900.0
"""The shared files are read again after this long: whoever rotates their keys writes them anew."""
UNSUPPORTED = {
    "credential_process": "a program would have to be run",
    "sso_session": "single sign-on needs a person at a browser",
    "sso_start_url": "single sign-on needs a person at a browser",
    "source_profile": "assuming a role with other keys is not supported",
    "credential_source": "assuming a role with other keys is not supported",
}
FIXES = {
    "ExpiredToken": "the web identity's token has expired: look at what writes its file",
    "InvalidIdentityToken": "the role's trust policy does not know the token's issuer or audience",
    "AccessDenied": "the role's trust policy does not let this identity assume it",
}
FIX = "look at the role of this machine or container"
NOWHERE = (
    "there are no keys of AWS in the environment or the shared files, and the machine's metadata does not "
    "answer; "
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
)
_Fetch = Callable[[], Awaitable[Fresh[SigningKeys]]]


class AwsKeys(Renewed[SigningKeys]):
    """See `protocols.AwsCredentials`."""

    @property
    def keys(self) -> SigningKeys | None:
        return self.value


def aws_keys(
    config: AwsConfig, env: Mapping[str, str], issuers: Issuers, clock: Callable[[], float]
) -> AwsKeys:
    """Raises:
    ConfigError: what is given is incomplete, or of a kind that is not supported.
    """
    fetch = _way(config, env, issuers)

    async def learnt() -> Fresh[SigningKeys]:
        fresh = await fetch()
        issuers.learn(fresh.value.secret)
        if fresh.value.session_token:
            issuers.learn(fresh.value.session_token)
        return fresh

    return AwsKeys(f"{issuers.name}: the keys of AWS", learnt, clock)


def aws_region(config: AwsConfig, env: Mapping[str, str]) -> str:
    """The region that the configuration, the environment or the profile names; empty: none does."""
    found = config.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    return found or _profile(config, env).get("region", "")


def _way(config: AwsConfig, env: Mapping[str, str], issuers: Issuers) -> _Fetch:
    access_key, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret and config.profile is None:
        fixed = SigningKeys(access_key, secret, env.get("AWS_SESSION_TOKEN") or None)
        return partial(_fixed, fixed)
    token_file, role = env.get("AWS_WEB_IDENTITY_TOKEN_FILE"), env.get("AWS_ROLE_ARN")
    if token_file and role and config.profile is None:
        session = env.get("AWS_ROLE_SESSION_NAME") or "farthing"
        return partial(_of_web_identity, issuers, _sts(config, env), Path(token_file), role, session)
    profile = _profile(config, env)
    if profile.get("web_identity_token_file") and profile.get("role_arn"):
        file = Path(profile["web_identity_token_file"])
        session = profile.get("role_session_name") or "farthing"
        return partial(_of_web_identity, issuers, _sts(config, env), file, profile["role_arn"], session)
    if profile.get("aws_access_key_id") and profile.get("aws_secret_access_key"):
        return partial(_of_profile, config, env, issuers)
    for name, why in UNSUPPORTED.items():
        if name in profile:
            raise ConfigError(
                f'providers.{issuers.name}: the profile "{_profile_name(config, env)}" has {name}, and '
                f"{why}; "
                "give keys in the environment or the file, a web identity, or a role of the machine"
            )
    if config.profile is not None:
        raise ConfigError(
            f'providers.{issuers.name}: the profile "{config.profile}" has no keys in '
            f"{_files(env)[0]} or {_files(env)[1]}"
        )
    relative, full = (env.get(f"AWS_CONTAINER_CREDENTIALS_{kind}_URI") for kind in ("RELATIVE", "FULL"))
    if relative or full:
        url = f"{CONTAINERS}{relative}" if relative else str(full)
        _check_container(url, issuers)
        return partial(_of_container, issuers, env, url)
    if env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise ConfigError(
            f"providers.{issuers.name}: there are no keys of AWS; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    host = (env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or IMDS).rstrip("/")
    return partial(_of_machine, issuers, host)


async def _fixed(keys: SigningKeys) -> Fresh[SigningKeys]:
    return Fresh(keys, LIFE_S_MAX)


# -- the shared files -----------------------------------------------------------------------------------


def _files(env: Mapping[str, str]) -> tuple[Path, Path]:
    home = Path(env.get("HOME") or "~").expanduser() / ".aws"
    return (
        Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"),
        Path(env.get("AWS_CONFIG_FILE") or home / "config"),
    )


def _profile_name(config: AwsConfig, env: Mapping[str, str]) -> str:
    return config.profile or env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or "default"


def _profile(config: AwsConfig, env: Mapping[str, str]) -> dict[str, str]:
    """What both files say of the profile; the file of credentials counts first. Empty: they say nothing.

    Raises:
        ConfigError: a file is there and is not as it should be.
    """
    name = _profile_name(config, env)
    credentials, settings = _files(env)
    found = _section(settings, name if name == "default" else f"profile {name}")
    return {**found, **_section(credentials, name)}


def _section(path: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.expanduser().read_text())
    except OSError:
        return {}
    except (configparser.Error, UnicodeDecodeError):
        raise ConfigError(f"{path} is no file of AWS's settings: look at its lines") from None
    return dict(parser[name]) if parser.has_section(name) else {}


async def _of_profile(config: AwsConfig, env: Mapping[str, str], issuers: Issuers) -> Fresh[SigningKeys]:
    profile = _profile(config, env)
    access_key, secret = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
    if not access_key or not secret:
        raise KeyRejected(
            f'{issuers.name}: the profile "{_profile_name(config, env)}" has no keys any more; look at '
            f"{_files(env)[0]}"
        )
    return Fresh(SigningKeys(access_key, secret, profile.get("aws_session_token") or None), FILE_S)


# -- issuers ---------------------------------------------------------------------------------------------


def _sts(config: AwsConfig, env: Mapping[str, str]) -> str:
    region = aws_region(config, env)
    given = env.get("AWS_ENDPOINT_URL_STS")
    if given:
        return given.rstrip("/") + "/"
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://sts.{region}.{domain}/" if region else "https://sts.amazonaws.com/"


async def _of_web_identity(
    issuers: Issuers, url: str, file: Path, role: str, session: str
) -> Fresh[SigningKeys]:
    token = read_file(file, f"{issuers.name}: the web identity's token {file}").decode("latin-1").strip()
    issuers.learn(token)
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": session,
        "WebIdentityToken": token,
    }
    issued = await issuers.ask("POST", url, form, accept="text/xml")
    who = "AWS's security token service"
    if issued.status != 200:
        code = _between(issued.body, "Code") or ""
        told = Issued(issued.status, _error(code, _between(issued.body, "Message") or ""), issued.date_unix_s)
        raise issuers.refusal(who, told, FIXES, FIX)
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    access_key, secret, session_token, until = (_between(issued.body, name) for name in names)
    if not access_key or not secret or not until:
        raise issuers.misread(who)
    return Fresh(SigningKeys(access_key, secret, session_token), issuers.life_s(unix_s(until), issued))


def _error(code: str, message: str) -> bytes:
    import msgspec

    return msgspec.json.encode({"error": code, "error_description": message})


def _between(body: bytes, name: str) -> str | None:
    """The text of the first element of that name."""
    _, begun, rest = body.partition(f"<{name}>".encode())
    text, ended, _ = rest.partition(f"</{name}>".encode())
    return text.decode("utf-8", "replace").strip() if begun and ended else None


def _check_container(url: str, issuers: Issuers) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or (
        parts.scheme == "http" and (host in CONTAINER_HOSTS or _is_loopback(host))
    ):
        return
    raise ConfigError(
        f"providers.{issuers.name}: AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of "
        f"this "
        "machine or of its container service: keys would come from anybody"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _of_container(issuers: Issuers, env: Mapping[str, str], url: str) -> Fresh[SigningKeys]:
    token = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    file = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if file:
        what = f"{issuers.name}: the container's token {file}"
        token = read_file(Path(file), what).decode("latin-1").strip()
    headers = {}
    if token:
        issuers.learn(token)
        headers["authorization"] = token
    issued = await issuers.of_machine("GET", url, headers, "the container's endpoint does not answer")
    return _read(issuers, issued, "the container's endpoint")


async def _of_machine(issuers: Issuers, host: str) -> Fresh[SigningKeys]:
    who = "the metadata of this machine"
    asked = {"x-aws-ec2-metadata-token-ttl-seconds": IMDS_TOKEN_S}
    session = await issuers.of_machine("PUT", f"{host}/latest/api/token", asked, NOWHERE)
    if session.status != 200:
        raise issuers.refusal(who, session, {}, FIX)
    headers = {"x-aws-ec2-metadata-token": session.body.decode("latin-1").strip()}
    roles = await issuers.of_machine("GET", f"{host}{ROLES}", headers, NOWHERE)
    role = roles.body.decode("latin-1").strip().partition("\n")[0]
    if roles.status != 200 or not role:
        raise KeyRejected(f"{issuers.name}: this machine has no role of IAM; attach one, or give keys")
    issued = await issuers.of_machine("GET", f"{host}{ROLES}{role}", headers, NOWHERE)
    return _read(issuers, issued, who)


def _read(issuers: Issuers, issued: Issued, who: str) -> Fresh[SigningKeys]:
    if issued.status != 200:
        raise issuers.refusal(who, issued, {}, FIX)
    said = issued.json
    access_key, secret, token = (said.get(name) for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    until = said.get("Expiration")
    if not (isinstance(access_key, str) and isinstance(secret, str) and isinstance(until, str)):
        raise issuers.misread(who)
    keys = SigningKeys(access_key, secret, token if isinstance(token, str) else None)
    return Fresh(keys, issuers.life_s(unix_s(until), issued))
