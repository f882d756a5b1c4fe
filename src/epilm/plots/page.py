"""One HTML page that needs nothing else: sections of text, tables and pictures.

Everything is inside the file, pictures included; no script, no address is loaded.
jinja2 escapes all text.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from epilm import __version__
from epilm.atomic import atomic_file

SIMULATED = (
    "SIMULATED DATA: an invented genome with planted signals. No number on this page says anything"
    " about biology."
)


@dataclass(frozen=True)
class Table:
    """Rows under a header. Numbers are set to the right; `best` marks cells (row, column)."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Picture:
    """An image as data URI with what it shows."""

    uri: str
    caption: str = ""
    wide: bool = False
    alt: str = ""


@dataclass
class Section:
    """A part of the page, in the order: text, cards, tables, pictures, code, notes."""

    title: str
    text: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    code: str = ""
    details: list[tuple[str, str]] = field(default_factory=list)  # (summary, text) folded away

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


@dataclass
class Page:
    """The whole: title, one line below it, a banner (or none), figures at the top, sections."""

    title: str
    subtitle: str = ""
    banner: str = ""
    cards: list[tuple[str, str, str]] = field(default_factory=list)  # (label, value, note)
    sections: list[Section] = field(default_factory=list)
    footer: str = ""


def show(value: Any, digits: int = 3) -> str:
    """Write a value for reading: floats short, None and NaN as a dash, sequences joined.

    Examples
    --------
    >>> show(0.12345), show(12345678), show(None), show([1, 2]), show(3e-4), show(True)
    ('0.123', '12,345,678', '–', '1, 2', '0.0003', 'yes')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value == 0 or 0.01 <= abs(value) < 1000:
            return f"{value:.{digits}f}"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return ", ".join(show(v) for v in value)
    return str(value)


def is_number(value: Any) -> bool:
    """Say whether a table cell is set to the right.

    Examples
    --------
    >>> is_number("0.3 ± 0.1"), is_number("-"), is_number("CTCF")
    (True, True, False)
    """
    if isinstance(value, str):
        head = value.replace(",", "").split(" ")[0].rstrip("%x×")
        try:
            float(head)
        except ValueError:
            return value in ("–", "-")  # no value among numbers
        return True
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def render(page: Page) -> str:
    """Turn a page into HTML text.

    Examples
    --------
    >>> text = render(Page("A <title>", sections=[Section("One", text=["a & b"])]))
    >>> "A &lt;title&gt;" in text, "a &amp; b" in text, "http" in text
    (True, True, False)
    """
    import jinja2

    source = (files("epilm.plots") / "page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["show"] = show
    environment.tests["numeric"] = is_number
    return environment.from_string(source).render(page=page)


def write_page(page: Page, out: str | Path) -> Path:
    """Write a page to a file, whole or not at all."""
    path = Path(out)
    text = render(page)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def load_json(path: Path, default: Any = None) -> Any:
    """Read a JSON file, or give `default` where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines; a last line cut short by a kill is left out."""
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return rows


def duration(seconds: float | None) -> str:
    """Write a time for reading.

    Examples
    --------
    >>> duration(42.4), duration(125), duration(7300), duration(None)
    ('42 s', '2 min 5 s', '2 h 1 min', '–')
    """
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def last(rows: Sequence[Mapping[str, Any]], split: str) -> dict[str, Any]:
    """Give the last line of a split, or an empty dict."""
    return dict(next((r for r in reversed(rows) if r.get("split") == split), {}))


def footer() -> str:
    """The last line of a page."""
    return (
        f"Written by epilm {__version__}. The page is complete in itself: nothing is loaded"
        " from elsewhere."
    )
