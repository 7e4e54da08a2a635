"""The front door of Messages over real sockets: who may ask and for what, errors in Anthropic's form, what is
said of models and tokens, and answers that come from elsewhere than a provider of Messages."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.faults.exact import DONE, HELLO, STOP, chunk, event, streamed, whole
from tests.faults.provider import FaultProvider

KEY = "fk-of-the-client-0123456789"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    root = upstream.base_url.removesuffix("/v1")
    prices = "\n".join(
        f'[[prices]]\ntarget = "{target}"\ninput = 3\noutput = 15'
        for target in ("chat/good", "chat/slow", "claude/good")
    )
    config = f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{root}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[tiers.cheap]
targets = ["chat/good"]
[tiers.slow]
targets = ["chat/slow"]
[tiers.both]
targets = ["claude/good"]
[aliases]
claude-auto = "auto"
[endpoints.support]
tier = "both"
[endpoints.short]
deadline_s = 1.0
tier = "slow"
[endpoints.budgeted]
usd_max = 0.000000001
[[guard.deny]]
name = "project"
contains = ["operation nightjar"]
[[answers]]
name = "hours"
text = "We are open from nine to five."
phrases = ["When are you open?"]
[call]
attempts_max = 1
breaker_open_s = 0.01
[server]
body_bytes_max = 100000
{prices}
"""
    return start_gateway(config, CLIENT_KEY=KEY, PROVIDER_KEY="sk-ant-of-the-provider")


def body_of(text: str = "hello there", model: str = "chat/good", **fields: Any) -> Json:
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **fields}


def ask(
    gateway: Running, text: str = "hello there", model: str = "chat/good", *, more: Any = None, **fields: Any
) -> Reply:
    return gateway.post("/v1/messages", body_of(text, model, **fields), HEADERS | (more or {}))


def said(reply: Reply) -> str:
    """The text of a whole answer or of a stream."""
    assert reply.status == 200, reply.body
    if reply.headers["content-type"] == "application/json":
        return "".join(block["text"] for block in reply.json["content"])
    deltas = [one["delta"] for one in reply.events if one["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


def kinds(reply: Reply) -> list[str]:
    """The names of a stream's events, each of which says the same in its data."""
    found = []
    for block in reply.body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if lines:
            assert json.loads(lines["data"])["type"] == lines["event"], block
            found.append(lines["event"])
    return found


def refused(reply: Reply) -> tuple[int, str, str]:
    """Status, kind and words of an error, which has Anthropic's form."""
    told = reply.json
    assert told.keys() == {"type", "error", "request_id"} and told["type"] == "error", told
    assert told["error"].keys() == {"type", "message"}
    return reply.status, told["error"]["type"], told["error"]["message"]


# -- who asks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY},
        {"authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY, "authorization": "Bearer sk-ant-of-somebody"},
        {"x-api-key": "sk-ant-of-somebody", "authorization": f"Bearer {KEY}"},
    ],
)
def test_one_good_key_is_enough_and_none_goes_up(
    gateway: Running, upstream: FaultProvider, headers: dict[str, str]
) -> None:
    reply = gateway.post("/v1/messages", body_of(model="claude/good"), headers)
    assert said(reply) == "echo: hello there"
    up = upstream.calls[-1].headers
    assert up["x-api-key"] == "sk-ant-of-the-provider" and "authorization" not in up


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}])
def test_without_a_good_key_the_error_is_anthropics(
    gateway: Running, headers: dict[str, str], stream: bool
) -> None:
    reply = gateway.post("/v1/messages", body_of(stream=stream), headers)
    assert refused(reply)[:2] == (401, "authentication_error")
    assert headers or "x-api-key: YOUR_KEY" in refused(reply)[2]
    assert reply.json["request_id"] == reply.headers["request-id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("auto", "chat/good"),
        ("claude-auto", "chat/good"),
        ("cheap", "chat/good"),
        ("both", "claude/good"),
        ("farthing/support", "claude/good"),
        ("claude/good", "claude/good"),
    ],
)
def test_a_model_is_named_as_on_the_other_front_door(
    gateway: Running, model: str, target: str, stream: bool
) -> None:
    text = f"{model} {stream}"
    reply = ask(gateway, text, model, stream=stream)
    assert said(reply) == f"echo: {text}"
    receipt = gateway.receipt_of(reply)
    assert (receipt.dialect, receipt.target, receipt.stream) == ("messages", target, stream)
    assert receipt.usage is not None and not receipt.usage.estimated
    assert receipt.cost_nusd == 3_000 * receipt.usage.input_tokens + 15_000 * receipt.usage.output_tokens


