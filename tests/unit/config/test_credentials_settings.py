"""Tables of credentials that are fetched: what contradicts itself is told, and no secret is shown."""

import pytest

from farthing import config
from farthing.config import secrets_of
from farthing.errors import ConfigError

ENV = {"APP_SECRET": "the-secret-of-the-application-42", "KEY": "sk-0123456789"}
BASE = '[providers.a]\nbase_url = "https://a.example/v1"\n'
TIER = '[tiers.one]\ntargets = ["a/b"]\n'
TABLE = '[providers.a.entra]\ntenant_id = "t"\nclient_id = "c"\nclient_secret = "${APP_SECRET}"\n'


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('auth = "entra"\napi_key = "${KEY}"\n', 'api_key: would never be sent with auth = "entra"'),
        (TABLE, 'entra: is not used without auth = "entra"'),
        ('auth = "google"\n' + TABLE, 'entra: is not used without auth = "entra"'),
        ('auth = "entra"\n' + TABLE.replace("${APP_SECRET}", "plain"), "client_secret: "),
        ('auth = "entra"\n' + TABLE.replace("tenant_id", "tenant"), "tenant"),
    ],
)
def test_what_contradicts_itself_is_told_with_the_fix(lines: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault.replace("(", r"\(")):
        config.loads(BASE + lines + TIER, ENV)


def test_the_secret_is_known_to_the_redactor_and_shown_by_its_name() -> None:
    read = config.loads(f'{BASE}auth = "entra"\n{TABLE}{TIER}', ENV)
    assert ENV["APP_SECRET"] in secrets_of(read, {})[0]
    assert "of-the-environment-42" in secrets_of(read, {"AWS_SECRET_ACCESS_KEY": "of-the-environment-42"})[0]
    shown = config.render(config.concealed(read))
    assert "${APP_SECRET}" in shown and ENV["APP_SECRET"] not in shown
