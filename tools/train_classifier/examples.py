# ruff: noqa: RUF001  (prompts in many languages)
"""Examples from instructions written for this project, in seventeen languages.

`phrases/LANGUAGE.txt` has instructions by task; `materials.txt` short texts to apply them to. One
instruction is set in several ways: before or after its material, as a system prompt with the material
alone as the user's message, behind a few examples, politely, carelessly. Every choice is seeded.
"""

import random
import re
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
NEEDS_MATERIAL = frozenset(["summarise", "classify", "sentiment", "tag", "extract", "translate", "rewrite"])
STYLES = ("plain", "after", "system", "shots", "careless", "assistant")


class Example(NamedTuple):
    """`task` may name several that are right, `creative|qa`: the first is trained on, any counts as right."""

    source: str
    language: str
    task: str
    text: str
    system: str = ""
    tools: bool = False
    style: str = ""


POLITE = {
    "en": ("Please help me with this.", "Could you do this for me, please?", "Thanks in advance!"),
    "de": ("Bitte hilf mir dabei.", "Kannst du das bitte machen?", "Danke im Voraus!"),
    "fr": ("Aide-moi s'il te plaît.", "Pourriez-vous faire ceci ?", "Merci d'avance !"),
    "es": ("Ayúdame, por favor.", "¿Podrías hacer esto?", "¡Gracias de antemano!"),
    "it": ("Aiutami per favore.", "Potresti farlo?", "Grazie in anticipo!"),
    "pt": ("Me ajude, por favor.", "Você poderia fazer isto?", "Desde já obrigado!"),
    "nl": ("Help me alsjeblieft.", "Zou je dit kunnen doen?", "Alvast bedankt!"),
    "pl": ("Pomóż mi proszę.", "Czy możesz to zrobić?", "Z góry dziękuję!"),
    "sv": ("Hjälp mig tack.", "Kan du göra det här?", "Tack på förhand!"),
    "tr": ("Lütfen yardım et.", "Bunu yapar mısın?", "Şimdiden teşekkürler!"),
    "ru": ("Помоги, пожалуйста.", "Не могли бы вы это сделать?", "Заранее спасибо!"),
    "uk": ("Допоможи, будь ласка.", "Чи могли б ви це зробити?", "Наперед дякую!"),
    "zh": ("请帮帮我。", "麻烦你做一下。", "先谢谢了！"),
    "ja": ("手伝ってください。", "お願いできますか。", "よろしくお願いします。"),
    "ko": ("도와주세요.", "이것을 해 줄 수 있나요?", "미리 감사합니다!"),
    "ar": ("ساعدني من فضلك.", "هل يمكنك فعل هذا؟", "شكرا مقدما!"),
    "hi": ("कृपया मेरी मदद करें।", "क्या आप यह कर सकते हैं?", "पहले से धन्यवाद!"),
}
GENERIC = (
    "You are a helpful assistant.",
    "You are a helpful, honest assistant. Answer in the user's language.",
    "You are Nova, the assistant of Birch & Sons. Be brief and polite. Today is 12 May 2025.",
    "Answer as well as you can. If you are not sure, say so. Use Markdown.",
    "You work inside an office suite. Users paste texts and say what they want. Never mention this.",
    "Du bist ein hilfreicher Assistent.",
    "Vous êtes un assistant utile.",
    "你是一个有用的助手。",
)
_INSTRUCTS = ("You ", "Your job", "Du ", "Tu ", "Eres ", "Sei ", "Você ", "Je bent", "Sen ")
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "search", "parameters": {}}}]


def read_sections(path: Path) -> dict[str, list[str]]:
    """`[name]` and the lines under it."""
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]") and " " not in line:
            lines = found.setdefault(line[1:-1], [])
        elif line.strip():
            lines.append(line.strip())
    return found


def materials() -> dict[str, list[str]]:
    return read_sections(HERE / "materials.txt")


def written(seed: int = 7, copies: int = 5) -> list[Example]:
    """All instructions in several styles, as examples of the source `written`."""
    rng = random.Random(seed)
    texts = materials()
    found: list[Example] = []
    for path in sorted((HERE / "phrases").glob("*.txt")):
        language = path.stem
        for task, phrases in read_sections(path).items():
            for phrase in phrases:
                styles = rng.sample(STYLES, min(copies, len(STYLES)))
                found += [_styled(style, phrase, task, language, phrases, texts, rng) for style in styles]
    return found


