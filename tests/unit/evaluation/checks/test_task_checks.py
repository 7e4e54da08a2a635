"""What the tests of an endpoint say of an answer: schema, known answer, pattern, command."""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from tests.asking import asked
from tests.pace import turns

from farthing.errors import ConfigError
from farthing.evaluation.checks import command, exact, regex, schema

PERSON: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2, "uniqueItems": True},
        "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"name": "Ann", "age": 3, "tags": ["a", "b"], "boss": {"name": "Bo"}}, None),
        ({"name": "Ann", "boss": None}, None),
        ({"age": 3}, "$: name is missing"),
        ({"name": ""}, "$.name: 0 characters"),
        ({"name": "Ann", "age": 1.5}, "$.age: not of the type integer"),
        ({"name": "Ann", "age": True}, "$.age: not of the type integer"),
        ({"name": "Ann", "age": -1}, "$.age: out of its bounds"),
        ({"name": "Ann", "tags": ["a", "a"]}, "$.tags: an item twice"),
        ({"name": "Ann", "tags": ["c"]}, "$.tags[0]: none of the enum"),
        ({"name": "Ann", "extra": 1}, "$: a property that is not allowed"),
        ({"name": "Ann", "boss": {"age": 1}}, "$.boss: fits none of anyOf"),
        ([], "$: not of the type object"),
    ],
)
def test_a_value_fits_its_schema_or_is_told_where_it_does_not(value: Any, fault: str | None) -> None:
    assert schema.check_json(json.dumps(value), PERSON) == fault


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"oneOf": [{"type": "integer"}, {"minimum": 10}]}, 3, 12),
        ({"not": {"const": 1}}, True, 1.0),  # as JSON has it, true is not 1 and 1.0 is
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, 2, 3),
        ({"if": {"type": "string"}, "then": {"maxLength": 2}, "else": {"minimum": 5}}, "ab", 3),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], ["a", "b"]),
        ({"multipleOf": 0.1}, 0.3, 0.35),
        ({"type": ["integer", "null"]}, None, "x"),
        ({"propertyNames": {"maxLength": 1}}, {"a": 1}, {"ab": 1}),
        ({"minProperties": 1}, {"a": 1}, {}),
        (False, ..., 1),
    ],
)
def test_every_rule_that_is_read_is_kept(rule: Any, good: Any, bad: Any) -> None:
    if good is not ...:
        assert schema.fits(good, rule) is None
    assert schema.fits(bad, rule) is not None


def test_a_fence_around_json_is_no_part_of_it_and_prose_is() -> None:
    assert schema.check_json('```json\n{"a": 1}\n```', {"type": "object"}) is None
    assert schema.check_json("```JSON\n[1]\n```") is None
    assert schema.check_json("```nosj\n[1]\n```") == "not JSON"
    assert schema.check_json('Here you are: {"a": 1}', {"type": "object"}) == "not JSON"


@pytest.mark.parametrize(
    "rule",
    [
        {"$ref": "#"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "#name"},
        {"type": "strange"},
        {"minimum": "one"},
        {"allOf": 7},
        "no schema",
    ],
)
def test_a_schema_that_cannot_be_followed_is_no_verdict(rule: Any) -> None:
    with pytest.raises(schema.CannotTell):
        schema.fits(1, rule)


def test_a_schema_cannot_ask_for_more_than_is_allowed() -> None:
    rule: Any = {"$defs": {"x0": {"type": "integer"}}}
    for i in range(1, 40):  # two ways at each step: 2**39 in all
        rule["$defs"][f"x{i}"] = {"oneOf": [{"$ref": f"#/$defs/x{i - 1}"}, {"$ref": f"#/$defs/x{i - 1}"}]}
    assert turns(lambda: cannot_tell(1, {**rule, "$ref": "#/$defs/x39"}), 1) < 100_000_000