def test_session_and_agent_are_in_the_receipt(gateway: Running) -> None:
    more = {"x-claude-code-session-id": "s-1", "x-claude-code-agent-id": "agent-7"}
    receipt = gateway.receipt_of(ask(gateway, more=more))
    assert (receipt.session, receipt.agent) == ("s-1", "agent-7")
    ours = gateway.receipt_of(ask(gateway, more=more | {"x-farthing-session": "ours"}))
    assert (ours.session, ours.agent) == ("ours", "agent-7")


def test_beta_and_version_go_to_providers_of_messages_alone(
    gateway: Running, upstream: FaultProvider
) -> None:
    more = HEADERS | {"anthropic-beta": "oauth-2025-04-20,context-1m-2025-08-07"}
    gateway.post("/v1/messages?beta=true", body_of(model="claude/good"), more)
    up = upstream.calls[-1]
    assert up.path == "/v1/messages"
    assert up.headers["anthropic-beta"] == more["anthropic-beta"]
    assert up.headers["anthropic-version"] == "2023-06-01"
    gateway.post("/v1/messages?beta=true", body_of("to chat"), more)
    up = upstream.calls[-1]
    assert up.path == "/v1/chat/completions"
    assert not [name for name in up.headers if name.startswith("anthropic")]


def test_what_goes_up_is_what_was_sent_but_for_the_model(gateway: Running, upstream: FaultProvider) -> None:
    raw = (
        b'{ "max_tokens":50,\n "metadata": {"user_id":"u"} ,"model" : "claude/good", '
        b'"messages":[{"content":"\\u00e9 9007199254740993", "role":"user"}] }'
    )
    reply = gateway.post("/v1/messages", b"\xef\xbb\xbf" + raw, HEADERS)
    assert reply.status == 200
    assert upstream.calls[-1].body == raw.replace(b'"claude/good"', b'"good"')


# -- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status", "kind", "words"),
    [
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens"),
        ({"max_tokens": -1}, 400, "invalid_request_error", "max_tokens"),
        ({"messages": []}, 400, "invalid_request_error", "messages"),
        ({"messages": "hello"}, 400, "invalid_request_error", "messages"),
        ({"messages": [{"role": "tool", "content": ""}]}, 400, "invalid_request_error", "messages.0.role"),
        ({"tools": [{"name": 5}]}, 400, "invalid_request_error", "tools.0.name"),
        ({"tools": [{"type": "function"}]}, 400, "invalid_request_error", "goes to /v1/chat/completions"),
        ({"n": 2}, 400, "invalid_request_error", "goes to /v1/chat/completions"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "invalid_request_error",
            "an image is an `image` with a `source`",
        ),
        ({"model": "farthing/nope"}, 404, "not_found_error", "nope"),
        ({"model": "nowhere"}, 404, "not_found_error", "nowhere"),
        ({"model": "cheap", "top_k": 5, "system": "x" * 200_000}, 413, "request_too_large", "body_bytes_max"),
        ({"system": "on Operation Nightjar"}, 400, "invalid_request_error", "project"),
        ({"container": "c-1"}, 400, "invalid_request_error", "container"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_refused_is_refused_in_anthropics_form_before_any_call(
    gateway: Running,
    upstream: FaultProvider,
    fields: Json,
    status: int,
    kind: str,
    words: str,
    stream: bool,
) -> None:
    before = len(upstream.calls)
    reply = gateway.post("/v1/messages", body_of(stream=stream) | fields, HEADERS)
    assert refused(reply)[:2] == (status, kind) and words in refused(reply)[2]
    assert len(upstream.calls) == before


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/files?beta=true", "send their data"),
        ("/v1/files/file_1/content", "send their data"),
        ("/v1/complete", "use /v1/messages"),
        ("/v1/messages/batches", "send each to /v1/messages"),
        ("/v1/messages/batches/msgbatch_1/results", "send each to /v1/messages"),
        ("/v1/organizations/usage", "docs/http-api.md"),
    ],
)
def test_what_anthropic_has_and_the_gateway_has_not_is_told_in_its_form(
    gateway: Running, path: str, words: str
) -> None:
    reply = gateway.request("GET", path, headers=HEADERS)
    assert refused(reply)[:2] == (404, "not_found_error") and words in refused(reply)[2]


def test_a_client_of_chat_that_names_a_version_of_anthropic_reads_errors_of_chat(gateway: Running) -> None:
    wrong = gateway.post("/v1/chat/completions/", {"model": "farthing/nope"}, HEADERS)
    assert wrong.json.keys() == {"error"} and wrong.error["type"] == "invalid_request_error"


