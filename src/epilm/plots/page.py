"""One HTML page that needs nothing else: sections of text, tables and pictures.

Everything is inside the file, pictures included; no script, no address is loaded. The numbers of
each picture lie beside the page as TSV. jinja2 escapes all text.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from epilm import __version__
from epilm.atomic import atomic_file, atomic_folder

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
class PictureNumbers:
    """What a picture shows, as a table that is written beside the page (`NAME.tsv`)."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Picture:
    """An image as data URI with what it shows; `numbers` are written beside the page."""

    uri: str
    caption: str = ""
    wide: bool = False
    alt: str = ""
    numbers: tuple[PictureNumbers, ...] = ()


@dataclass
class Section:
    """A part of the page, in the order: text, links, cards, tables, pictures, code, notes."""

    title: str
    text: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)  # (text, file beside the page)
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


def render(page: Page, folder: str = "") -> str:
    """Turn a page into HTML text.

    Parameters
    ----------
    page : Page
    folder : str
        Where the numbers of its pictures lie, beside the page.

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
    files_of = {id(numbers): file for file, numbers in _named_numbers(page)}
    return environment.from_string(source).render(
        page=page, folder=folder, file_of=lambda numbers: files_of[id(numbers)]
    )


def _named_numbers(page: Page) -> list[tuple[str, PictureNumbers]]:
    """Give the numbers of all pictures a file each; names that come twice are numbered."""
    out: list[tuple[str, PictureNumbers]] = []
    taken: dict[str, int] = {}
    for numbers in (n for s in page.sections for p in s.pictures for n in p.numbers):
        plain = "".join(
            c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in numbers.name
        )
        stem = plain.strip("_")[:80] or "numbers"
        taken[stem] = taken.get(stem, 0) + 1
        number = "" if taken[stem] == 1 else f".{taken[stem]}"
        out.append((f"{stem}{number}.tsv", numbers))
    return out


def write_page(page: Page, out: str | Path) -> Path:
    """Write a page to a file, whole or not at all; the numbers of its pictures before it, into a
    folder beside it that bears its name (`report.numbers`).
    """
    path = Path(out)
    named = _named_numbers(page)
    folder = path.with_name(f"{path.stem}.numbers")
    text = render(page, folder.name)
    if named:
        with atomic_folder(folder, overwrite=True) as new:
            for file, numbers in named:
                (new / file).write_text(_tsv(numbers), encoding="utf-8")
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def bar_numbers(
    name: str, bars: Sequence[tuple[str, str, Sequence[float | None]]]
) -> PictureNumbers:
    """Give the numbers of bars with a whisker: a row each number of a bar.

    Parameters
    ----------
    name : str
        Of the table.
    bars : sequence of (name, score, numbers)
        A number a seed or fold, from 0 on.

    Examples
    --------
    >>> bar_numbers("a", [("CNN", "auroc", [0.5, None])]).rows
    [('CNN', 'auroc', 0, 0.5), ('CNN', 'auroc', 1, None)]
    """
    rows = [(bar, score, at, number) for bar, score, each in bars for at, number in enumerate(each)]
    return PictureNumbers(name, ("row", "score", "number", "value"), rows)


def _tsv(numbers: PictureNumbers) -> str:
    lines = ["\t".join(numbers.header)]
    lines += ["\t".join(_plain_cell(cell) for cell in row) for row in numbers.rows]
    return "\n".join(lines) + "\n"


def _plain_cell(value: Any) -> str:
    """A cell of a table for programs: seven digits, nothing where there is no number.

    Examples
    --------
    >>> [_plain_cell(v) for v in (0.1, 1 / 3, float("nan"), None, 3, "a\\tb")]
    ['0.1', '0.3333333', '', '', '3', 'a b']
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.7g}" if isinstance(value, float) else " ".join(str(value).split())


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
