"""Each way to credentials, with a scripted issuer over the gateway's own transport: what is asked, what
comes."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.faults.issuer import Asked, Issuer, fails, said

from farthing.config import OpenAIProviderConfig, Secret
from farthing.config.settings.credentials import AwsConfig, EntraConfig, GoogleConfig
from farthing.errors import ConfigError, FarthingError, KeyRejected, ProviderUnavailable
from farthing.models.credentials.asking import Issuers
from farthing.models.credentials.aws import aws_keys, aws_region
from farthing.models.credentials.entra import entra_token
from farthing.models.credentials.google import google_token
from farthing.models.transport.http1 import Http1Transport
from farthing.protocols import SigningKeys
from farthing.runtime.loop_batch import LoopBatch
from farthing.runtime.redact import HIDDEN, Redactor
from farthing.wiring.providers import reach_issuer

HOUR_S = 3_600.0
SECRET = "the-secret-of-the-application-42"
GIVEN = OpenAIProviderConfig(base_url="https://api.example/v1")


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(65_537, 2_048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as made:
        yield made


class Got:
    """What was held after one `ready`, and for how long."""

    def __init__(self, held: Any, life_s: float, redact: Redactor) -> None:
        self.value = held.value
        self.life_s = life_s
        self.redact = redact

    @property
    def token(self) -> str:
        return str(self.value.decode()).partition("\r\n")[0].removeprefix("authorization: Bearer ")


def fetch(make: Callable[..., Any], config: Any, env: Mapping[str, str], issuer: Issuer) -> Got:
    """Raises:
    FarthingError: as `make` and `ready`.
    """

    async def fetched() -> Got:
        loop = asyncio.get_running_loop()
        transport = Http1Transport(loop, LoopBatch(loop))
        redact = Redactor()
        reach = partial(reach_issuer, "mine", GIVEN, env={})
        issuers = Issuers("mine", transport, reach, time.time, redact.learn_issued, redact.text)
        try:
            held = make(config, env, issuers, lambda: 0.0)
            await held.ready(20.0)
            return Got(held, held._until_s, redact)
        finally:
            await transport.aclose()

    return asyncio.run(fetched())


def fault(make: Callable[..., Any], config: Any, env: Mapping[str, str], issuer: Issuer) -> FarthingError:
    with pytest.raises(FarthingError) as failed:
        fetch(make, config, env, issuer)
    return failed.value


def decoded(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, claims, _ = assertion.split(".")
    return tuple(json.loads(urlsafe_b64decode(part + "==")) for part in (head, claims))


def dated(issuer: Issuer, life_s: float) -> str:
    when = datetime.fromtimestamp(issuer.now_unix_s(), UTC) + timedelta(seconds=life_s)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


# -- Entra --------------------------------------------------------------------------------------------------

TOKENS = "/tenant-1/oauth2/v2.0/token"


def azure(issuer: Issuer, **more: str) -> dict[str, str]:
    return {
        "AZURE_TENANT_ID": "tenant-1",
        "AZURE_CLIENT_ID": "client-1",
        "AZURE_AUTHORITY_HOST": issuer.root,
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": issuer.root,
        **more,
    }


def test_entra_by_a_client_secret(issuer: Issuer) -> None:
    issuer.answers[TOKENS] = issuer.oauth(HOUR_S)
    got = fetch(entra_token, EntraConfig(), azure(issuer, AZURE_CLIENT_SECRET=SECRET), issuer)
    assert got.token in issuer.valid and got.life_s == pytest.approx(HOUR_S, abs=10)
    assert issuer.asked[0].form == {
        "client_id": "client-1",
        "scope": "https://cognitiveservices.azure.com/.default",
        "grant_type": "client_credentials",
        "client_secret": SECRET,
    }
    assert got.redact.text(f"{got.token} and {SECRET}") == f"{HIDDEN} and {HIDDEN}"


def test_entra_by_the_configuration_alone(issuer: Issuer) -> None:
    issuer.answers[TOKENS] = issuer.oauth(HOUR_S)
    config = EntraConfig(
        tenant_id="tenant-1",
        client_id="client-2",
        client_secret=Secret("A", SECRET),
        scope="api://mine/.default",
        authority=issuer.root,
    )
    env = {"AZURE_CLIENT_ID": "another", "AZURE_FEDERATED_TOKEN_FILE": "/nowhere"}
    assert fetch(entra_token, config, env, issuer).token in issuer.valid
    assert issuer.asked[0].form["client_id"] == "client-2"
    assert issuer.asked[0].form["scope"] == "api://mine/.default"


def test_entra_by_a_workload_identity_whose_file_is_read_for_each_fetch(
    issuer: Issuer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("federated-token-of-the-cluster\n")
    issuer.answers[TOKENS] = issuer.oauth(HOUR_S)
    env = azure(issuer, AZURE_FEDERATED_TOKEN_FILE=str(file))
    assert fetch(entra_token, EntraConfig(), env, issuer).token in issuer.valid
    form = issuer.asked[0].form
    assert form["client_assertion"] == "federated-token-of-the-cluster"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    file.unlink()
    error = fault(entra_token, EntraConfig(), env, issuer)
    assert isinstance(error, KeyRejected) and "cannot be read" in str(error)


def test_entra_by_a_certificate(issuer: Issuer, tmp_path: Path) -> None:
    made = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("app.example", key_type=trustme.KeyType.RSA)
    file = tmp_path / "app.pem"
    made.private_key_and_cert_chain_pem.write_to_path(file)
    issuer.answers[TOKENS] = issuer.oauth(HOUR_S)
    env = azure(issuer, AZURE_CLIENT_CERTIFICATE_PATH=str(file))
    assert fetch(entra_token, EntraConfig(), env, issuer).token in issuer.valid
    head, claims = decoded(issuer.asked[0].form["client_assertion"])
    assert head["alg"] == "PS256" and len(head["x5t#S256"]) == 43
    assert claims["aud"] == f"{issuer.root}{TOKENS}" and claims["iss"] == claims["sub"] == "client-1"
    assert claims["nbf"] < time.time() < claims["exp"]


def test_entra_by_the_machine(issuer: Issuer) -> None:
    path = "/metadata/identity/oauth2/token"
    issuer.answers[path] = lambda _: (200, said(access_token=issuer.token(60), expires_in="86399"))
    env = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": issuer.root, "AZURE_CLIENT_ID": "identity-1"}
    got = fetch(entra_token, EntraConfig(), env, issuer)
    assert got.life_s == pytest.approx(86_399, abs=10)
    assert issuer.asked[0].headers["metadata"] == "true"
    assert issuer.asked[0].query == {
        "api-version": "2018-02-01",
        "resource": "https://cognitiveservices.azure.com",
        "client_id": "identity-1",
    }


@pytest.mark.parametrize("offset_s", [0.0, 3_600.0, -3_600.0])
def test_entra_in_app_service_whose_dates_are_read_by_its_own_clock(issuer: Issuer, offset_s: float) -> None:
    issuer.offset_s = offset_s
    issuer.answers["/msi/token"] = lambda _: (
        200,
        said(access_token=issuer.token(60), expires_on=str(int(issuer.now_unix_s() + 1_800))),
    )
    env = {"IDENTITY_ENDPOINT": f"{issuer.root}/msi/token", "IDENTITY_HEADER": "header-of-the-app-0123"}
    got = fetch(entra_token, EntraConfig(), env, issuer)
    assert got.life_s == pytest.approx(1_800, abs=10)
    assert issuer.asked[0].headers["x-identity-header"] == "header-of-the-app-0123"
    assert issuer.asked[0].query["api-version"] == "2019-08-01"


def test_a_wrong_secret_is_told_with_what_to_do(issuer: Issuer) -> None:
    issuer.answers[TOKENS] = fails(
        401,
        error="invalid_client",
        error_description=f"AADSTS7000222: The provided client secret keys are expired. {SECRET}",
    )
    error = fault(entra_token, EntraConfig(), azure(issuer, AZURE_CLIENT_SECRET=SECRET), issuer)
    assert isinstance(error, KeyRejected) and SECRET not in str(error)
    assert "mine: Entra answered 401 (invalid_client); the client secret has expired" in str(error)


def test_what_entra_lacks_or_cannot_is_told_before_anything_is_asked(issuer: Issuer) -> None:
    error = fault(entra_token, EntraConfig(), {"AZURE_CLIENT_SECRET": SECRET}, issuer)
    assert isinstance(error, ConfigError) and "set AZURE_TENANT_ID and AZURE_CLIENT_ID" in str(error)
    arc = {"IDENTITY_ENDPOINT": "http://localhost:40342", "IMDS_ENDPOINT": "http://localhost:40342"}
    assert "Azure Arc" in str(fault(entra_token, EntraConfig(), arc, issuer))
    assert issuer.asked == []


# -- Google -------------------------------------------------------------------------------------------------


def account(issuer: Issuer, tmp_path: Path, **values: Any) -> dict[str, str]:
    file = tmp_path / "adc.json"
    file.write_text(json.dumps({"token_uri": f"{issuer.root}/token", **values}))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}


def service_account(issuer: Issuer, tmp_path: Path, key: str) -> dict[str, str]:
    return account(
        issuer,
        tmp_path,
        type="service_account",
        client_email="robot@p.iam.gserviceaccount.com",
        private_key_id="key-1",
        private_key=key,
    )


def in_time(issuer: Issuer, life_s: float) -> Callable[[Asked], tuple[int, bytes]]:
    """As Google: an assertion is five minutes off at most."""

    def answers(asked: Asked) -> tuple[int, bytes]:
        claims = decoded(asked.form["assertion"])[1]
        if abs(claims["iat"] - issuer.now_unix_s()) > 300:
            return 400, said(
                error="invalid_grant", error_description="Invalid JWT: must be a short-lived token"
            )
        return 200, said(access_token=issuer.token(life_s), expires_in=life_s)

    return answers


@pytest.mark.parametrize("offset_s", [0.0, 3_600.0, -3_600.0])
def test_google_by_a_service_account_even_where_the_clock_is_an_hour_off(
    issuer: Issuer, tmp_path: Path, private_key: str, offset_s: float
) -> None:
    issuer.offset_s = offset_s
    issuer.answers["/token"] = in_time(issuer, HOUR_S)
    got = fetch(google_token, GoogleConfig(), service_account(issuer, tmp_path, private_key), issuer)
    assert got.token in issuer.valid and got.life_s == pytest.approx(HOUR_S, abs=10)
    head, claims = decoded(issuer.asked[-1].form["assertion"])
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert claims["iss"] == "robot@p.iam.gserviceaccount.com" and claims["aud"] == f"{issuer.root}/token"
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert len(issuer.asked) == (1 if offset_s == 0 else 2)


def test_google_by_a_login(issuer: Issuer, tmp_path: Path) -> None:
    issuer.answers["/token"] = issuer.oauth(HOUR_S)
    secrets = {"client_id": "c", "client_secret": SECRET, "refresh_token": "refresh-token-0123456789"}
    env = account(issuer, tmp_path, type="authorized_user", quota_project_id="mine-1", **secrets)
    got = fetch(google_token, GoogleConfig(), env, issuer)
    assert got.token in issuer.valid
    assert got.value.endswith(b"\r\nx-goog-user-project: mine-1\r\n")
    assert issuer.asked[0].form == {**secrets, "grant_type": "refresh_token"}
    assert "refresh-token" not in got.redact.text("refresh-token-0123456789")


def test_google_by_a_workload_that_stands_for_an_account(issuer: Issuer, tmp_path: Path) -> None:
    token = tmp_path / "oidc.json"
    token.write_text(json.dumps({"id_token": "oidc-token-of-the-cluster"}))
    issuer.answers["/sts"] = lambda _: (200, said(access_token="federated-access-0123456789", expires_in=60))
    issuer.answers["/robot:generateAccessToken"] = lambda asked: (
        200,
        said(accessToken=issuer.token(60), expireTime=dated(issuer, HOUR_S)),
    )
    env = account(
        issuer,
        tmp_path,
        type="external_account",
        audience="//iam.googleapis.com/pool",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{issuer.root}/sts",
        service_account_impersonation_url=f"{issuer.root}/robot:generateAccessToken",
        credential_source={
            "file": str(token),
            "format": {"type": "json", "subject_token_field_name": "id_token"},
        },
    )
    got = fetch(google_token, GoogleConfig(), env, issuer)
    assert got.token in issuer.valid and got.life_s == pytest.approx(HOUR_S, abs=10)
    assert issuer.asked[0].form["subject_token"] == "oidc-token-of-the-cluster"
    assert issuer.asked[1].headers["authorization"] == "Bearer federated-access-0123456789"


def test_google_by_the_metadata_server(issuer: Issuer, tmp_path: Path) -> None:
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    issuer.answers[path] = issuer.oauth(HOUR_S)
    env = {"GCE_METADATA_HOST": issuer.root.removeprefix("http://"), "HOME": str(tmp_path)}
    assert fetch(google_token, GoogleConfig(), env, issuer).token in issuer.valid
    assert issuer.asked[0].headers["metadata-flavor"] == "Google"


def test_a_dead_metadata_server_is_told_with_what_to_do(tmp_path: Path) -> None:
    with Issuer() as gone:
        env = {"GCE_METADATA_HOST": gone.root.removeprefix("http://"), "HOME": str(tmp_path)}
    error = fault(google_token, GoogleConfig(), env, gone)
    assert isinstance(error, ProviderUnavailable) and "gcloud auth application-default login" in str(error)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"type": "external_account_authorized_user"}, "which is not supported; use one of"),
        ({"type": "service_account", "token_uri": "http://elsewhere.example/token"}, "is no https address"),
        (
            {"type": "external_account", "credential_source": {"url": "http://x"}},
            "with a `file` is supported",
        ),
        (
            {"type": "external_account", "credential_source": {"executable": {"command": "id"}}},
            "with a `file`",
        ),
    ],
)
def test_what_google_cannot_is_refused_by_name(
    issuer: Issuer, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    assert words in str(fault(google_token, GoogleConfig(), account(issuer, tmp_path, **values), issuer))
    assert issuer.asked == []


# -- AWS ----------------------------------------------------------------------------------------------------


def keys_of(issuer: Issuer, life_s: float = HOUR_S) -> bytes:
    return said(
        Code="Success",
        AccessKeyId="ASIAEXAMPLE",
        SecretAccessKey="secret-of-the-role-0123456789",
        Token="session-of-the-role-0123456789",
        Expiration=dated(issuer, life_s),
    )


OF_THE_ROLE = SigningKeys("ASIAEXAMPLE", "secret-of-the-role-0123456789", "session-of-the-role-0123456789")


def home(tmp_path: Path, credentials: str = "", config: str = "") -> dict[str, str]:
    (tmp_path / ".aws").mkdir(exist_ok=True)
    (tmp_path / ".aws" / "credentials").write_text(credentials)
    (tmp_path / ".aws" / "config").write_text(config)
    return {"HOME": str(tmp_path)}


def test_aws_by_the_environment(issuer: Issuer, tmp_path: Path) -> None:
    env = {
        **home(tmp_path, "[default]\naws_access_key_id = other\naws_secret_access_key = other\n"),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret-0123456789",
    }
    assert fetch(aws_keys, AwsConfig(), env, issuer).value == SigningKeys(
        "AKIAEXAMPLE", "secret-0123456789", None
    )


def test_aws_by_a_profile_which_stands_before_the_environment(issuer: Issuer, tmp_path: Path) -> None:
    env = {
        **home(
            tmp_path,
            "[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = secret%of=work\n",
            "[profile work]\nregion = eu-west-1\n",
        ),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret-0123456789",
    }
    config = AwsConfig(profile="work")
    assert fetch(aws_keys, config, env, issuer).value == SigningKeys("AKIAWORK", "secret%of=work", None)
    assert aws_region(config, env) == "eu-west-1"


@pytest.mark.parametrize("offset_s", [0.0, 3_600.0])
def test_aws_by_a_web_identity(issuer: Issuer, tmp_path: Path, offset_s: float) -> None:
    issuer.offset_s = offset_s
    token = tmp_path / "token"
    token.write_text("web-identity-token-0123456789\n")
    issuer.answers["/"] = lambda _: (
        200,
        f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials>
    <SessionToken>session-of-the-role-0123456789</SessionToken>
    <SecretAccessKey>secret-of-the-role-0123456789</SecretAccessKey>
    <Expiration>{dated(issuer, HOUR_S)}</Expiration>
    <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
  </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>""".encode(),
    )
    env = {
        **home(tmp_path),
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
        "AWS_ENDPOINT_URL_STS": issuer.root,
    }
    got = fetch(aws_keys, AwsConfig(), env, issuer)
    assert got.value == OF_THE_ROLE and got.life_s == pytest.approx(HOUR_S, abs=10)
    assert issuer.asked[0].form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::1:role/r",
        "RoleSessionName": "farthing",
        "WebIdentityToken": "web-identity-token-0123456789",
    }
    assert "secret-of-the-role" not in got.redact.text("secret-of-the-role-0123456789")


