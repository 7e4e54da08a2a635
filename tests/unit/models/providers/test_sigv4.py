"""Signature Version 4 against AWS's published test suite, and of a path that is encoded twice."""

from calendar import timegm
from hashlib import sha256
from urllib.parse import quote

import pytest

from farthing.models.providers.bedrock.sigv4 import Signer
from farthing.protocols import SigningKeys

KEYS = SigningKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
AT = timegm((2015, 8, 30, 12, 36, 0))
HOST = ("host", "example.amazonaws.com")
FORM = ("content-type", "application/x-www-form-urlencoded")
Headers = tuple[tuple[str, str], ...]


def signed(
    method: str,
    path: str,
    headers: Headers,
    query: Headers = (),
    body: bytes = b"",
    *,
    keys: SigningKeys = KEYS,
    at: float = AT,
    signer: Signer | None = None,
) -> dict[str, str]:
    signer = Signer("us-east-1", "service") if signer is None else signer
    lines = signer.lines(method, path, headers, sha256(body).hexdigest(), keys, at, query)
    assert lines.endswith("\r\n")
    return dict(line.split(": ", 1) for line in lines[:-2].split("\r\n"))


def authorization(names: str, signature: str) -> str:
    scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"


UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VECTORS: dict[str, tuple[str, str, Headers, Headers, bytes, str, str]] = {
    "get-vanilla": (
        "GET", "/", (HOST,), (), b"", "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-utf8": (
        "GET", "/ሴ", (HOST,), (), b"", "host;x-amz-date",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    "get-unreserved": (
        "GET", f"/{UNRESERVED}", (HOST,), (), b"", "host;x-amz-date",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    "get-vanilla-query-order-key-case": (
        "GET", "/", (HOST,), (("Param2", "value2"), ("Param1", "value1")), b"", "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-unreserved": (
        "GET", "/", (HOST,), ((UNRESERVED, UNRESERVED),), b"", "host;x-amz-date",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        "GET", "/", (HOST,), (("ሴ", "bar"),), b"", "host;x-amz-date",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-header-value-trim": (
        "GET", "/", (HOST, ("my-header1", " value1"), ("my-header2", ' "a   b   c"')), (), b"",
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "post-vanilla": (
        "POST", "/", (HOST,), (), b"", "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-x-www-form-urlencoded": (
        "POST", "/", (FORM, HOST), (), b"Param1=value1", "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_a_request_is_signed_as_in_the_published_test_suite(name: str) -> None:
    method, path, headers, query, body, names, signature = VECTORS[name]
    lines = signed(method, path, headers, query, body)
    assert lines == {"x-amz-date": "20150830T123600Z", "authorization": authorization(names, signature)}


def test_a_session_token_is_sent_and_signed() -> None:
    keys = KEYS._replace(session_token="AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW")
    lines = signed("POST", "/", (HOST,), keys=keys)
    assert lines["x-amz-security-token"] == keys.session_token
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in lines["authorization"]
    assert lines["authorization"] != signed("POST", "/", (HOST,))["authorization"]


ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123xyz"


@pytest.mark.parametrize(
    ("path", "signature"),
    [
        (
            f"/model/{quote(ARN, safe='')}/converse",
            "98593e63988e6c697bb08e2f227a49e4d43575ba54e928832c7059546ea9087a",
        ),
        (
            f"/model/{quote(ARN)}/converse",
            "5049ef9c5c707e29af134d878e9ea548363145fdce7b5f9f58ec5998a71eff04",
        ),
    ],
)
def test_the_path_of_an_arn_is_signed_as_it_is_sent_encoded_once_more(path: str, signature: str) -> None:
    lines = signed(
        "POST",
        path,
        (("content-type", "application/json"), ("host", "bedrock-runtime.us-east-1.amazonaws.com")),
        (),
        b'{"messages":[{"role":"user","content":[{"text":"Oslo?"}]}]}',
        at=timegm((2026, 1, 2, 3, 4, 5)),
        signer=Signer("us-east-1", "bedrock"),
    )
    assert lines["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request, "
        f"SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    )


def test_the_key_of_a_day_is_made_anew_when_the_day_or_the_secret_is_another() -> None:
    signer = Signer("us-east-1", "service")
    first = signed("GET", "/", (HOST,), signer=signer)
    assert signed("GET", "/", (HOST,), signer=signer) == first
    tomorrow = signed("GET", "/", (HOST,), at=AT + 86_400, signer=signer)
    assert tomorrow == signed("GET", "/", (HOST,), at=AT + 86_400)
    others = KEYS._replace(secret="another")
    assert signed("GET", "/", (HOST,), keys=others, signer=signer) == signed("GET", "/", (HOST,), keys=others)
