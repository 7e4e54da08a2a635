"""Providers that are reached through an HTTP proxy."""

import asyncio
import gc
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import uvloop
from tests.e2e.gateway import Running, running, until
from tests.faults.canned import Canned, http
from tests.faults.network import black_hole, closed_port
from tests.faults.provider import FaultProvider
from tests.faults.proxy import FaultProxy

from farthing.config.settings.proxy import Proxy, parse_proxy
from farthing.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from farthing.models.transport.connection import Http1Exchange
from farthing.models.transport.http1 import Http1Transport
from farthing.models.transport.origin import HttpOrigin
from farthing.runtime.loop_batch import LoopBatch

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-up\r\n"
BODY = b'{"model": "good", "messages": [{"role": "user", "content": "hello"}]}'
BASIC = f"Basic {b64encode(b'me@corp:p@ss/w:rd').decode()}"


@pytest.fixture(scope="module")
def secure() -> Iterator[FaultProvider]:
    with FaultProvider(tls="good") as provider:
        yield provider


def context(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(made)
    return made


def origin_of(
    provider: FaultProvider, proxy: Proxy | None, host: str = "127.0.0.1", connect_s: float = 30.0
) -> HttpOrigin:
    tls = provider.tls is not None
    ca_file = provider.ca_file if tls else None
    return HttpOrigin("up", host, provider.port, tls, proxy=proxy, ca_file=ca_file, connect_s=connect_s)


def ask(origin: HttpOrigin) -> bytes:
    """One exchange over a transport of its own; nothing of it may be left open."""

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        transport = Http1Transport(loop, LoopBatch(loop))
        try:
            exchange = await transport.send(origin, HEAD, BODY, first_byte_s=30.0, whole=True)
            assert exchange.status == 200
            return await exchange.read(100_000)
        finally:
            await transport.aclose()
            for pool in transport._pools.values():
                await asyncio.sleep(0.02)
                assert pool._open == 0

    gc.collect()
    return uvloop.run(main())


def why(origin: HttpOrigin) -> str:
    with pytest.raises(ProviderError) as failed:
        ask(origin)
    assert not failed.value.sent, "nothing of the request was sent, so it costs nothing"
    return str(failed.value)


# -- the tunnel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("slowly", [False, True])
def test_tls_goes_through_a_tunnel_and_the_proxy_sees_neither_key_nor_question(
    secure: FaultProvider, slowly: bool
) -> None:
    with FaultProxy(slowly=slowly) as proxy:
        assert b"echo: hello" in ask(origin_of(secure, parse_proxy(proxy.url)))
        (asked,) = proxy.asked
        assert asked.line == f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"
        assert asked.headers == {"host": f"127.0.0.1:{secure.port}"}


def test_a_proxy_that_is_itself_spoken_to_by_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    served = http(200, b'{"choices": [{"message": {"content": "inside"}}]}')
    with (
        Canned(lambda asked: served, tls=context(authority, "llm.test")) as server,
        FaultProxy(tls=context(authority, "127.0.0.1"), ports={"llm.test": server.port}) as proxy,
    ):
        to = parse_proxy(f"https://127.0.0.1:{proxy.port}")
        origin = HttpOrigin("up", "llm.test", 443, True, proxy=to, ca_file=tmp_path / "ca.pem")
        assert b"inside" in ask(origin)
        assert server.asked[0].headers["authorization"] == "Bearer sk-up"


def test_the_name_is_the_proxys_to_resolve_and_the_certificate_is_checked_against_it(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    served = http(200, b'{"choices": []}')
    with Canned(lambda asked: served, tls=context(authority, "llm.test")) as server:
        ports = {"llm.test": server.port, "other.test": server.port}
        with FaultProxy(ports=ports) as proxy:
            to = parse_proxy(proxy.url)
            origin = HttpOrigin("up", "llm.test", 443, True, proxy=to, ca_file=tmp_path / "ca.pem")
            assert ask(origin) == b'{"choices": []}'
            wrong = HttpOrigin("up", "other.test", 443, True, proxy=to, ca_file=tmp_path / "ca.pem")
            said = why(wrong)
            assert "https://other.test:443 through the proxy" in said and "Hostname mismatch" in said
            strange = why(HttpOrigin("up", "llm.test", 443, True, proxy=to))
            assert "certificate of https://llm.test:443" in strange and "ca_file" in strange


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", ["does not let anybody through", "403 Forbidden"]),
        (b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n", ["wants credentials", '"${NAME}"']),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", ["could not reach 127.0.0.1:", "502 Bad Gateway"]),
        (b"HTTP/1.1 503\r\n\r\n", ["it answered 503"]),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ["does not answer as an HTTP proxy"]),
        (b"HTTP/1.1 200 " + b"x" * 20_000, ["does not answer as an HTTP proxy"]),
        (b"HTTP/1.1 403 \x1b[31mred\r\n\r\n", ["403 ?[31mred"]),
    ],
)
def test_what_a_proxy_refuses_is_said_in_words(secure: FaultProvider, say: bytes, words: list[str]) -> None:
    with FaultProxy(say=say) as proxy:
        said = why(origin_of(secure, parse_proxy(proxy.url)))
        assert proxy.url in said and all(word in said for word in words), said
        until(lambda: proxy.open == 0)