def test_a_long_request_that_is_refused_leaves_the_name_of_its_model(gateway: Running) -> None:
    reply = ask(gateway, "word " * 19_000, model="farthing/nope")
    assert refused(reply)[:2] == (404, "not_found_error")
    assert gateway.receipt_of(reply).model_asked == "farthing/nope"


def test_money_that_is_used_up_is_told_as_anthropic_does(gateway: Running) -> None:
    reply = ask(gateway, model="chat/good", more={"x-farthing-endpoint": "budgeted"})
    assert refused(reply)[:2] == (402, "billing_error")
    assert "begin another session" in refused(reply)[2]
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /v1/messages HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        (b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999\r\n\r\n", 413),
        (b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999\r\n\r\n", 401),
        (b"POST /v1/messages/batches HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n", 404),
    ],
)
def test_so_is_what_the_server_itself_refuses(gateway: Running, raw: bytes, status: int) -> None:
    with gateway.dial() as client:
        client.sendall(raw)
        with client.makefile("rb") as file:
            assert int(file.readline().split()[1]) == status
            length = next(int(line[15:]) for line in file if line.lower().startswith(b"content-length:"))
            until(lambda: file.readline() == b"\r\n")
            assert json.loads(file.read(length))["type"] == "error"


def test_a_limit_of_a_provider_of_chat_is_told_with_its_wait(gateway: Running) -> None:
    reply = ask(gateway, model="chat/fault:status=429,retry-after=7")
    assert refused(reply)[:2] == (429, "rate_limit_error")
    assert "asked for a 429" in refused(reply)[2] and reply.headers["retry-after"] == "7"


def test_an_error_of_a_provider_of_messages_is_not_touched(gateway: Running, upstream: FaultProvider) -> None:
    raw = b'{ "type":"error", "error":{"message":"Overloaded","type":"overloaded_error"},"request_id":"r-1"}'
    headers = {"request-id": "r-1", "x-should-retry": "true", "retry-after": "3"}
    upstream.exactly("busy", whole(raw, 529, headers=headers))
    reply = ask(gateway, model="claude/busy")
    assert (reply.status, reply.body) == (529, raw)
    assert reply.headers["request-id"] == "r-1" and reply.headers["x-request-id"].startswith("req_")
    assert (reply.headers["x-should-retry"], reply.headers["retry-after"]) == ("true", "3")
    assert gateway.receipt_of(reply).status == 529


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "This model's maximum context length is 8192 tokens. But your messages resulted in 9000 tokens.",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (
            "Your input exceeds the context window.",
            "prompt is too long: Your input exceeds the context window.",
        ),
    ],
)
def test_a_prompt_beyond_the_window_is_told_in_the_words_that_clients_match(
    gateway: Running, upstream: FaultProvider, message: str, words: str
) -> None:
    error = {"message": message, "type": "invalid_request_error", "code": "context_length_exceeded"}
    upstream.exactly("long", whole({"error": error}, 400))
    assert refused(ask(gateway, model="chat/long")) == (400, "invalid_request_error", words)


@pytest.mark.parametrize(
    ("message", "numbers"),
    [
        ("the request exceeds the available context size, try increasing it", None),
        ("request (9000 tokens) exceeds the available context size (8192 tokens)", "9000 tokens > 8192"),
        (
            "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
            "9000 tokens > 8192",
        ),
        (
            "This model's maximum prompt length is 8192 but the request contains 9000 tokens.",
            "9000 tokens > 8192",
        ),
        ("Your request exceeded model token limit: 8192 (requested: 9000)", "9000 tokens > 8192"),
        (
            "Prompt contains 9000 tokens, too large for model with 8192 maximum context length",
            "9000 tokens > 8192",
        ),
        ("<400> InvalidParameter: Range of input length should be [1, 8192]", None),
        ("Please reduce the length of the messages or completion.", None),
        ("invalid params, context window exceeds limit (2013)", None),
        ("Input is too long for requested model.", None),
        ("prompt too long; exceeded max context length by 12 tokens", None),
        ("Your input exceeds the context window of this model.", None),
    ],
)
def test_so_is_one_whose_server_gives_no_code_for_it(
    gateway: Running, upstream: FaultProvider, message: str, numbers: str | None
) -> None:
    error = {"message": message, "type": "invalid_request_error", "code": 400}
    upstream.exactly("long", whole({"error": error}, 400))
    words = f"prompt is too long: {message if numbers is None else numbers + ' maximum'}"
    assert refused(ask(gateway, model="chat/long")) == (400, "invalid_request_error", words)


