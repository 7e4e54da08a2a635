"""What goes wrong at a provider, one line each, and what a client may expect of it.

`ends` says how one target alone ends, with a client that retries as the official ones do by default:

    answers   the fault passes, or is none
    fails     every try meets it again
    breaks    every try meets it again, and a stream has shown a part of its answer by then: no second target
              can take over what the client has seen, so it ends in an error. A whole answer just fails.

With a healthy second target everything answers but a stream that `breaks`.
"""

import dataclasses
import re
from typing import Literal

REFUSES = "refuses connections"  # below HTTP, hence no script of the fault provider
GOOD = "good"


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    ends: Literal["answers", "fails", "breaks"]
    streamed: str
    """The script of the fault provider for the first target, where it is asked for a stream."""
    whole: str = ""
    """Where it is asked for a whole answer; empty: the same."""
    second: str = GOOD
    patience_s: float = 30.0
    """How long the client waits, where it asks one target alone."""

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def by_the_clock(self) -> bool:
        """Whether the gateway asks again hangs on how soon it happened: a connection that ended at once had
        been idle too long, one that ended later was worked on. On a busy machine anything is late."""
        return self.streamed.startswith("reset")

    def script(self, form: str) -> str:
        return (self.whole or self.streamed) if form == "whole" else self.streamed


SIXTEEN = (
    Scenario("429 with Retry-After", "answers", "status=429,retry-after=1,first=1"),
    Scenario("429 without Retry-After", "answers", "status=429,first=1"),
    Scenario("500 once", "answers", "status=500,first=1"),
    Scenario("500 always", "fails", "status=500,code=model_crashed"),
    Scenario("silence", "fails", "hang,hold=10", patience_s=1.0),
    Scenario("slow first token", "answers", "delay=1.5"),
    Scenario("cut", "breaks", "gap=0.02,truncate=3,end=cut"),
    Scenario("stall", "breaks", "stall=3,hold=2"),
    Scenario("malformed chunk", "fails", "bad=json", "bad=sse"),
    Scenario("no [DONE]", "answers", "truncate=1000,end=clean", GOOD),
    Scenario("content filter", "fails", "status=400,code=content_filter"),
    Scenario("context overflow", "fails", "status=400,code=context_length_exceeded"),
    Scenario("both targets sick", "fails", "status=500", second="status=503"),
    Scenario("auth error", "fails", "status=401"),
    Scenario("refused connection", "fails", REFUSES),
    Scenario("truncated JSON", "fails", "bad=json,truncate=2,end=cut", "bad=json"),
)

SIBLINGS = (
    Scenario("content filter as a finish", "answers", "finish=content_filter"),
    Scenario("429 always", "fails", "status=429,code=insufficient_quota"),
    Scenario("429 with an HTTP date", "answers", "status=429,retry-date=1,first=1"),
    Scenario("408 once", "answers", "status=408,first=1"),
    Scenario("409 once", "answers", "status=409,first=1"),
    Scenario("503 once, in HTML", "answers", "status=503,body=html,first=1"),
    Scenario("504 once, empty", "answers", "status=504,body=empty,first=1"),
    Scenario("reset once", "answers", "reset,first=1"),
    Scenario("cut before content", "fails", "truncate=1,end=cut"),
    Scenario("reset in the middle", "breaks", "gap=0.02,truncate=3,end=reset"),
    Scenario("end without a finish", "breaks", "gap=0.02,truncate=3,end=clean"),
    Scenario("stall before content", "fails", "stall=1,hold=2", patience_s=1.0),
    Scenario("error event at first", "fails", "error=0"),
    Scenario("error event before content", "fails", "error=1"),
    Scenario("error event in the middle", "breaks", "gap=0.02,error=3"),
    Scenario("HTML for an answer", "fails", "bad=html"),
    Scenario("nothing for an answer", "fails", "bad=empty"),
    Scenario("not the key but the model", "fails", "status=404"),
    Scenario("forbidden", "fails", "status=403,code=moderation"),
    Scenario("answer in dribs with comments", "answers", "split=7,eol=crlf,comments"),
)

SCENARIOS = SIXTEEN + SIBLINGS

ONCE = (
    Scenario("429 once", "answers", "status=429,first=1"),
    Scenario("500 once", "answers", "status=500,first=1"),
    Scenario("503 once", "answers", "status=503,first=1"),
    Scenario("408 once", "answers", "status=408,first=1"),
    Scenario("409 once", "answers", "status=409,first=1"),
    Scenario("reset once", "answers", "reset,first=1"),
)
"""What clients get over by asking again."""
