"""AWS's Signature Version 4 of a request, in its `Authorization` header. Pure.

Every service but S3 encodes the segments of a path once more before it is signed: what is sent as
`arn%3Aaws` is signed as `arn%253Aaws`. Hence a path is given here as it is sent, and never normalised.
Source: "Create a signed AWS API request" of the guide of AWS's Identity and Access Management.
"""

import time
from collections.abc import Sequence
from hashlib import sha256
from hmac import digest
from urllib.parse import quote

from farthing.protocols import SigningKeys

ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"


class Signer:
    """Signs the requests to one service in one region. It remembers the key of a day."""

    __slots__ = ("_day", "_region", "_scope", "_service", "_signing_key")

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service
        self._day: tuple[str, str] = ("", "")
        """The day and the secret that `_signing_key` is of."""
        self._scope = ""
        self._signing_key = b""

    def lines(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body_sha256: str,
        keys: SigningKeys,
        now_unix_s: float,
        query: Sequence[tuple[str, str]] = (),
    ) -> str:
        """The header lines that prove a request. `path` as it is sent; `headers` by their names in lower
        case, `host` among them, all of which are signed; `query`: names and values, decoded."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_unix_s))
        signed = [*headers, ("x-amz-date", stamp)]
        if keys.session_token is not None:
            signed.append(("x-amz-security-token", keys.session_token))
        signed.sort()
        names = ";".join([name for name, _ in signed])
        canonical = "\n".join(
            (
                method,
                "/".join([quote(segment, safe=_UNRESERVED) for segment in path.split("/")]),
                canonical_query(query),
                *[f"{name}:{' '.join(value.split())}" for name, value in signed],
                "",
                names,
                body_sha256,
            )
        )
        self._ready(stamp[:8], keys.secret)
        to_sign = f"{ALGORITHM}\n{stamp}\n{self._scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = digest(self._signing_key, to_sign.encode(), "sha256").hex()
        token = "" if keys.session_token is None else f"x-amz-security-token: {keys.session_token}\r\n"
        return (
            f"x-amz-date: {stamp}\r\n{token}authorization: {ALGORITHM} "
            f"Credential={keys.access_key}/{self._scope}, SignedHeaders={names}, Signature={signature}\r\n"
        )

    def _ready(self, day: str, secret: str) -> None:
        if self._day == (day, secret):
            return
        key = f"AWS4{secret}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = digest(key, part.encode(), "sha256")
        self._day, self._signing_key = (day, secret), key
        self._scope = f"{day}/{self._region}/{self._service}/aws4_request"


def canonical_query(query: Sequence[tuple[str, str]]) -> str:
    pairs = [(quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in query]
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])
