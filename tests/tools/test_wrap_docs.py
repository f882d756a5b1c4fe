"""Pages are wrapped without a word lost, and what Markdown reads by lines stays as it is."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("wrap_docs", ROOT / "tools" / "wrap_docs.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

LONG = "word " * 40
PAGE = f"""# {LONG}

{LONG}and `a span that is longer than the rest of its line could ever hold, but is one` word
{LONG}[a link with words](target.md#a b), 1. and - signs.

* {LONG}
  {LONG}
    1. {LONG}

| {LONG} | b |
|---|---|

```bash
epilm {LONG}
```

<!-- {LONG} -->
![{LONG}](a.png)
short
"""


def test_words_stay_and_so_does_what_is_read_by_lines():
    after = tool.wrap(PAGE)
    assert after.split() == PAGE.split()
    lines = after.splitlines()
    for mark in ("# word", "| word", "epilm word", "<!-- word", "![word"):
        assert sum(line.startswith(mark) for line in lines) == 1
        assert next(len(line) for line in lines if line.startswith(mark)) > 200
    assert "`a span that is longer than the rest of its line could ever hold, but is one`" in after
    assert "[a link with words](target.md#a b)," in after
    inside = [line for line in lines if line.startswith("  ") and "word" in line]
    assert max(map(len, inside)) <= tool.WIDTH
    assert sum(line.lstrip().startswith("1.") for line in lines) == 1
    assert tool.wrap(after) == after


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: p.stem)
def test_pages_of_ours_keep_their_words_and_their_headings(page):
    before = page.read_text(encoding="utf-8")
    after = tool.wrap(before)
    assert after.split() == before.split()
    heads = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in after.splitlines() if line.startswith("#")] == heads
    fences = [line for line in before.splitlines() if line.lstrip().startswith(("```", "|"))]
    assert [a for a in after.splitlines() if a.lstrip().startswith(("```", "|"))] == fences
