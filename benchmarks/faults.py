"""The fault matrix with figures: what each failure of a provider costs a client, in both dialects.

    python -m benchmarks.faults [--rounds 8] [--json]     writes benchmarks/results/faults.json

Needs the development environment. A gateway with two targets, the first of which fails (each fault by many
targets of its own, so that no circuit breaker hides it); clients speak chat completions to providers that
do, and Messages to providers of Messages. Then the promises: failover, retries under an outage and under
30 % of failures, clients that leave, deadlines.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from tests.e2e.gateway import Reply, Running, running, until
from tests.faults.network import black_hole, closed_port
from tests.faults.provider import FaultProvider

from benchmarks.machine import machine

Speech = Literal["openai", "anthropic"]
Door = Literal["chat", "messages", "responses"]
SPEECHES: Final[tuple[Speech, ...]] = ("openai", "anthropic")
FIRST_BYTE_S, WHOLE_S, IDLE_S, CONNECT_S = 0.8, 1.4, 0.8, 0.5
LIMITS = f"connect_s = {CONNECT_S}\nfirst_byte_s = {FIRST_BYTE_S}\nwhole_s = {WHOLE_S}\nidle_s = {IDLE_S}"

FAULTS: Final[dict[str, str]] = {
    "U1 refused": "",
    "U2 connect swallowed": "",
    "U3 reset before the head": "reset",
    "U4 hang": "hang",
    "U5 stall": "stall=3",
    "U6 cut": "truncate=3,end=cut",
    "U7 broken JSON": "bad=json",
    "U7 HTML": "bad=html",
    "U8 429, Retry-After 2": "status=429,retry-after=2",
    "U8 429, a date": "status=429,retry-date=30",
    "U8 429, a year": "status=429,retry-after=31536000",
    "U8 429, negative": "status=429,retry-after=-5",
    "U9 429": "status=429",
    "U10 500": "status=500",
    "U10 529": "status=529",
    "U11 a byte at a time": "rate=20",
    "U12 short length": "length=short",
    "U13 header of 10 MB": "header=10000000",
    "U14 expired certificate": "",
    "U15 no such host": "",
}


class Bench:
    """A gateway before two providers that speak `speech`."""

    def __init__(self, speech: Speech, rounds: int, first: FaultProvider) -> None:
        self.speech = speech
        self.rounds = rounds
        self.first = first
        self.gateway: Running

    def ask(self, model: str, text: str, *, stream: bool = False, door: Door | None = None) -> Reply:
        return self.gateway.post(*_asked(door or _door(self.speech), model, text, stream=stream))

    def whole(self, reply: Reply) -> bool:
        """Whether it is a whole answer."""
        if reply.status != 200:
            return False
        if not reply.headers.get("content-type", "").startswith("text/event-stream"):
            return b"echo: one two three four" in reply.body
        return (b"[DONE]" if self.speech == "openai" else b"message_stop") in reply.body


def _door(speech: Speech) -> Door:
    return "chat" if speech == "openai" else "messages"


def _asked(door: Door, model: str, text: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": model, "stream": stream}
    if door == "responses":
        return "/v1/responses", body | {"input": text}
    body["messages"] = [{"role": "user", "content": text}]
    return ("/v1/chat/completions", body) if door == "chat" else ("/v1/messages", body | {"max_tokens": 500})


@contextmanager
def bench(speech: Speech, rounds: int, folder: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(FaultProvider()) for _ in range(2))
        expired = stack.enter_context(FaultProvider(tls="expired"))
        refused, swallowed = stack.enter_context(closed_port()), stack.enter_context(black_hole())
        places = {
            "U1 refused": f'base_url = "http://127.0.0.1:{refused}/v1"',
            "U2 connect swallowed": f'base_url = "http://127.0.0.1:{swallowed}/v1"',
            "U14 expired certificate": f'base_url = "{expired.base_url}"\nca_file = "{expired.ca_file}"',
            "U15 no such host": 'base_url = "http://nowhere.invalid/v1"',
        }
        kind = f'kind = "{speech}"\napi_key = "${{PROVIDER_KEY}}"\n{LIMITS}\n'
        config = "".join(f"[providers.{_slug(name)}]\n{place}\n{kind}" for name, place in places.items())
        config += f'[providers.a]\nbase_url = "{first.base_url}"\n{kind}'
        patient = kind.replace(f"first_byte_s = {FIRST_BYTE_S}", "first_byte_s = 20.0")
        config += f'[providers.patient]\nbase_url = "{first.base_url}"\n{patient}'
        config += f'[providers.b]\nbase_url = "{second.base_url}"\n{kind}'
        for name, script in FAULTS.items():
            for number in range(2 * rounds):
                model = f"fault:{script},seed={number}" if script else f"m{number}"
                target = f"{'a' if script else _slug(name)}/{model}"
                config += f'[tiers."{_slug(name)}-{number}"]\ntargets = ["{target}", "b/good"]\n'
        config += '[tiers.pair]\ntargets = ["a/pair", "b/good"]\n'
        config += '[tiers.slow]\ntargets = ["patient/slow", "b/good"]\n'
        config += '[endpoints.soon]\ntier = "slow"\ndeadline_s = 2.0\non_limit = "refuse"\n'
        config += '[cache]\nexact = "off"\n'
        found = Bench(speech, rounds, first)
        found.gateway = stack.enter_context(running(config, folder, {"PROVIDER_KEY": "sk-of-the-bench"}))
        for _ in range(20):
            found.ask("b/good", "warm")
        yield found


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


# -- the matrix ----------------------------------------------------------------------------------------


def matrix(place: Bench) -> list[dict[str, Any]]:
    """Each fault met once by each of its targets: who got an answer, and what it cost beyond a good one."""
    good_ms = statistics.median(_met(place, "b/good")[1] for _ in range(30))
    rows = []
    for name in FAULTS:
        row: dict[str, Any] = {"fault": name}
        for form, offset in (("whole", 0), ("streamed", place.rounds)):
            tiers = (f"{_slug(name)}-{offset + number}" for number in range(place.rounds))
            met = [_met(place, tier, stream=form == "streamed") for tier in tiers]
            replies, times = [one for one, _ in met], [ms for _, ms in met]
            row[form] = {
                "asked": place.rounds,
                "answered": sum(map(place.whole, replies)),
                "told": sum(_told(reply) for reply in replies if not place.whole(reply)),
                "added_ms_p50": round(statistics.median(times) - good_ms, 1),
                "added_ms_max": round(max(times) - good_ms, 1),
            }
        rows.append(row)
    return rows


TEXT = "one two three four"


def _told(reply: Reply) -> bool:
    """Whether an answer that is not whole says so."""
    return reply.status >= 400 or b'"error"' in reply.body


def _met(place: Bench, model: str, text: str = TEXT, *, stream: bool = False) -> tuple[Reply, float]:
    """A reply, and the milliseconds it took."""
    began_s = time.perf_counter()
    reply = place.ask(model, text, stream=stream)
    return reply, (time.perf_counter() - began_s) * 1000


# -- the promises ----------------------------------------------------------------------------------------


def outage(place: Bench) -> dict[str, Any]:
    """P4: the first of two targets fails for all, by 16 clients at once, for a while."""
    place.first.on_call = lambda call: "status=503" if call.model == "pair" else None
    since = len(place.first.calls)
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: place.ask("pair", f"{TEXT} {n}"), range(1_000)))
    place.first.on_call = None
    back_s = time.monotonic()
    until(lambda: place.ask("pair", TEXT).headers.get("x-farthing-model") == "a/pair", 30.0, every_s=0.05)
    calls = [call for call in place.first.calls[since:] if call.model == "pair" and call.arrived_s < back_s]
    began_s = calls[0].arrived_s
    return {
        "requests": len(replies),
        "errors": sum(reply.status != 200 for reply in replies),
        "calls_before_the_breaker": sum(call.arrived_s - began_s < 2.0 for call in calls),
        "used_again_after_s": round(time.monotonic() - back_s, 2),
    }


def amplification(place: Bench, share: float) -> dict[str, Any]:
    """P5: a lone target fails, and each client asks again twice, as SDKs do."""
    model = f"fault:status=503,share={share},seed=7"
    since, window_s = len(place.first.calls), 12.0
    ends_s = time.monotonic() + window_s

    def client(number: int) -> None:
        while time.monotonic() < ends_s:
            for _ in range(3):
                reply = place.ask(f"a/{model}", f"{TEXT} {number}")
                if reply.status == 200 or reply.headers.get("x-should-retry") == "false":
                    break
                time.sleep(0.05)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
    calls = [call for call in place.first.calls[since:] if call.model == model]
    late = [call for call in calls if call.arrived_s >= calls[-1].arrived_s - 10.0]
    asked = len({call.request_id for call in late})
    return {"requests": asked, "calls": len(late), "amplification": round(len(late) / asked, 3)}


def leaving(place: Bench, door: Door) -> dict[str, Any]:
    """P8: clients leave before, at and after the first token."""
    left = [_leaves(place, door, number) for number in range(60)]
    closed_ms, receipt_ms, estimated = zip(*left, strict=True)
    return {
        "door": door,
        "clients": len(left),
        "upstream_closed_ms_p50": round(statistics.median(closed_ms), 1),
        "upstream_closed_ms_max": round(max(closed_ms), 1),
        "receipt_ms_max": round(max(receipt_ms), 1),
        "billed_by_estimate": sum(estimated),
    }


def _leaves(place: Bench, door: Door, number: int) -> tuple[float, float, bool]:
    """Milliseconds until the provider's connection was closed, and until the receipt was there; whether it
    has an estimate, flagged."""
    moment = number % 3
    model = f"fault:{'gap=0.02,n=400' if moment else 'hang,hold=30'},seed={number + 100 * len(door)}"
    before = len(place.gateway.receipts())
    path, body = _asked(door, f"patient/{model}", TEXT, stream=True)
    client = place.gateway.dial()
    client.sendall(place.gateway.wire(path, json.dumps(body).encode()))
    call = until(lambda: next((one for one in place.first.calls[-5:] if one.model == model), None))
    said = client.recv(65_536) if moment else b""
    while moment == 2 and said.count(b"data: ") < 8:
        said += client.recv(65_536)
    left_s = time.monotonic()
    client.close()
    row = until(lambda: place.gateway.receipts()[before:], every_s=0.005)[-1]
    receipt_ms = (time.monotonic() - left_s) * 1000
    until(lambda: call.aborted, every_s=0.001)
    assert call.aborted_s is not None
    assert row.status == 499 and len(row.attempts) == 1, row
    usage = row.attempts[0].usage
    return (call.aborted_s - left_s) * 1000, receipt_ms, usage is not None and usage.estimated


def deadlines(place: Bench) -> dict[str, Any]:
    """A first target that is slow to its first token, under a deadline of 2 s."""
    place.first.on_call = lambda call: "delay=5" if call.model == "slow" else None
    met = [_met(place, "farthing/soon", f"{TEXT} {n}", stream=n % 2 == 0) for n in range(12)]
    place.first.on_call = None
    return {
        "requests": len(met),
        "in_time": sum(place.whole(reply) for reply, _ in met),
        "took_ms_max": round(max(ms for _, ms in met), 1),
    }


# -- how it is shown ---------------------------------------------------------------------------------------


def measured(speech: Speech, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, bench(speech, rounds, Path(folder)) as place:
        doors: tuple[Door, ...] = ("chat", "messages", "responses")
        return {
            "faults": matrix(place),
            "outage": outage(place),
            "retries": {f"{share:.0%}": amplification(place, share) for share in (0.3, 1.0)},
            "leaving": [leaving(place, door) for door in doors],
            "deadline": deadlines(place),
        }


def table(found: dict[str, Any]) -> str:
    """As `docs/operations.md` has it."""
    lines = [
        "| fault | chat, whole | chat, streamed | Messages, whole | Messages, streamed |",
        "|---|---|---|---|---|",
    ]

    def cell(row: dict[str, Any], form: str) -> str:
        one = row[form]
        told = f" ({one['told']} told)" if one["answered"] < one["asked"] else ""
        times = f"{one['added_ms_p50']:.0f} / {one['added_ms_max']:.0f} ms"
        return f"{one['answered']} of {one['asked']}{told}, {times}"

    for place, name in enumerate(FAULTS):
        cells = [
            cell(found[speech]["faults"][place], form)
            for speech in SPEECHES
            for form in ("whole", "streamed")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="print JSON alone, and write nothing")
    given = parser.parse_args()
    found: dict[str, Any] = {speech: measured(speech, given.rounds) for speech in SPEECHES}
    result = {
        "what": "the fault matrix and promises P4, P5, P8",
        "machine": machine(),
        "rounds": given.rounds,
    } | found
    if given.json:
        print(json.dumps(result))
        return
    target = Path(__file__).resolve().parent / "results" / "faults.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(table(found))
    for speech in SPEECHES:
        for name in ("outage", "retries", "leaving", "deadline"):
            print(speech, name, json.dumps(found[speech][name]))


if __name__ == "__main__":
    main()
