"""A provider that answers with another address: followed to itself, and nowhere else."""

import json
from pathlib import Path

from tests.e2e.gateway import running
from tests.e2e.test_upstream_headers import EVENTS, WHOLE, config
from tests.faults.canned import Asked, Canned, http


def moved(status: int, location: str | None, body: bytes = b"{}") -> bytes:
    return http(status, body, *([] if location is None else [f"location: {location}"]))


def test_the_same_request_goes_where_its_own_address_says(tmp_path: Path) -> None:
    """307 and 308, by a path and by a whole URL, whole and streamed."""

    def reply(asked: Asked) -> bytes:
        stream = b'"stream":true' in asked.body
        if asked.target.startswith("/v1"):
            there = "/v2/chat/completions?region=eu"
            place = there if b"path" in asked.body else server.base_url.replace("/v1", there)
            return moved(307 if b"307" in asked.body else 308, place)
        return http(200, EVENTS, kind="text/event-stream") if stream else http(200, WHOLE)

    with Canned(reply) as server, running(config(server, 'headers = {"x-own" = "1"}'), tmp_path) as gateway:
        for text in ("307 path", "307 url", "308 path", "308 url"):
            for stream in (False, True):
                got = gateway.chat(f"{text} {stream}", model="a/m", stream=stream)
                assert got.status == 200, got.body
                said = got.said if stream else got.json["choices"][0]["message"]["content"]
                assert said == "hello" and gateway.receipt_of(got).calls == 1
                first, second = server.asked[-2:]
                assert second.line == "POST /v2/chat/completions?region=eu HTTP/1.1"
                assert second.body == first.body and second.headers["x-own"] == "1"


ELSEWHERE: list[tuple[int, str | None, str]] = [
    (307, "https://api.other.test/v1/chat/completions", 'base_url = "https://api.other.test/v1"'),
    (308, "http://HERE/v9/chat/completions", 'base_url = "http://HERE/v9"'),
    (301, "/v2/chat/completions", "does not keep the request"),
    (302, "https://login.test/", "https://login.test"),
    (303, "/done", "does not keep the request"),
    (307, None, "without saying where"),
    (307, "http://[broken/", "no URL"),
    (307, "/v1/chat/completions", "again and again"),
    (307, "https://user:pw@evil.test/v1", "https://evil.test"),
]


def test_anywhere_else_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    def reply(asked: Asked) -> bytes:
        status, location, _ = ELSEWHERE[int(json.loads(asked.body)["messages"][0]["content"])]
        return moved(status, None if location is None else location.replace("HERE", here))

    with Canned(reply) as server, Canned(lambda asked: None) as elsewhere:
        here = f"127.0.0.1:{elsewhere.port}"
        with running(config(server), tmp_path) as gateway:
            for index, (_, _, words) in enumerate(ELSEWHERE):
                before = len(server.asked)
                got = gateway.chat(f"{index}", model="a/m")
                assert got.status == 502
                assert words.replace("HERE", here) in got.error["message"], got.error["message"]
                assert "pw@" not in got.error["message"]
                assert gateway.receipt_of(got).cost_nusd == 0
                assert len(server.asked) - before == (2 if words == "again and again" else 1)
        assert elsewhere.asked == [], "a key leaves for no other address"


def test_another_target_is_asked_where_one_has_moved(tmp_path: Path) -> None:
    with (
        Canned(lambda asked: moved(308, "https://new.test/v1")) as gone,
        Canned(lambda a: http(200, WHOLE)) as b,
    ):
        text = f"""
[providers.a]
base_url = "{gone.base_url}"
[providers.b]
base_url = "{b.base_url}"
[tiers.cheap]
targets = ["a/m", "b/m"]
[tiers.expensive]
targets = ["a/m", "b/m"]
"""
        with running(text, tmp_path) as gateway:
            reply = gateway.chat("q")
            assert reply.status == 200 and reply.headers["x-farthing-model"] == "b/m"
            assert json.loads(b.asked[0].body)["model"] == "m"
