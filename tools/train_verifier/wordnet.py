"""Just enough of WordNet's database files: frequent nouns and the nouns beside them, antonyms."""

import random
import re
from pathlib import Path


class WordNet:
    def __init__(self, folder: Path) -> None:
        self.parent: dict[str, str] = {}
        self.children: dict[str, list[str]] = {}
        self.opposite: dict[str, list[str]] = {}
        common = self._common(folder)
        synsets: dict[str, tuple[list[str], list[str]]] = {}
        for line in (folder / "data.noun").read_text("latin-1").split("\n"):
            if not line or line.startswith(" "):
                continue
            fields = line.split("|")[0].split()
            count = int(fields[3], 16)
            words = [fields[4 + 2 * i].lower() for i in range(count)]
            rest = fields[4 + 2 * count + 1 :]
            above = [rest[i + 1] for i in range(0, len(rest) - 3, 4) if rest[i] == "@"]
            synsets[fields[0]] = (words, above)
        for key, (words, above) in synsets.items():
            for word in words:
                if common.get(word, ("", 0))[0] == key and above and "_" not in word:
                    self.parent[word] = above[0]
                    self.children.setdefault(above[0], []).append(word)
        del synsets

    @staticmethod
    def _common(folder: Path) -> dict[str, tuple[str, int]]:
        """Noun to its most frequent sense, where it was seen at least twice in the tagged texts."""
        best: dict[str, tuple[str, int]] = {}
        for line in (folder / "index.sense").read_text("latin-1").split("\n"):
            match = re.match(r"([a-z]{4,})%1:\S+ (\d{8}) (\d+) (\d+)", line)
            if match and match[3] == "1" and int(match[4]) >= 2:
                best[match[1]] = (match[2], int(match[4]))
        return best

    def sibling(self, word: str, rng: random.Random) -> str | None:
        """Another kind of the same thing; None for a word it does not know."""
        parent = self.parent.get(word)
        others = [other for other in self.children.get(parent or "", []) if other != word]
        return rng.choice(others) if others and len(others) <= 25 else None
