"""A small tree whose figures are known by hand."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "house.py"


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


FILES = {
    "src/pkg/__init__.py": """
        TABLE = {"finetune": "pkg.road.loop", "predict": "pkg.road.guess"}
        """,
    "src/pkg/errors.py": "class Oops(Exception): pass\n",
    "src/pkg/road/__init__.py": "",
    "src/pkg/road/loop.py": """
        \"\"\"What it is.

        Two lines of a docstring are none of code.
        \"\"\"
        from pkg.errors import Oops
        from pkg.road import parts
        TASKS = {"one": "pkg.tasks.one:One"}

        def finetune(a, b, c, d, e, f, g, h, *, i):
            # A comment is no code either.
            found = 1
            for found in (1, 2):
                held = (found,
                        a)
            return held
        """,
    "src/pkg/road/parts.py": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from pkg.road import guess

        def late(self):
            from pkg.road.loop import finetune
            return finetune
        """,
    "src/pkg/road/guess.py": "from .. import errors\nfrom . import parts as other\n",
    "src/pkg/tasks/__init__.py": "",
    "src/pkg/tasks/one.py": "class One:\n    def __init__(self, x): self.x = x\n",
    "src/pkg/tasks/parts.py": "class One: pass  # fmt: skip\n" + "long = '" + "x" * 100 + "'\n",
    "tests/tasks/test_one.py": "",
    "tests/test_errors.py": "",
}


def indented(text):
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    cut = len(first) - len(first.lstrip())
    return "\n".join(line[cut:] for line in lines).lstrip("\n")


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(indented(text))
    return tmp_path


@pytest.fixture
def rows(house, tree):
    return {row.what: row for row in house.house(tree)}


@pytest.mark.parametrize(
    ("what", "figure"),
    [
        ("modules", "9"),
        # TABLE 1, errors 1, loop 3 + 6, parts 6 (an import for types alone is code), guess 2,
        # one 2, parts 2.
        ("lines of code", "24"),
        ("rooms (folders of the package)", "2"),
        ("top-level modules", "1"),
        ("eager import circles (files in them)", "0"),
        ("lazy import circles (files in them)", "1 (2)"),
        ("module names that occur more than once", "1"),
        ("public class names that occur more than once", "1"),
        ("functions over 8 parameters", "1"),
        ("command functions over 12 parameters", "0"),
        ("functions over 60 lines (code of the body)", "0"),
        ("`fmt: skip`, all Python files", "1"),
        ("lines over 100 characters, all Python files", "1"),
        # loop, errors, parts, and the task that its table names.
        ("`finetune`: rooms / modules reached", "2 / 4"),
        # guess, errors, parts, and what parts imports late.
        ("`predict`: rooms / modules reached", "2 / 5"),
        ("`evaluate`: rooms / modules reached", "not there"),
        # errors and tasks/one of errors, loop, parts, guess, one, parts.
        ("modules with a like-named test", "33%"),
        ("local name `found` bound", "2"),
        ("local name `place` bound", "0"),
        ("local name `held` bound", "1"),
    ],
)
def test_figures_are_those_of_the_files(rows, what, figure):
    assert rows[what].figure == figure


def test_details_name_what_is_behind_a_figure(rows):
    assert rows["lazy import circles (files in them)"].names == ["pkg.road.loop pkg.road.parts"]
    assert rows["module names that occur more than once"].names == [
        "parts: pkg.road.parts pkg.tasks.parts"
    ]
    assert rows["functions over 8 parameters"].names == ["pkg.road.loop.finetune: 9"]
    assert rows["modules with a like-named test"].names == [
        "pkg.road.guess",
        "pkg.road.loop",
        "pkg.road.parts",
        "pkg.tasks.parts",
    ]


def test_a_circle_at_import_is_told_from_one_that_comes_late(house, tree):
    (tree / "src/pkg/road/parts.py").write_text("import pkg.road.loop\n")
    rows = {row.what: row for row in house.house(tree)}
    assert rows["eager import circles (files in them)"].figure == "1 (2)"


def test_a_long_function_is_measured_in_lines_of_code(house, tree):
    body = "".join(f"    x = {i}\n\n    # why\n" for i in range(61))
    (tree / "src/pkg/errors.py").write_text(f'def long():\n    """Why."""\n{body}')
    rows = {row.what: row for row in house.house(tree)}
    row = rows["functions over 60 lines (code of the body)"]
    assert (row.figure, row.names) == ("1", ["pkg.errors.long: 61"])


def test_two_trees_are_two_columns(house, tree, tmp_path, capsys):
    other = shutil.copytree(tree, tmp_path / "other", ignore=lambda *_: ["other", "tasks"])
    house.main([str(tree), str(other), "--details"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"| | {tree} | {other} |"
    assert lines[2] == "| modules | 9 | 6 |"
    assert f"## module names that occur more than once ({tree})" in lines


def test_a_folder_without_a_package_is_refused(house, tree):
    with pytest.raises(SystemExit, match="no folder src there; give the root of a checkout"):
        house.main([str(tree / "src")])