def _styled(
    style: str,
    phrase: str,
    task: str,
    language: str,
    phrases: list[str],
    texts: dict[str, list[str]],
    rng: random.Random,
) -> Example:
    def material() -> str:
        from_language = "en" if rng.random() < 0.15 else language
        return " ".join(rng.sample(texts[from_language], rng.choice((1, 1, 1, 2, 3))))

    instructs = phrase.startswith(_INSTRUCTS)
    tools = rng.random() < (0.5 if task == "agent_step" else 0.003)
    system = rng.choice(GENERIC) if rng.random() < 0.2 else ""
    text = phrase
    if task in NEEDS_MATERIAL:
        text = _with_material(style, phrase, material(), rng)
        if style == "system" or (instructs and style != "plain"):
            text, system = material(), phrase
        elif style == "shots":
            text = _shots(phrase, material, rng)
    elif style == "system":
        system = rng.choice(GENERIC)
    elif instructs:
        text, system = rng.choice(phrases), phrase
    elif "?" not in phrase and rng.random() < 0.12 and task in ("qa", "code", "other"):
        text = f"{phrase}\n\n{material()}"
    if style == "assistant" and language in POLITE:
        polite = rng.choice(POLITE[language])
        text = f"{polite} {text}" if rng.random() < 0.5 else f"{text} {polite}"
    if style == "careless":
        text = careless(text, rng)
    return Example("written", language, task, text, system, tools, style)


def _with_material(style: str, phrase: str, material: str, rng: random.Random) -> str:
    bare = phrase.rstrip(".。।")
    if style == "after":
        return rng.choice(
            (f"{material}\n\n{phrase}", f'"{material}"\n{phrase}', f"{material}\n---\n{phrase}")
        )
    return rng.choice(
        (
            f"{phrase}\n\n{material}",
            f"{bare}: {material}",
            f'{bare}: "{material}"',
            f"{phrase}\n```\n{material}\n```" if rng.random() < 0.3 else f"{phrase}\n{material}",
            f"### Instruction\n{phrase}\n\n### Input\n{material}",
            phrase if rng.random() < 0.6 else f"{phrase} {material}",
        )
    )


def _shots(phrase: str, material: Any, rng: random.Random) -> str:
    marks = rng.choice((("Text", "Answer"), ("Input", "Output"), ("Q", "A"), ("Example", "Result")))
    shots = [
        f"{marks[0]}: {material()}\n{marks[1]}: {rng.choice('ABCXYZ')}" for _ in range(rng.choice((1, 2)))
    ]
    return "\n\n".join([phrase, *shots, f"{marks[0]}: {material()}\n{marks[1]}:"])


_SLOT = re.compile(r"\{(\w+)\}")


def framed(seed: int = 9, scale: float = 1.0) -> list[Example]:
    """Frames with their slots filled, each a dozen times or so, as examples of the source `framed`.

    The same topics, names and numbers fill the frames of all tasks, so that they say nothing of the task.
    """
    rng = random.Random(seed)
    slots = read_sections(HERE / "frames" / "slots.txt")
    texts = materials()
    found: list[Example] = []
    for path in sorted((HERE / "frames").glob("??.txt")):
        for task, frames in read_sections(path).items():
            copies = round(scale * min(max(420 // len(frames), 6), 24))
            for frame in frames:
                for _ in range(copies if "{" in frame else 3):
                    text = _SLOT.sub(lambda slot: rng.choice(slots[slot.group(1)]), frame)
                    found.append(_framed(path.stem, task, text, frame, texts, rng))
    return found


def _framed(
    language: str, task: str, text: str, frame: str, texts: dict[str, list[str]], rng: random.Random
) -> Example:
    if task in NEEDS_MATERIAL and "{passage}" not in frame and "{zp}" not in frame and rng.random() < 0.85:
        style = rng.choice(("plain", "plain", "after"))
        text = _with_material(style, text, " ".join(rng.sample(texts[language], rng.choice((1, 1, 2)))), rng)
    elif "{passage}" in frame or " A. " in frame:
        text = re.sub(r" (?=[A-D]\. |Question:|Answer:|Context:)", lambda gap: rng.choice(" \n"), text)
    if rng.random() < 0.15:
        text = careless(text, rng)
    system = rng.choice(GENERIC) if rng.random() < 0.12 else ""
    tools = rng.random() < (0.5 if task == "agent_step" else 0.003)
    return Example("framed", language, task, text, system, tools, "framed")


def careless(text: str, rng: random.Random) -> str:
    """Lower case, lost marks, and now and then two letters swapped."""
    text = text.lower() if rng.random() < 0.6 else text
    if rng.random() < 0.6:
        text = text.rstrip(".?!。？！।؟")
    letters = list(text)
    for _ in range(len(letters) // 60 + (rng.random() < 0.3)):
        at = rng.randrange(max(len(letters) - 1, 1))
        letters[at : at + 2] = reversed(letters[at : at + 2])
    return "".join(letters)