def test_a_field_that_is_too_long_is_no_prompt_that_is(gateway: Running, upstream: FaultProvider) -> None:
    error = {"message": "`user` is too long: at most 64 characters", "type": "invalid_request_error"}
    upstream.exactly("long", whole({"error": error}, 400))
    assert refused(ask(gateway, model="chat/long"))[2] == error["message"]


@pytest.mark.parametrize(
    ("model", "replies"),
    [
        ("chat/torn", (streamed(*HELLO, end="cut"),)),
        ("chat/failing", (streamed(*HELLO, {"error": {"message": "worker died", "code": 500}}, gap_s=0.3),)),
    ],
)
def test_a_stream_that_breaks_ends_in_an_error_and_in_no_stop_reason(
    gateway: Running, upstream: FaultProvider, model: str, replies: Any
) -> None:
    upstream.exactly(model.removeprefix("chat/"), *replies)
    reply = ask(gateway, model=model, stream=True)
    names = kinds(reply)
    assert names[0] == "message_start" and names[-1] == "error" and "message_delta" not in names
    assert said(reply) == "hello" and reply.events[-1]["error"]["type"] == "api_error"
    assert gateway.receipt_of(reply).status != 200


# -- tokens, models, hello -----------------------------------------------------------------------------


def counted(gateway: Running, model: str, **fields: Any) -> Reply:
    body = {name: value for name, value in body_of(model=model, **fields).items() if name != "max_tokens"}
    return gateway.post("/v1/messages/count_tokens?beta=true", body, HEADERS)


def test_tokens_are_counted_by_the_provider_where_it_can(gateway: Running, upstream: FaultProvider) -> None:
    before = len(gateway.receipts())
    reply = counted(gateway, "farthing/support", tools=[])
    assert reply.status == 200 and reply.json.keys() == {"input_tokens"}
    assert upstream.calls[-1].path == "/v1/messages/count_tokens"
    assert "x-farthing-usage" not in reply.headers
    assert ask(gateway, model="claude/good").json["usage"]["input_tokens"] == reply.json["input_tokens"]
    assert len(gateway.receipts()) == before + 1, "a count leaves no receipt"


@pytest.mark.parametrize("model", ["auto", "chat/good", "claude/without"])
def test_else_they_are_estimated(gateway: Running, upstream: FaultProvider, model: str) -> None:
    upstream.exactly("without", whole({"detail": "Not Found"}, 404))
    reply = counted(gateway, model, system="word " * 400)
    assert reply.status == 200 and 300 < reply.json["input_tokens"] < 600
    assert reply.headers["x-farthing-usage"] == "estimated"


def test_what_must_not_go_up_is_not_counted_there(gateway: Running, upstream: FaultProvider) -> None:
    before = len(upstream.calls)
    text = {"type": "text", "media_type": "text/plain", "data": "of Operation  Nightjar"}
    content = [{"type": "document", "source": text}]
    reply = counted(gateway, "claude/good", messages=[{"role": "user", "content": content}])
    assert refused(reply)[:2] == (400, "invalid_request_error")
    assert len(upstream.calls) == before


def test_models_are_listed_as_anthropic_does_for_its_clients(gateway: Running) -> None:
    page = gateway.request("GET", "/v1/models?limit=2", headers=HEADERS).json
    assert page["has_more"] is True and page["last_id"] == page["data"][-1]["id"]
    assert [one["type"] for one in page["data"]] == ["model", "model"]
    assert page["data"][0].keys() >= {"id", "display_name", "created_at"}
    one = gateway.request("GET", "/v1/models/claude-auto", headers=HEADERS).json
    assert (one["id"], one["type"]) == ("claude-auto", "model")
    assert gateway.request("GET", "/v1/models", headers={"x-api-key": KEY}).json["object"] == "list"
    missing = gateway.request("GET", "/v1/models/nowhere", headers=HEADERS)
    assert refused(missing)[:2] == (404, "not_found_error")


@pytest.mark.parametrize("path", ["/", "/api/hello", "/?beta=true"])
def test_who_asks_whether_anybody_is_there_is_told(gateway: Running, path: str) -> None:
    assert gateway.request("HEAD", path).status == 200
    assert gateway.request("GET", path).json["name"] == "farthing"


# -- answers that no provider of Messages gives ------------------------------------------------------------


