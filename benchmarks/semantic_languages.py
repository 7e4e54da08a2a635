# ruff: noqa: RUF001, SIM905  (questions in many scripts, read more easily in rows)
"""What the semantic cache does with questions that its models cannot read: other languages, signs, emoji.

    python -m benchmarks.semantic_languages [--json] [--rows N]

Pairs with another answer are put to the embedder and the verifier that ship, at the verifier's own threshold,
with and without the look at languages; what both cost in English is measured on Quora's pairs, and real
prompts in other scripts are those of NotInject, where FARTHING_DATA has them. Needs the extra `semantic`.
"""

import argparse
import asyncio
import gzip
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import machine
from farthing.brain.cache.semantic.language import ENGLISH, load
from farthing.brain.classify.rules import RulesClassifier
from farthing.types import DEFAULT_ENDPOINT, Request, Tenant

try:
    from farthing.brain.cache.semantic.verify.trained import TrainedVerifier
    from farthing.models.embed.onnx import OnnxEmbedder
    from farthing.models.pair.onnx import OnnxPairModel
except ImportError as missing:
    sys.exit(f"{missing}: pip install 'farthing[semantic]'")

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("FARTHING_DATA", HERE.parent.parent / "shared" / "data"))
QQP = DATA / "cache" / "qqp_pairs.jsonl.gz"
NOTINJECT = DATA / "other" / "notinject"

Pair = tuple[str, str]

SIGNS: list[Pair] = [
    ("Translate 你好", "Translate 再见"), ("Translate 日 into English", "Translate 月 into English"),
    ("What does 👍 mean?", "What does 👎 mean?"), ("What does 🇫🇷 stand for?", "What does 🇮🇹 stand for?"),
    ("What does the symbol ∀ mean?", "What does the symbol ∃ mean?"),
    ("What is the Spanish word años?", "What is the Spanish word anos?"),
    ("What does == do in JavaScript?", "What does === do in JavaScript?"),
    ("Is 5<3 true?", "Is 5>3 true?"), ("Is 5 < 3 true?", "Is 5 > 3 true?"),
    ("How do I use && in bash?", "How do I use || in bash?"), ("What does a?.b mean?", "What does a.b mean?"),
    ("What is C++ used for?", "What is C# used for?"), ("What is C used for?", "What is C++ used for?"),
    ("What is .NET used for?", "What is net used for?"), ("Is x != y true?", "Is x = y true?"),
    ("Solve x² = 4", "Solve x2 = 4"), ("What is the value of α?", "What is the value of β?"),
    ("How much is 20% of it?", "How much is 20‰ of it?"), ("Is 30°C warm?", "Is 30°F warm?"),
    ("Is 5' long?", 'Is 5" long?'), ("What is 5! in words?", "What is 5 in words?"),
    ("What is 3 + 4 in words?", "What is 3 - 4 in words?"), ("What does ← do?", "What does → do?"),
    ("Where do I enter my résumé?", "Where do I enter my resume?"),
    ("Log in to paypal", "Log in to p\u0430ypal"),
    ("What does how\u200bto mean?", "What does howto mean?"),
    ("What is polish made of?", "What is Polish made of?"),
    ("Is 3.1 the version?", "Is 3.10 the version?"), ("What is (2+3)*4?", "What is 2+(3*4)?"),
]  # fmt: skip
"""Written alike but for a sign; the answer is another one."""

OPPOSITES: dict[str, list[Pair]] = {
    "zh": [("如何开启深色模式?", "如何关闭深色模式?"), ("怎么把公斤换算成磅?", "怎么把磅换算成公斤?")],
    "ja": [("ダークモードを有効にする方法は?", "ダークモードを無効にする方法は?")],
    "ko": [("다크 모드를 어떻게 켜나요?", "다크 모드를 어떻게 끄나요?")],
    "th": [("เปิดโหมดมืดอย่างไร", "ปิดโหมดมืดอย่างไร")],
    "ru": [("Как включить тёмную тему?", "Как выключить тёмную тему?"),
           ("Как открыть счёт?", "Как закрыть счёт?")],
    "ar": [("كيف أفعّل الوضع الداكن؟", "كيف أعطّل الوضع الداكن؟")],
    "hi": [("डार्क मोड कैसे चालू करें?", "डार्क मोड कैसे बंद करें?")],
    "el": [("Πώς ανοίγω λογαριασμό;", "Πώς κλείνω λογαριασμό;")],
    "es": [("¿Cómo activo el modo oscuro?", "¿Cómo desactivo el modo oscuro?"),
           ("abrir cuenta", "cerrar cuenta"),
           ("¿Cuántos años tienes?", "¿Cuántos anos tienes?")],
    "fr": [("Comment activer le mode sombre ?", "Comment désactiver le mode sombre ?"),
           ("ouvrir un compte", "fermer un compte")],
    "de": [("Wie aktiviere ich den dunklen Modus?", "Wie deaktiviere ich den dunklen Modus?"),
           ("Konto eröffnen", "Konto schließen")],
    "it": [("Come attivo la modalità scura?", "Come disattivo la modalità scura?")],
    "pt": [("Como ativo o modo escuro?", "Como desativo o modo escuro?")],
    "tr": [("Karanlık modu nasıl açarım?", "Karanlık modu nasıl kapatırım?"),
           ("Hesap açma", "Hesap kapatma")],
    "pl": [("Jak włączyć tryb ciemny?", "Jak wyłączyć tryb ciemny?")],
    "vi": [("Làm sao để bật chế độ tối?", "Làm sao để tắt chế độ tối?")],
    "id": [("Bagaimana cara mengaktifkan mode gelap?", "Bagaimana cara menonaktifkan mode gelap?")],
}  # fmt: skip