def test_bytes_of_the_proxy_behind_its_reply_are_never_taken_for_the_origins(secure: FaultProvider) -> None:
    with FaultProxy(after=b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as proxy:
        assert "bytes of its own" in why(origin_of(secure, parse_proxy(proxy.url)))


def test_no_proxy_listening_none_that_answers_and_none_that_speaks(secure: FaultProvider) -> None:
    with closed_port() as port:
        said = why(origin_of(secure, Proxy("127.0.0.1", port, False)))
        assert f"cannot connect to the proxy http://127.0.0.1:{port}" in said and "on the way to" in said
    with black_hole() as port, pytest.raises(ProviderTimeout, match="through the proxy"):
        ask(origin_of(secure, Proxy("127.0.0.1", port, False), connect_s=1.0))
    with FaultProxy(silent=True) as proxy:
        with pytest.raises(ProviderTimeout, match=r"no connection to .* through the proxy .* within 1.0 s"):
            ask(origin_of(secure, parse_proxy(proxy.url), connect_s=1.0))
        until(lambda: proxy.open == 0)


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True])
def test_cancelling_at_any_moment_leaves_no_socket_and_no_place_taken(
    secure: FaultProvider, tls: bool
) -> None:
    async def main(proxy: FaultProxy) -> None:
        loop = asyncio.get_running_loop()
        origin = origin_of(secure, parse_proxy(proxy.url))
        for turns in range(20):
            transport = Http1Transport(loop, LoopBatch(loop))
            asked = [
                asyncio.create_task(transport.send(origin, HEAD, BODY, first_byte_s=30.0, whole=True))
                for _ in range(3)
            ]
            await asyncio.sleep(turns * 0.0005)
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            exchange = await transport.send(origin, HEAD, BODY, first_byte_s=30.0, whole=True)
            assert exchange.status == 200
            await transport.aclose()
            await asyncio.sleep(0.02)
            assert transport._pools[origin]._open == 0, turns

    # the proxy's own certificate is of the same authority as the provider's
    with FaultProxy(tls=secure.server_context if tls else None) as proxy:
        uvloop.run(main(proxy))
        until(lambda: proxy.open == 0)
        until(lambda: secure.connections_open == 0)


def test_a_tunnel_is_used_again_and_never_for_another_way(secure: FaultProvider) -> None:
    async def main(proxy: FaultProxy) -> None:
        loop = asyncio.get_running_loop()
        transport = Http1Transport(loop, LoopBatch(loop))
        ways = [
            parse_proxy(proxy.url),
            parse_proxy(proxy.url.replace("://", "://me:one@")),
            parse_proxy(proxy.url.replace("://", "://me:two@")),
            None,
        ]
        for _ in range(2):
            for way in ways:
                exchange: Http1Exchange = await transport.send(
                    origin_of(secure, way), HEAD, BODY, first_byte_s=30.0, whole=True
                )
                assert exchange.status == 200
        await transport.aclose()

    before = secure.connections_opened
    with FaultProxy() as proxy:
        uvloop.run(main(proxy))
        assert len(proxy.asked) == 3 and secure.connections_opened - before == 4


# -- through the gateway ------------------------------------------------------------------------------


def test_plain_http_is_asked_of_the_proxy_by_the_whole_url(upstream: FaultProvider, tmp_path: Path) -> None:
    with FaultProxy(authorization=BASIC, ports={"llm.test": upstream.port}) as proxy:
        config = """
[providers.a]
base_url = "http://llm.test:8080/v1"
proxy = "${WAY_OUT}"
"""
        secret = f"http://me%40corp:p%40ss%2Fw%3Ard@127.0.0.1:{proxy.port}"
        with running(config, tmp_path, {"WAY_OUT": secret}) as gateway:
            reply = gateway.chat("hi", model="a/good")
            assert reply.status == 200, reply.body
            assert gateway.chat("hi", model="a/good", stream=True).said == "echo: hi"
            asked = proxy.asked[0]
            assert asked.line == "POST http://llm.test:8080/v1/chat/completions HTTP/1.1"
            assert asked.headers["host"] == "llm.test:8080"
            assert "p@ss" not in gateway.logged() and "p%40ss" not in gateway.logged()