@pytest.mark.parametrize("first", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("streams", [(False, True), (True, False), (True, True), (False, False)])
@pytest.mark.parametrize("model", ["cheap", "both"])
def test_what_a_client_of_one_dialect_has_paid_for_is_served_to_the_other(
    gateway: Running, first: str, streams: tuple[bool, bool], model: str
) -> None:
    text = f"asked at {first} of {model}: {streams}"
    paths = sorted(["/v1/messages", "/v1/chat/completions"], reverse=first == "/v1/messages")
    replies = [
        gateway.post(path, body_of(text, model, stream=stream), HEADERS)
        for path, stream in zip(paths, streams, strict=True)
    ]
    assert [reply.headers["x-farthing-cache"] for reply in replies] == ["miss", "exact"]
    for path, reply in zip(paths, replies, strict=True):
        if path == "/v1/messages":
            assert said(reply) == f"echo: {text}"
        elif reply.headers["content-type"] == "application/json":
            assert reply.json["choices"][0]["message"]["content"] == f"echo: {text}"
        else:
            assert reply.said == f"echo: {text}"


@pytest.mark.parametrize("model", ["chat", "claude"])
@pytest.mark.parametrize("first", ["/v1/messages", "/v1/chat/completions"])
def test_a_stream_is_shared_by_clients_of_two_dialects(
    gateway: Running, upstream: FaultProvider, model: str, first: str
) -> None:
    text = f"shared by those at {first} of {model} and others"
    name = f"{model}/fault:gap=0.2,good"
    paths = sorted(["/v1/messages", "/v1/chat/completions"], reverse=first == "/v1/messages")
    before = len(upstream.calls)
    asked = body_of(text, name, stream=True, temperature=0)
    with ThreadPoolExecutor() as pool:
        leader = pool.submit(gateway.post, paths[0], asked, HEADERS)
        until(lambda: len(upstream.calls) > before)
        follower = pool.submit(gateway.post, paths[1], asked, HEADERS)
        replies = dict(zip(paths, (leader.result(), follower.result()), strict=True))
    misses = model == "claude" and first != "/v1/messages"  # what chat completions have no place for
    assert len(upstream.calls) == before + 1 + misses
    assert said(replies["/v1/messages"]) == replies["/v1/chat/completions"].said == f"echo: {text}"
    assert kinds(replies["/v1/messages"])[-1] == "message_stop"
    assert replies["/v1/chat/completions"].events[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_configuration_answers_is_an_answer_of_messages(gateway: Running, stream: bool) -> None:
    reply = ask(gateway, "when are you OPEN", "auto", stream=stream)
    assert said(reply) == "We are open from nine to five."
    if stream:
        names = [name for name in kinds(reply) if name != "content_block_delta"]
        assert names == [
            "message_start",
            "content_block_start",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_deadline_has_cut_says_so(gateway: Running, upstream: FaultProvider, stream: bool) -> None:
    words = [chunk({"content": f"w{at} "}) for at in range(40)]
    upstream.exactly("slow", streamed(*words, STOP, DONE, gap_s=0.1))
    reply = ask(gateway, "a long one", "farthing/short", stream=stream)
    assert said(reply).startswith("w0 w1 ") and "w39" not in said(reply)
    stop = reply.events[-2]["delta"]["stop_reason"] if stream else reply.json["stop_reason"]
    assert stop == "max_tokens" and gateway.receipt_of(reply).stop_reason == "limit:deadline_s"


@pytest.fixture
def silent(upstream: FaultProvider) -> Iterator[str]:
    head = streamed().pieces[0]
    late = [(0.0, event(one)) for one in (*HELLO, STOP)]
    pieces = [(0.0, b"%x\r\n%b\r\n" % (len(data), data)) for _, data in late]
    first = (12.0, pieces[0][1])
    done = (0.0, b"%x\r\n%b\r\n0\r\n\r\n" % (len(DONE), DONE))
    reply = streamed()
    upstream.exactly("silent", type(reply)((head, first, *pieces[1:], done)))
    yield "chat/silent"


@pytest.mark.slow
def test_a_client_that_waits_long_is_pinged(gateway: Running, silent: str) -> None:
    reply = gateway.post("/v1/messages", body_of(model=silent, stream=True), HEADERS, timeout_s=120.0)
    names = kinds(reply)
    assert names[:2] == ["message_start", "ping"] and names.count("message_start") == 1
    assert said(reply) == "hello" and names[-1] == "message_stop"


def test_names_that_a_client_made_up_fill_neither_a_header_nor_the_ledger(gateway: Running) -> None:
    made_up = {f"made_up_{at}": 1 for at in range(3_000)}
    reply = ask(gateway, "names of mine", output_config=made_up)
    assert reply.status == 200, reply.body
    left_out = reply.headers["x-farthing-left-out"]
    assert left_out.startswith("output_config.made_up_0, ") and left_out.endswith(" and 2980 more")
    assert len(left_out) < 1_000
    attempt = gateway.receipt_of(reply).attempts[-1]
    assert attempt.left_out == left_out