LONG = list(range(100_000))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (["x"] * 2_000, {"items": {"enum": [*(f"k{n}" for n in range(20_000)), "x"]}}),
        (LONG, {"$defs": {"long": {"const": LONG}}, "allOf": [{"$ref": "#/$defs/long"}] * 200}),
        ("x" * 1_000_000, {"enum": ["x" * 999_999 + "y"] * 2_000}),
        (["x"] * 1_000, {"items": {"type": ["integer"] * 20_000 + ["string"]}}),
        ([{"a": 1}] * 1_000, {"items": {"required": ["a"] * 20_000}}),
        ([LONG], {"allOf": [{"uniqueItems": True}] * 1_000}),
        (dict.fromkeys(map(str, LONG)), {"allOf": [{"properties": {"a": True}}] * 1_000}),
        (1, {"allOf": [{"$ref": "#/" + "a/" * 10_000}] * 1_000}),
    ],
)
def test_no_rule_is_a_way_around_the_allowance(value: Any, rule: Any) -> None:
    assert turns(lambda: cannot_tell(value, rule), 1) < 100_000_000


def cannot_tell(value: Any, rule: Any) -> None:
    with pytest.raises(schema.CannotTell):
        schema.fits(value, rule)


def test_a_large_answer_against_a_plain_schema_is_within_the_allowance() -> None:
    rows = [{"name": f"n{number}", "age": number, "tags": ["a"]} for number in range(4_000)]
    person = {**PERSON, "properties": {**PERSON["properties"], "boss": True}}
    assert schema.check_json(json.dumps(rows), {"type": "array", "items": person}) is None


def test_what_is_nested_beyond_all_measure_is_no_verdict_and_no_fault_of_ours() -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    with pytest.raises(schema.CannotTell):
        schema.fits(deep, {"enum": [deep]})


def test_the_schema_of_a_request_is_the_one_it_asks_to_be_answered_in() -> None:
    def wanting(response_format: Any) -> Any:
        return schema.schema_of(asked(body={"messages": [], "response_format": response_format}))

    assert wanting({"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}) == PERSON
    assert wanting({"type": "json_object"}) == {"type": "object"}
    assert wanting({"type": "text"}) is None
    assert wanting({"type": "json_schema", "json_schema": None}) is None
    assert schema.schema_of(asked()) is None


# -- known answers ------------------------------------------------------------------------------------


def test_any_of_the_expected_answers_will_do_and_another_question_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "known.jsonl"
    file.write_text(
        '{"question": "Capital of  France?", "expected": ["Paris", "Paris, France"]}\n\n'
        '{"question": "2+2", "expected": "4"}\n'
    )
    known = exact.read_expected(file)
    assert exact.check_exact("capital of france?", "PARIS.", known) is True
    assert exact.check_exact("capital of france?", "Lyon", known) is False
    assert exact.check_exact("Capital of Spain?", "Madrid", known) is None


def test_a_file_of_known_answers_that_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "known.jsonl"
    file.write_text('{"question": "a", "expected": "b"}\n{"question": "c"}\n')
    with pytest.raises(ConfigError, match=r"known\.jsonl:2: .*expected"):
        exact.read_expected(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        exact.read_expected(tmp_path / "none")


# -- patterns -----------------------------------------------------------------------------------------


def found(pattern: str, text: str, within_s: float = 60.0) -> bool | None:
    async def main() -> bool | None:
        searcher = regex.Searcher(within_s=within_s)
        try:
            return await searcher.found(regex.compiled(pattern), text)
        finally:
            await searcher.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("pattern", "text", "there"),
    [
        ("refund", "No refunds.", True),
        (r"^\d{3}-\d+$", "123-4567", True),
        (r"^\d{3}-\d+$", "12-4567", False),
        ("(?i)sorry|apolog", "We APOLOGISE", True),
        ("é", "cafe", False),
    ],
)
def test_a_pattern_is_found_or_not(pattern: str, text: str, there: bool) -> None:
    assert found(pattern, text) is there


def test_only_patterns_without_repetition_are_searched_here() -> None:
    assert regex.quick("abc [xyz].") and regex.quick("(abc)^$")
    assert not any(map(regex.quick, ("a+", "a|b+", "(a*)b", "(?:a{2,})", r"(a)\1", "(?=a)")))


@pytest.mark.slow
def test_a_search_that_takes_for_ever_is_given_up_and_holds_nobody_up() -> None:
    async def main() -> tuple[bool | None, bool | None, float]:
        searcher = regex.Searcher(within_s=2.0)
        worst_s, last_s = 0.0, time.perf_counter()

        async def watch() -> None:
            nonlocal worst_s, last_s
            while True:
                await asyncio.sleep(0.01)
                now_s = time.perf_counter()
                worst_s, last_s = max(worst_s, now_s - last_s), now_s

        watching = asyncio.create_task(watch())
        slow = await searcher.found(regex.compiled("(a+)+$"), "a" * 60 + "b")
        after = await searcher.found(regex.compiled("a+b"), "aab")
        watching.cancel()
        await searcher.aclose()
        return slow, after, worst_s

    slow, after, worst_s = asyncio.run(main())
    assert slow is None and after is True
    assert worst_s < 1.5, "as long as the search may take"


@pytest.mark.slow
def test_a_search_without_end_outlives_nobody() -> None:
    """As after the gateway was killed: nobody is left to end it."""
    process = subprocess.Popen([sys.executable, "-c", regex._BESIDE, "1"], stdin=PIPE, stdout=PIPE)
    with process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(["(a+)+$", "a" * 60 + "b"]).encode() + b"\n")
        process.stdin.flush()
        assert process.wait(timeout=60) == -signal.SIGALRM


def test_a_pattern_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="is invalid"):
        regex.compiled("(")