THAI = [
    "เมืองหลวงของฝรั่งเศสคือที่ไหน", "น้ำเดือดที่อุณหภูมิเท่าไร", "วิธีทำข้าวผัด", "ใครเขียนแฮมเล็ต",
    "ขอคืนเงินอย่างไร", "รถไฟออกกี่โมง", "ดาวเคราะห์มีกี่ดวง", "วิธีเปลี่ยนรหัสผ่าน", "แมวนอนวันละกี่ชั่วโมง",
    "ภาษีเงินได้คืออะไร",
]  # fmt: skip
"""Questions that have nothing to do with each other."""


def exam() -> list[str]:
    """1,200 questions in Chinese as those of an exam, each another one."""
    subjects = (
        "光合作用 细胞分裂 酸碱中和 万有引力 电磁感应 化学平衡 遗传变异 板块构造 "
        "大气压强 能量守恒 牛顿定律 元素周期 辛亥革命 文艺复兴 工业革命 丝绸之路 "
        "明治维新 春秋战国 鸦片战争 五四运动 供求关系 货币政策 通货膨胀 比较优势 "
        "合同成立 侵权责任 正当防卫 诉讼时效 函数极值 概率分布 线性方程 复数运算 "
        "向量空间 微分方程 数列求和 立体几何 修辞手法 古诗鉴赏 文言虚词 现代小说"
    ).split()
    asks = (
        "下列关于{}的说法正确的是 下列关于{}的说法错误的是 {}的条件是什么 {}的结果是什么 {}最早由谁提出 "
        "简述{}的意义 简述{}的过程 {}发生在哪里 {}与什么无关 {}可以分为几类 {}的核心概念是 {}的主要原因是 "
        "举例说明{} 如何证明{} {}有哪些应用 {}有哪些局限 {}的定义是 影响{}的因素有 {}的反例是 {}的公式是 "
        "{}的单位是 {}的历史背景是 {}的代表人物是 为什么要学习{} {}常见的误解是 比较{}与其相反情况 "
        "{}的实验步骤 {}的图像特征 {}的题型有 {}的口诀是"
    ).split()
    return [ask.format(subject) for subject in subjects for ask in asks]


class Reader:
    """Says of pairs whether they are served, as the cache does."""

    def __init__(self) -> None:
        self.embedder, self.pair_model = OnnxEmbedder(), OnnxPairModel()
        self.verifier = TrainedVerifier(self.pair_model)
        self.languages, self.classifier = load(), RulesClassifier()

    def language(self, text: str) -> str:
        body = {"messages": [{"role": "user", "content": text}]}
        request = Request(
            id="r", tenant=Tenant(name="t"), endpoint=DEFAULT_ENDPOINT, operation="chat", model="auto",
            body=body, text=text, prompt_chars=len(text), received_s=0.0,
        )  # fmt: skip
        return self.languages.of(text, self.classifier.describe(request).language)

    async def read(self, texts: Sequence[str]) -> dict[str, tuple[Any, bool]]:
        """Vector of each text, and whether all of it is in there."""
        found: dict[str, tuple[Any, bool]] = {}
        some = list(dict.fromkeys(texts))
        for start in range(0, len(some), 256):
            part = some[start : start + 256]
            vectors, unread = await self.embedder.embed(part)
            found |= {
                text: (vector, not lacks) for text, vector, lacks in zip(part, vectors, unread, strict=True)
            }
        return found

    async def serves(self, pair: Pair, read: dict[str, tuple[Any, bool]], *, language: str = ENGLISH) -> bool:
        """Whether the second one's answer is served to the first, were it in an allowed language."""
        (u, whole_u), (v, whole_v) = (read[text] for text in pair)
        if not (whole_u and whole_v):
            return False
        return (await self.verifier.verify(*pair, u, v, language=language)).outcome == "serve"

    async def aclose(self) -> None:
        await self.embedder.aclose()
        await self.pair_model.aclose()