def test_wrong_credentials_are_told_and_never_shown(secure: FaultProvider, tmp_path: Path) -> None:
    with FaultProxy(authorization=BASIC) as proxy:
        config = f"""
[providers.tls]
base_url = "{secure.base_url}"
ca_file = "{secure.ca_file}"
proxy = "${{WAY_OUT}}"
[providers.plain]
base_url = "http://llm.test:8080/v1"
proxy = "${{WAY_OUT}}"
"""
        secret = f"http://me:CANARY@127.0.0.1:{proxy.port}"
        with running(config, tmp_path, {"WAY_OUT": secret}) as gateway:
            for name in ("tls", "plain"):
                reply = gateway.chat("hi", model=f"{name}/good")
                assert reply.status == 502
                assert "wants other credentials (407" in reply.error["message"], reply.body
                assert "CANARY" not in reply.body.decode()
            assert "CANARY" not in gateway.logged()


def chat_through(config: str, folder: Path, env: dict[str, str]) -> tuple[int, str]:
    with running(config, folder, env) as gateway:
        reply = gateway.chat("hi", model="a/good")
        return reply.status, reply.body.decode()


def clean(**more: str) -> dict[str, str]:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    return {**{name: "" for each in names for name in (each, each.lower())}, **more}


def test_the_environment_names_the_proxy_and_what_goes_without(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    config = '[providers.a]\nbase_url = "http://llm.test:8080/v1"\nconnect_s = 1.0\n'
    with FaultProxy(ports={"llm.test": upstream.port}) as proxy:
        assert chat_through(config, tmp_path / "a", clean(http_proxy=proxy.url))[0] == 200
        assert len(proxy.asked) == 1
        for index, env in enumerate(
            [clean(http_proxy=proxy.url, no_proxy=".test"), clean(https_proxy=proxy.url)]
        ):
            assert chat_through(config, tmp_path / f"b{index}", env)[0] == 502
        off = f'{config}proxy = "None"\n'
        assert chat_through(off, tmp_path / "c", clean(http_proxy=proxy.url))[0] == 502
        local = f'[providers.a]\nbase_url = "{upstream.base_url}"\n'
        assert chat_through(local, tmp_path / "d", clean(http_proxy=proxy.url, all_proxy=proxy.url))[0] == 200
        assert len(proxy.asked) == 1, "this machine itself is never asked of a proxy"


def test_a_proxy_of_the_environment_that_is_none_stops_the_start_with_its_name(tmp_path: Path) -> None:
    config = '[providers.a]\nbase_url = "https://llm.test/v1"\n'
    with pytest.raises(RuntimeError, match=r"providers\.a\.proxy: the environment variable ALL_PROXY") as no:
        chat_through(config, tmp_path, {"ALL_PROXY": "socks5://u:CANARY@127.0.0.1:1080"})
    assert "SOCKS5" in str(no.value) and "CANARY" not in str(no.value)


def test_embeddings_go_the_same_way(upstream: FaultProvider, tmp_path: Path) -> None:
    with FaultProxy(ports={"llm.test": upstream.port}) as proxy:
        config = f'[providers.a]\nbase_url = "http://llm.test/v1"\nproxy = "{proxy.url}"\n'
        with running(config, tmp_path) as gateway:
            gateway_asked(gateway)
        assert proxy.asked[0].line == "POST http://llm.test/v1/embeddings HTTP/1.1"


def gateway_asked(gateway: Running) -> None:
    reply = gateway.post("/v1/embeddings", {"model": "a/text-embedding-3-small", "input": "hello"})
    assert reply.status == 200, reply.body


def test_a_dead_proxy_is_no_reason_to_fail_where_another_target_is(
    second: FaultProvider, tmp_path: Path
) -> None:
    with closed_port() as port:
        config = f"""
[providers.a]
base_url = "https://llm.test/v1"
proxy = "http://127.0.0.1:{port}"
[providers.b]
base_url = "{second.base_url}"
[tiers.cheap]
targets = ["a/one", "b/two"]
[tiers.expensive]
targets = ["a/one", "b/two"]
"""
        with running(config, tmp_path) as gateway:
            reply = gateway.chat("hi")
            assert reply.status == 200 and reply.headers["x-farthing-model"] == "b/two"


class HangsUp(Canned):
    """Closes on the first byte."""

    def serve(self, client: socket.socket, number: int) -> None:
        client.recv(1)


def test_a_tunnel_that_ends_in_the_handshake_frees_its_place_exactly_once() -> None:
    async def main(origin: HttpOrigin) -> None:
        loop = asyncio.get_running_loop()
        transport = Http1Transport(loop, LoopBatch(loop))
        for _ in range(5):
            with pytest.raises(ProviderUnavailable):
                await transport.send(origin, HEAD, BODY, first_byte_s=30.0, whole=True)
            assert transport._pools[origin]._open == 0
        await transport.aclose()

    with HangsUp(lambda asked: None) as server, FaultProxy() as proxy:
        to = parse_proxy(proxy.url)
        uvloop.run(main(HttpOrigin("up", "127.0.0.1", server.port, True, proxy=to, connections_max=1)))
        uvloop.run(main(HttpOrigin("up", "127.0.0.1", server.port, True, connections_max=1)))