def test_aws_says_why_a_web_identity_was_refused(issuer: Issuer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("web-identity-token-0123456789")
    issuer.answers["/"] = lambda _: (
        403,
        b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>No</Message></Error></ErrorResponse>",
    )
    env = {
        **home(tmp_path),
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
        "AWS_ENDPOINT_URL_STS": issuer.root,
    }
    error = fault(aws_keys, AwsConfig(), env, issuer)
    assert isinstance(error, KeyRejected) and "(AccessDenied); the role's trust policy" in str(error)


def test_aws_in_a_container(issuer: Issuer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("token-of-the-pod-0123456789\n")
    issuer.answers["/v1/credentials"] = lambda _: (200, keys_of(issuer))
    env = {
        **home(tmp_path),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{issuer.root}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }
    assert fetch(aws_keys, AwsConfig(), env, issuer).value == OF_THE_ROLE
    assert issuer.asked[0].headers["authorization"] == "token-of-the-pod-0123456789"


def test_aws_by_the_metadata_of_the_machine(issuer: Issuer, tmp_path: Path) -> None:
    roles = "/latest/meta-data/iam/security-credentials/"
    issuer.answers["/latest/api/token"] = lambda _: (200, b"session-1")
    issuer.answers[f"{roles}role-1"] = lambda _: (200, keys_of(issuer))
    issuer.answers[roles] = lambda _: (200, b"role-1")
    env = {**home(tmp_path), "AWS_EC2_METADATA_SERVICE_ENDPOINT": issuer.root}
    assert fetch(aws_keys, AwsConfig(), env, issuer).value == OF_THE_ROLE
    first, *others = issuer.asked
    assert first.method == "PUT" and first.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
    assert {one.headers["x-aws-ec2-metadata-token"] for one in others} == {"session-1"}


@pytest.mark.parametrize(
    ("config", "env", "words"),
    [
        (
            "[default]\ncredential_process = /bin/keys\n",
            {},
            "credential_process, and a program would have to be run",
        ),
        ("[default]\nsso_session = s\n", {}, "sso_session, and single sign-on"),
        ("[default]\nrole_arn = r\nsource_profile = b\n", {}, "assuming a role with other keys"),
        ("", {"AWS_EC2_METADATA_DISABLED": "true"}, "there are no keys of AWS"),
        (
            "",
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://elsewhere.example/"},
            "neither https nor an address",
        ),
        ("no section\n", {}, "is no file of AWS's settings"),
    ],
)
def test_what_aws_cannot_is_refused_by_name(
    issuer: Issuer, tmp_path: Path, config: str, env: dict[str, str], words: str
) -> None:
    error = fault(aws_keys, AwsConfig(), {**home(tmp_path, config=config), **env}, issuer)
    assert isinstance(error, ConfigError) and words in str(error)