async def made(reader: Reader) -> Iterator[dict[str, Any]]:
    """The pairs of this file: how many are served, with the look at languages and without it."""
    sets: list[tuple[str, str, list[Pair]]] = [("signs", ENGLISH, SIGNS)]
    sets += [(f"opposites, {language}", language, pairs) for language, pairs in OPPOSITES.items()]
    sets.append(("unrelated, th", "th", list(combinations(THAI, 2))))
    sets.append(("exam, zh", "zh", list(pairwise(exam()))))
    told = []
    for name, language, pairs in sets:
        read = await reader.read([text for pair in pairs for text in pair])
        served = [pair for pair in pairs if await reader.serves(pair, read, language=language)]
        allowed = [pair for pair in served if {reader.language(text) for text in pair} == {ENGLISH}]
        told.append(
            {"set": name, "pairs": len(pairs), "served": len(allowed), "served_were_it_allowed": len(served)}
        )
    return iter(told)


async def near(reader: Reader, name: str, texts: list[str]) -> dict[str, Any]:
    """Of the texts, each put to the four before it that are nearest: in how many pairs is one served?"""
    import numpy as np

    read = await reader.read(texts)
    vectors = np.stack([read[text][0] for text in texts])
    cosines = vectors @ vectors.T
    served: set[str] = set()
    inside: set[str] = set()
    for at in range(1, len(texts)):
        for other in np.argsort(-cosines[at, :at])[:4]:
            pair = (texts[at], texts[int(other)])
            if (
                cosines[at, other] >= 0.7
                and pair[0] != pair[1]
                and await reader.serves(pair, read, language="zz")
            ):
                served.update(pair)
                if {reader.language(text) for text in pair} == {ENGLISH}:
                    inside.update(pair)
    return {
        "set": name,
        "texts": len(texts),
        "unknown_tokens": sum(not read[text][1] for text in texts),
        "in_served_pairs": len(inside),
        "in_served_pairs_were_it_allowed": len(served),
    }


def multilingual() -> list[str]:
    """Prompts of NotInject that are mainly in other scripts."""
    texts = []
    for file in sorted(NOTINJECT.glob("*.json")):
        texts += [row["prompt"] for row in json.loads(file.read_text("utf-8"))]
    return [text for text in texts if sum(not char.isascii() for char in text) > len(text) / 3]


def english(reader: Reader, rows: int | None) -> dict[str, Any]:
    """Of Quora's duplicates: how many the look at languages turns down, and how many the signs."""
    from farthing.brain.cache.semantic.verify.parse import parse
    from farthing.brain.cache.semantic.verify.signs import unlike

    counts = {"duplicates": 0, "not_english": 0, "signs": 0, "other_pairs": 0, "other_pairs_signs": 0}
    took_s = []
    with gzip.open(QQP, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if rows is not None and number >= rows:
                break
            row = json.loads(line)
            texts = row["text_a"], row["text_b"]
            a, b = map(parse, texts)
            differ = unlike(a.signs, b.signs, a.words, b.words, english=True) is not None
            if not row["label"]:
                counts["other_pairs"] += 1
                counts["other_pairs_signs"] += differ
                continue
            began_s = time.perf_counter()
            spoken = {reader.language(text) for text in texts}
            took_s.append(time.perf_counter() - began_s)
            counts["duplicates"] += 1
            counts["not_english"] += spoken != {ENGLISH}
            counts["signs"] += differ
    return {"set": "quora, English", **counts, "language_us": round(median(took_s) / 2 * 1e6, 1)}


async def measure(rows: int | None) -> list[dict[str, Any]]:
    reader = Reader()
    try:
        told = [*await made(reader), await near(reader, "exam, zh, nearest", exam())]
        if NOTINJECT.is_dir():
            told.append(await near(reader, "notinject, other scripts", multilingual()))
        if QQP.is_file():
            told.append(english(reader, rows))
        return told
    finally:
        await reader.aclose()


def main() -> None:
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--rows", type=int, help="of Quora's pairs, only the first so many")
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--out", type=Path, help="write the figures there, too")
    args = flags.parse_args()
    for needed in (NOTINJECT, QQP):
        if not needed.exists():
            print(f"not measured: {needed} is not there; set FARTHING_DATA", file=sys.stderr)
    told = asyncio.run(measure(args.rows))
    body = {"sets": told, "machine": machine()}
    if args.out:
        args.out.write_text(json.dumps(body, indent=1) + "\n", "utf-8")
    if args.json:
        print(json.dumps(body, indent=1))
        return
    for one in told:
        print(one.pop("set").ljust(26), ", ".join(f"{name} {value}" for name, value in one.items()))


if __name__ == "__main__":
    main()
