"""No secret in any form in which others print it, and nothing of the prompt in what is kept."""

import base64
import io
import logging
from urllib.parse import quote

import pytest
from tests.pace import least_s, turns

from farthing.config import key_digest
from farthing.runtime.log import set_up_logging
from farthing.runtime.redact import HIDDEN, ISSUED_MAX, Redactor, without_asked

KEY = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1/4+wxyz"
PASSWORD = "p@ss w:rd/7"
CLIENT = "sk-farthing-pZ0vQ3t5k1w9Xb7e2Lr8Jm4Yc6Nd0Hf_a-sG"


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor([KEY, PASSWORD], digest=key_digest)
    made.learn([], [key_digest(CLIENT)])
    return made


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def json_escaped(text: str) -> str:
    """As writers of JSON do that think of HTML: with more escapes than are needed."""
    return "".join(char if char.isalnum() else f"\\u{ord(char):04x}" for char in text)


@pytest.mark.parametrize(
    "shown",
    [
        KEY,
        KEY.upper(),
        f"Bearer {KEY}",
        KEY[:12],
        KEY[-10:],
        KEY[10:25],
        f"{KEY[:8]}...{KEY[-4:]}",
        f"{KEY[:5]}***",
        f"***{KEY[-4:]}",
        f"{KEY[:7]}{'*' * 30}{KEY[-4:]}",
        f"{KEY[:6]}…{KEY[-2:]}",
        f"{KEY[:6]} [hidden] {KEY[-4:]}",
        f"{KEY[:6]}xxxx{KEY[-3:]}",
        quote(KEY, safe=""),
        f"https://api.example/v1?key={quote(KEY, safe='')}",
        encoded(KEY),
        encoded(f"user:{KEY}"),
        encoded(f"us:{KEY}:more"),
        base64.urlsafe_b64encode(f"u:{KEY}".encode()).decode(),
        KEY.encode().hex(),
        f'{{"message":"bad key {json_escaped(KEY)}"}}',
        "".join(f"\\u{ord(char):04X}" for char in KEY),
        KEY.replace("/", r"\/"),
        PASSWORD,
        quote(PASSWORD, safe=""),
        f"http://me:{quote(PASSWORD, safe='')}@proxy:3128",
        f"Basic {encoded(f'me:{PASSWORD}')}",
        CLIENT,
        f'"{CLIENT}".',
    ],
)
def test_a_secret_is_taken_out_in_every_form(redactor: Redactor, shown: str) -> None:
    told = redactor.text(f"the provider said {shown} and more words")
    assert told.startswith("the provider said ") and told.endswith(" and more words"), told
    assert "[redacted]" in told
    for part in (KEY[8:20], KEY[-4:], quote(PASSWORD, safe=""), PASSWORD, CLIENT, encoded(KEY)[4:30]):
        assert part.lower() not in told.lower(), told
    assert redactor.text(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "The model `gpt-4o-mini` does not exist or you do not have access to it.",
        "maximum context length is 128000 tokens... however you requested 200000 *** tokens",
        "Keys begin with sk- and are found at https://platform.example/api-keys?from=error",
        "Invalid 'messages[0].content': expected a string, got null (type=NoneType)",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        "键无效 ключ неверен [x] <y> 100%",
    ],
)
def test_other_words_stay_as_they_are(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


def test_the_log_loses_credentials_of_strangers_too(redactor: Redactor) -> None:
    line = "GET https://me:hunter2@host/v1?api_key=abc123&n=1&sig=ff Authorization: Bearer abcdef0123"
    assert redactor.line(line) == (
        "GET https://[redacted]@host/v1?api_key=[redacted]&n=1&sig=[redacted] "
        "Authorization: Bearer [redacted]"
    )
    assert redactor.text(line) == line, "a client is told what its provider says"


@pytest.mark.parametrize("as_json", [True, False])
def test_no_line_of_the_log_and_no_traceback_holds_a_secret(redactor: Redactor, as_json: bool) -> None:
    stream = io.StringIO()
    names = ("farthing", "asyncio")
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in names}
    try:
        set_up_logging("debug", as_json=as_json, stream=stream, redact=redactor.line)
        for name in names:
            log = logging.getLogger(name)
            try:
                raise ValueError(f"header {KEY} is odd")
            except ValueError:
                log.exception("cannot reach %s", f"http://u:{quote(PASSWORD, safe='')}@proxy")
    finally:
        for name, (handlers, propagate) in before.items():
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate
    told = stream.getvalue()
    assert told.count("ValueError: header [redacted] is odd") == 2 and told.count("cannot reach") == 2
    assert KEY not in told and quote(PASSWORD, safe="") not in told


@pytest.mark.slow
def test_secrets_that_were_learnt_stay_known_within_a_bound() -> None:
    redactor = Redactor(["first-secret-of-all"])
    for number in range(600):
        redactor.learn([f"secret-{number:04}-{'x' * 12}"])
    assert "[redacted]" in redactor.text(f"secret-{599:04}-{'x' * 12}")
    assert redactor.text("first-secret-of-all") == "first-secret-of-all"


def test_hostile_texts_take_no_time_to_speak_of(redactor: Redactor) -> None:
    for text in (
        "a" * 60_000,
        "*" * 60_000,
        "a*" * 30_000,
        "%41" * 20_000,
        "A1b2C3d4e5f6 " * 5_000,
        "..x" * 20_000,
    ):
        asked = {"messages": [{"role": "user", "content": text}]}
        assert turns(lambda: redactor.line(text), 1) < 50_000_000, text[:5]  # noqa: B023
        assert turns(lambda: without_asked(text[:500], asked), 1) < 50_000_000, text[:5]  # noqa: B023