# -- commands -----------------------------------------------------------------------------------------


def ran(*words: str, answer: str = "hello", **bounds: Any) -> command.Ran:
    return asyncio.run(command.run(words, answer, question="what?", **bounds))


def python(code: str, **bounds: Any) -> command.Ran:
    return ran(sys.executable, "-c", code, **bounds)


def test_the_exit_status_says_whether_an_answer_passes() -> None:
    assert ran("grep", "-q", "hello") == command.Ran(True, "")
    assert ran("grep", "-q", "nothing") == command.Ran(False, "exit 1")


def test_the_answer_is_the_input_and_a_file_and_the_question_is_beside_it() -> None:
    code = """
import sys
text = sys.stdin.read()
assert text == open("answer.txt").read() == "hello", text
assert open("question.txt").read() == "what?"
"""
    assert python(code).passed is True


def test_an_answer_is_never_read_by_a_shell_and_no_secret_is_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    code = 'import os, sys; sys.exit("OPENAI_API_KEY" in os.environ or os.environ["HOME"] != os.getcwd())'
    assert python(code, answer="$(touch /tmp/owned); `id`").passed is True


def test_a_command_that_takes_too_long_is_ended_with_all_it_began() -> None:
    began_s = time.perf_counter()
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    assert python(code, timeout_s=0.5) == command.Ran(False, "over 0.5 s")
    assert time.perf_counter() - began_s < 45


def test_a_command_that_takes_too_much_memory_does_not_pass() -> None:
    assert python("x = bytearray(2_000_000_000)").passed is False


def test_what_a_command_prints_is_dropped_however_much_it_is() -> None:
    assert python("print('x' * 50_000_000)").passed is True


def test_a_command_that_is_not_there_says_nothing_of_the_answer() -> None:
    assert ran("no-such-program-anywhere") == command.Ran(None, "could not be started")


def test_a_command_leaves_neither_files_nor_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    noted = tmp_path / "pid"
    left = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, file=open(sys.argv[1], 'w'))"

    async def cut() -> None:
        running = asyncio.create_task(
            command.run([sys.executable, "-c", f"{left}; import time; time.sleep(60)", str(noted)], "x")
        )
        while not (noted.exists() and noted.read_text().strip()):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    for go in (cut, lambda: command.run([sys.executable, "-c", left, str(noted)], "x")):
        asyncio.run(go())
        stat = Path(f"/proc/{noted.read_text().strip()}/stat")
        until_s = time.monotonic() + 60
        while stat.exists() and " Z " not in stat.read_text() and time.monotonic() < until_s:
            time.sleep(0.01)
        assert (
            not stat.exists() or " Z " in stat.read_text()
        )  # dead; a container without init keeps the entry
        noted.unlink()
    assert not list(tmp_path.iterdir())
