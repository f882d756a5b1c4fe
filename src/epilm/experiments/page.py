"""One HTML page that needs nothing else: sections of text, tables and pictures.

Everything is inside the file, pictures included; no script, no address is loaded.
jinja2 escapes all text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from epilm.atomic import atomic_file


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

    source = (files("epilm.experiments") / "report.html.j2").read_text(encoding="utf-8")
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