def test_an_object_of_any_depth_is_redacted_as_far_as_it_is_kept(redactor: Redactor) -> None:
    deep: object = KEY
    for _ in range(2_000):
        deep = {"a": [deep]}
    assert KEY not in repr(redactor.value(deep))
    assert redactor.value({KEY: [1, None, True, {"x": KEY}]}) == {
        "[redacted]": [1, None, True, {"x": "[redacted]"}]
    }


# -- prompts -----------------------------------------------------------------------------------------

BODY = {
    "model": "a/good",
    "messages": [
        {"role": "system", "content": "You are the assistant of Harrowgate Clinic."},
        {"role": "user", "content": [{"type": "text", "text": "My SSN is 123-45-6789,\nI have gout"}]},
    ],
    "tools": [
        {"type": "function", "function": {"name": "book_visit", "parameters": {"secretfieldname": {}}}}
    ],
    "user": "人参の値段を教えて",
}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("bad input: You are the assistant of Harrowgate Clinic.", "bad input: [prompt]."),
        ("bad input: YOU ARE  THE\\u0020assistant", "assistant"),
        ("bad: My SSN is 123-45-6789,\\nI have gout", "bad: "),
        ("number 123456789 cannot be", "number [prompt] cannot be"),
        ("value 'gout' is odd", "value '[prompt]' is odd"),
        ("unknown property secretfieldname", "unknown property [prompt]"),
        ("bad: \\u306e\\u5024\\u6bb5\\u3092\\u6559\\u3048\\u3066", "bad: [prompt]"),
        ("参の値段を教えてください", "ください"),
        ("maximum context length is 8192 tokens", "maximum context length is 8192 tokens"),
        ("invalid role: user for model a/good", "invalid role: user for model a/good"),
    ],
)
def test_what_was_asked_is_taken_out(said: str, kept: str) -> None:
    told = without_asked(said, BODY)
    assert told is not None
    assert told == kept or kept in said
    for part in ("Harrowgate", "123-45", "123456789", "gout", "secretfieldname", "の値段を教"):
        assert part.lower() not in told.lower(), told


def test_a_short_prompt_is_known_whole_and_one_that_is_too_long_leaves_nothing() -> None:
    assert without_asked("rejected: pin4", {"messages": [{"role": "user", "content": "pin4"}]}) == (
        "rejected: [prompt]"
    )
    assert without_asked("x", {"messages": [{"role": "user", "content": "long " * 20_000}]}) is None
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    assert without_asked("too large", {"messages": [{"role": "user", "content": [image]}]}) == "too large"


def test_no_secret_of_the_configuration_is_forgotten_however_many_there_are() -> None:
    keys = [f"sk-{number}-{number * 7919:x}-provider" for number in range(2_000)]
    clients = [f"fk-{number}-{number * 104_729:x}-client" for number in range(2_000)]
    redactor = Redactor(digest=key_digest)
    redactor.learn(["sk-of-before-1234567"], [key_digest("fk-of-before")])
    for _ in range(2):
        redactor.learn(keys, map(key_digest, clients))
    for secret in [*keys, *clients, "sk-of-before-1234567", "fk-of-before"]:
        assert secret not in redactor.text(f"bad user {secret} given")


@pytest.mark.parametrize("key", ["QUJD/REVGR0hJ+w==", "a:b:c:d:e", "user=fk-12345", "{curly}-key", "7chars!"])
@pytest.mark.parametrize(
    "said", ["bad user {} given", '{{"key": "{}"}}', "no such key: {}.", "api_key={}", "`{}`"]
)
def test_a_clients_key_is_known_whatever_characters_it_has(key: str, said: str) -> None:
    redactor = Redactor(digest=key_digest)
    redactor.learn([], [key_digest(key)])
    assert key not in redactor.text(said.format(key))


def test_a_placeholder_of_words_hides_no_words() -> None:
    said = "max_tokens is required, and no key was sent"
    redactor = Redactor(["sk-no-key-required"])
    assert redactor.text(said) == said
    assert redactor.text("got sk-no-key-required") == "got [redacted]"


@pytest.mark.parametrize(
    "piece", [encoded(KEY), "sk-p***abc ", "hello world "], ids=["base64", "masks", "words"]
)
def test_a_long_text_takes_as_much_longer_as_it_is(redactor: Redactor, piece: str) -> None:
    def took_s(chars: int) -> float:
        text = (piece * chars)[:chars]
        return least_s(lambda: redactor.text(text))

    assert took_s(60_000) < 40 * took_s(6_000)


def issued(number: int) -> str:
    return f"eyJhbGciOi.{number:04d}-Payload-{number * 7919:08d}.Signature{number:04d}"


def test_issued_secrets_are_removed_beside_the_configured_ones_within_a_bound() -> None:
    redact = Redactor(["a-configured-secret-0123456789"])
    for number in range(ISSUED_MAX + 1):
        redact.learn_issued(issued(number))
    redact.learn(["another-configured-secret-42"])
    newest = issued(ISSUED_MAX)
    assert redact.text(f"x {newest} y") == f"x {HIDDEN} y"
    assert newest[20:40] not in redact.text(f"the token ({newest[15:40]}) is wrong")
    assert redact.holds(newest)
    for secret in ("a-configured-secret-0123456789", "another-configured-secret-42"):
        assert redact.text(secret) == HIDDEN
    assert len(redact._issued) == ISSUED_MAX


def test_what_two_issued_secrets_share_stays_known_when_one_is_forgotten() -> None:
    redact = Redactor()
    for number in range(2 * ISSUED_MAX):
        redact.learn_issued(issued(number))
    assert redact.text("eyJhbGciOi and Signature") == f"{HIDDEN} and {HIDDEN}"
    assert len(redact._issued_parts) < 60 * ISSUED_MAX
