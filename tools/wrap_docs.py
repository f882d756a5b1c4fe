"""Wrap long lines of Markdown pages, so that a change of a word shows as a change of a line.

    python tools/wrap_docs.py docs/how-to

Paragraphs and list items whose lines are longer than 130 characters are laid out again at 118;
code blocks, tables, headings, comments and pictures stay as they are. Code spans and links are
never broken. What a page says does not change: its words are compared before it is written.
Standard library only.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

WIDTH, LONG = 118, 130
ATOM = re.compile(r"\S*?(?:`[^`]*`|!?\[[^\]]*\]\([^)]*\))\S*|\S+")
ITEM = re.compile(r"^(\s*)([-*+]|\d+\.)\s+")
KEPT = ("|", "#", "<", "```", "![", ">")
START = re.compile(r"^(?:[-*+#>|]|\d+\.)(?:\s|$)|^(?:[-*+#>|]|\d+\.)$|^```|^[-=]{2,}$")


def atoms(text: str) -> list[str]:
    """Split text where a line may end.

    Examples
    --------
    >>> atoms("see `a b` and [the c](d e.md), or e.")
    ['see', '`a b`', 'and', '[the c](d e.md),', 'or', 'e.']
    """
    return ATOM.findall(text)


def wrapped(text: str, first: str, rest: str) -> list[str]:
    """Lay words out in lines; none begins with what Markdown would read as a list or a heading."""
    lines, line = [], first
    empty = True
    for word in atoms(text):
        fits = len(line) + len(word) + (not empty) <= WIDTH
        if not empty and (fits or START.match(word)):
            line += " " + word
        elif empty:
            line += word
        else:
            lines.append(line)
            line = rest + word
        empty = False
    return [*lines, line]


def blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Give runs of lines: (may be wrapped, lines). A paragraph or a list item is one run."""
    fenced, run = False, list[str]()
    for line in lines:
        fence = line.lstrip().startswith("```")
        plain = not (fenced or fence or not line.strip() or line.lstrip().startswith(KEPT))
        plain = plain and not (line.startswith("    ") and not run and not ITEM.match(line))
        if run and (not plain or ITEM.match(line)):
            yield True, run
            run = []
        if plain:
            run.append(line)
        else:
            yield False, [line]
        fenced ^= fence
    if run:
        yield True, run


def wrap(page: str) -> str:
    """Wrap a page.

    Examples
    --------
    >>> wrap("# A\\n\\n* " + "word " * 30 + "end\\n").splitlines()[3]
    '  word word word word word word word end'
    """
    out: list[str] = []
    for free, lines in blocks(page.split("\n")):
        if not free or max(map(len, lines)) <= LONG:
            out += lines
            continue
        item = ITEM.match(lines[0])
        indent = len(lines[0]) - len(lines[0].lstrip())
        first = item.group(0) if item else lines[0][:indent]
        text = " ".join([lines[0][len(first) :], *(line.strip() for line in lines[1:])])
        out += wrapped(text, first, " " * len(first))
    return "\n".join(out)


def main(paths: list[str]) -> None:
    """Wrap pages, or all pages of folders."""
    for path in map(Path, paths):
        for page in sorted(path.rglob("*.md")) if path.is_dir() else [path]:
            before = page.read_text(encoding="utf-8")
            after = wrap(before)
            assert after.split() == before.split(), f"{page}: words would change"
            if after != before:
                page.write_text(after, encoding="utf-8")
                print(page)


if __name__ == "__main__":
    main(sys.argv[1:])
