"""`farthing keys`: API keys of the gateway. A key is shown once; only its digest is ever kept."""

import secrets
import sys

import click
import msgspec

from farthing.cli.groups import SubcommandGroup
from farthing.config import key_digest, toml

KEY_PREFIX = "sk-farthing-"  # recognisable to people and to secret scanners
KEY_BYTES = 32  # 43 characters of base64


@click.group("keys", cls=SubcommandGroup)
def command() -> None:
    """Make API keys, and digests of them."""


@command.command("new")
@click.option("--tenant", required=True, help="Whom the key belongs to.")
@click.option("--plan", default="", help="The tenant's plan, as routing rules see it.")
@click.option("--endpoint", help="Endpoint that every request with this key goes to.")
@click.option("--name", default="", help="What receipts and reports call the key.")
@click.option(
    "--requests-per-minute",
    type=click.IntRange(min=1),
    help="Requests that the key may send at once, and get back evenly over a minute.  [default: no limit]",
)
@click.option("--json", "as_json", is_flag=True, help="Print {key, digest, toml} as JSON.")
def new(
    tenant: str,
    plan: str,
    endpoint: str | None,
    name: str,
    requests_per_minute: int | None,
    as_json: bool,
) -> None:
    """Print a fresh key, once, and the lines of configuration that let it in."""
    if not tenant.strip():
        raise click.BadParameter("give the tenant a name", param_hint="--tenant")
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    digest = key_digest(key)
    entry = {
        "tenant": tenant,
        "digest": digest,
        "name": name or None,
        "plan": plan or None,
        "endpoint": endpoint,
        "requests_per_minute": requests_per_minute,
    }
    snippet = toml.dumps({"keys": [entry]})
    if as_json:
        click.echo(msgspec.json.encode({"key": key, "digest": digest, "toml": snippet}).decode())
        return
    click.echo(
        f"{key}\n\n# The key is shown this once. Give it to {tenant}, and add to farthing.toml:\n\n{snippet}",
        nl=False,
    )


@command.command("digest")
def digest() -> None:
    """Read a key from standard input and print its digest."""
    key = click.prompt("key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = key.strip()
    if not key:
        raise click.UsageError("no key on standard input")
    click.echo(key_digest(key))
