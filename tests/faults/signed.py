"""Whether a request is signed as AWS wants it (Signature Version 4), by the published algorithm and the keys
of AWS's own examples. Those with other keys are not looked at."""

import hmac
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from tests.faults.connection import Incoming

KEY_ID: Final = "AKIDEXAMPLE"
SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ALGORITHM: Final = "AWS4-HMAC-SHA256"


def fault(request: Incoming) -> str:
    """What is wrong with its signature; empty: nothing, or it is another's."""
    told = request.headers.get("authorization")
    if told is None:
        return "Missing Authentication Token"
    if not told.startswith(f"{ALGORITHM} Credential={KEY_ID}/"):
        return ""
    fields = dict(one.split("=", 1) for one in told.removeprefix(ALGORITHM).strip().split(", "))
    scope = fields["Credential"].partition("/")[2]
    signed = fields["SignedHeaders"].split(";")
    wanted = {"host", *(name for name in request.headers if name.startswith("x-amz-"))}
    missing = wanted - set(signed)
    if missing:
        return f"these headers are not signed: {sorted(missing)}"
    path, _, query = request.path.partition("?")
    canonical = "\n".join([
        request.method,
        quote(path, safe="/-_.~"),  # each segment is encoded once more than it stands in the request
        "&".join(sorted(query.split("&"))) if query else "",
        *(f"{name}:{' '.join(request.headers[name].split())}" for name in signed),
        "",
        fields["SignedHeaders"],
        sha256(request.body).hexdigest(),
    ])  # fmt: skip
    digest = sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, request.headers["x-amz-date"], scope, digest])
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if hmac.digest(key, text.encode(), "sha256").hex() != fields["Signature"]:
        return "The request signature we calculated does not match the signature you provided."
    return ""
