"""Distributions with plug-ins, as pip would leave them in a folder of the path."""

from collections.abc import Mapping
from pathlib import Path


def distribution(
    folder: Path, points: Mapping[str, str], source: str, *, name: str = "toys", version: str = "1.2"
) -> Path:
    """Write a distribution of one module `name` with `source` into `folder`, which is then to stand on the
    path. `points`: `group:name` -> the attribute of the module. Returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines: dict[str, list[str]] = {}
    for point, attribute in points.items():
        group, _, entry = point.partition(":")
        lines.setdefault(group, []).append(f"{entry} = {name}:{attribute}")
    sections = (f"[{group}]\n" + "\n".join(entries) for group, entries in lines.items())
    (about / "entry_points.txt").write_text("\n\n".join(sections) + "\n")
    return folder
