"""Providers whose certificates are signed by an authority of one's own, and those that ask for ours."""

import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme
from tests.e2e.gateway import running
from tests.e2e.test_upstream_headers import WHOLE
from tests.faults.canned import Asked, Canned, http
from tests.faults.provider import FaultProvider

from farthing import config as configuration
from farthing.config import OpenAIProviderConfig
from farthing.errors import ConfigError
from farthing.models.transport.trust import ca_of_environment, client_context
from farthing.wiring.providers import build_provider

NONE = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "REQUESTS_CA_BUNDLE": ""}


def hashed(ca_file: Path, folder: Path) -> Path:
    """The authority in a directory as OpenSSL wants it: named by the hash of its subject."""
    folder.mkdir()
    asked = ["openssl", "x509", "-hash", "-noout", "-in", str(ca_file)]
    name = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    (folder / f"{name}.0").write_bytes(ca_file.read_bytes())
    return folder


def asked(base_url: str, folder: Path, env: dict[str, str], more: str = "") -> tuple[int, str]:
    text = f'[providers.a]\nbase_url = "{base_url}"\n{more}'
    with running(text, folder, {**NONE, **env}) as gateway:
        reply = gateway.chat("q", model="a/good")
        return reply.status, reply.body.decode() + gateway.logged()


def test_the_environments_authorities_are_believed_and_nobody_elses(tmp_path: Path) -> None:
    with FaultProvider(tls="good") as provider:
        folder = hashed(provider.ca_file, tmp_path / "authorities")
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        good: list[dict[str, str]] = [
            {"SSL_CERT_FILE": str(provider.ca_file)},
            {"SSL_CERT_DIR": str(folder)},
            {"REQUESTS_CA_BUNDLE": str(provider.ca_file)},
            {"REQUESTS_CA_BUNDLE": str(folder)},
        ]
        for index, env in enumerate(good):
            assert asked(provider.base_url, tmp_path / f"good{index}", env)[0] == 200, env
        bad: list[dict[str, str]] = [
            {},
            {"REQUESTS_CA_BUNDLE": str(other)},
            {"SSL_CERT_FILE": str(other), "REQUESTS_CA_BUNDLE": str(provider.ca_file)},
        ]
        for index, env in enumerate(bad):
            status, said = asked(provider.base_url, tmp_path / f"bad{index}", env)
            assert status == 502 and "certificate of https://127.0.0.1" in said and "ca_file" in said, env


def test_authorities_that_are_not_there_are_told_of_at_the_start(tmp_path: Path) -> None:
    with FaultProvider(tls="good") as provider:
        for index, name in enumerate(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")):
            status, said = asked(provider.base_url, tmp_path / f"{index}", {name: "/nowhere/ca.pem"})
            assert status == 502 and f"{name} names /nowhere/ca.pem, which is not there" in said


def test_the_files_of_a_provider_are_looked_at_by_the_check(tmp_path: Path) -> None:
    authority = trustme.CA()
    cert, other = authority.issue_cert("me"), authority.issue_cert("me")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    cert.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    (tmp_path / "text.pem").write_text("no certificate")

    def told(lines: str) -> str:
        text = f'[providers.a]\nbase_url = "https://x.test/v1"\n{lines}\n'
        with pytest.raises(ConfigError) as no:
            configuration.loads(text, {}, folder=tmp_path)
        return str(no.value)

    assert "farthing.toml:3: providers.a.ca_file" in told('ca_file = "missing.pem"')
    assert "no certificates in PEM form" in told('ca_file = "text.pem"')
    assert "cannot be used together" in told('client_cert_file = "cert.pem"')
    assert "cannot be used together" in told('client_cert_file = "cert.pem"\nclient_key_file = "other.pem"')
    assert "without its certificate" in told('client_key_file = "key.pem"')
    text = '[providers.a]\nbase_url = "https://x.test/v1"\nclient_cert_file = "cert.pem"\n'
    configuration.loads(f'{text}client_key_file = "key.pem"\n', {}, folder=tmp_path)


def test_a_server_that_asks_for_our_certificate_gets_it(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours = authority.issue_cert("gateway@example.test")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)

    def reply(asked: Asked) -> bytes:
        return http(200, WHOLE)

    with Canned(reply, tls=context) as server:
        trusting = f'ca_file = "{tmp_path / "ca.pem"}"\n'
        mine = f'{trusting}client_cert_file = "{tmp_path / "both.pem"}"\n'
        assert asked(server.base_url, tmp_path / "with", {}, mine)[0] == 200
        assert asked(server.base_url, tmp_path / "without", {}, trusting)[0] == 502


def test_nothing_turns_verification_off() -> None:
    for context in (client_context(None), client_context(None, more=True)):
        assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert ca_of_environment({"REQUESTS_CA_BUNDLE": "/a", "SSL_CERT_FILE": "/b"}) is None


def test_an_ipv6_address_stands_in_brackets() -> None:
    origin = build_provider("a", OpenAIProviderConfig(base_url="http://[fd00::1]:8000/v1"), {}).origin
    assert str(origin) == "http://[fd00::1]:8000"
    through = build_provider(
        "a",
        OpenAIProviderConfig(base_url="http://[fd00::1]:8000/v1"),
        {"http_proxy": "http://[fd00::2]:3128"},
    ).origin
    assert through.way == "http://[fd00::1]:8000 through the proxy http://[fd00::2]:3128"
    assert origin != through


class SpeaksPlainly(Canned):
    """Takes TLS for a bad request, as servers without it do."""

    def serve(self, client: socket.socket, number: int) -> None:
        client.recv(65_536)
        client.sendall(http(400, b"bad request"))


def test_a_server_without_tls_under_https_is_told_apart(tmp_path: Path) -> None:
    with SpeaksPlainly(lambda asked: None) as server:
        status, said = asked(server.base_url.replace("http://", "https://"), tmp_path, {})
    assert status == 502 and "it seems to speak plain HTTP, which is http:// in base_url" in said, said
