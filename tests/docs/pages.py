"""The pages of the documentation, read as tests need them: code blocks, tables, links and anchors."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A code block and where it stands."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Every code block in one of these languages, on every page."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            if match[1] in languages:
                found.append(Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2]))
    return found


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What its headings can be linked to by, as GitHub names them."""
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {word.replace(" ", "-") for word in words}


def rows(page: Path, section: str = "") -> dict[str, list[str]]:
    """First cell -> the other cells of the tables of a page, or of one section of it."""
    text = page.read_text()
    if section:
        _, found, rest = text.partition(f"\n{section}\n")
        assert found, f"{page.name} has no section {section!r}"
        level = section.split(" ")[0]
        text = re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    table: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| ") and not set(line) <= set("|-: "):
            first, *others = (cell.strip() for cell in line.strip("|").split(" | "))
            table[first] = others
    return table


def code(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)
