"""How the house stands: modules, size, circles, names, long functions, rooms a command passes.

    python tools/house.py [TREE ...]

One row a figure, one column a tree (a checkout of this repository; default: this one). The whole
table is read off the syntax of the files, nothing of the tree is imported, so an old checkout can
be measured with this script: `git worktree add ../before COMMIT`, then
`python tools/house.py ../before .`. With `--details` the names behind the figures follow.
Standard library only.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PARAMETERS, BODY, WIDTH, COMMAND = 8, 60, 100, 12
CATCH_ALL = ("found", "place", "held")
TASK_COMMANDS = ("finetune", "predict", "evaluate")
# "epilm.tasks.promoter" or "epilm.tasks.promoter:Promoter" in a table is an import that comes late.
DOTTED = re.compile(r"^(\w+(?:\.\w+)+)(?::\w+)?$")
FOLDERS = ("src", "tests", "benchmarks", "tools")


@dataclass
class Module:
    """One file.

    Attributes
    ----------
    name : str
        With dots: "epilm.nn.encoder"; a package by its folder.
    path : Path
    text : str
    tree : ast.Module
    eager, lazy : set of str
        Names that it imports when it is imported, and those it imports or names later.
    """

    name: str
    path: Path
    text: str
    tree: ast.Module
    eager: set[str] = field(default_factory=set)
    lazy: set[str] = field(default_factory=set)

    @property
    def is_package(self) -> bool:
        """Whether the file is the `__init__` of a folder."""
        return self.path.stem == "__init__"


def read_modules(root: Path, folder: str) -> dict[str, Module]:
    """Read all modules below a folder of a tree, imports resolved to modules among them.

    Parameters
    ----------
    root : Path
        The tree.
    folder : str
        "src", or a package that lies in the tree itself: "benchmarks".
    """
    modules = {}
    base = root / folder if folder == "src" else root
    for path in sorted((root / folder).rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        modules[name] = Module(name, path, text, ast.parse(text, str(path)))
    return modules


def resolve(modules: dict[str, Module]) -> None:
    """Fill `eager` and `lazy` of every module with names among `modules`."""
    for module in modules.values():
        for node, late in _imports(module.tree):
            targets = _targets(node, module, modules) - {module.name}
            (module.lazy if late else module.eager).update(targets)
        if "." in module.name or not module.is_package:  # the root names what Python users call
            module.lazy |= _named(module.tree, modules) - {module.name}


def _imports(tree: ast.AST, late: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, late
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(node, late or function)


def _targets(node: ast.AST, module: Module, modules: dict[str, Module]) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name in modules}
    assert isinstance(node, ast.ImportFrom)
    base = node.module or ""
    if node.level:
        above = module.name.split(".")
        above = above[: len(above) - node.level + module.is_package]
        base = ".".join([*above, base] if base else above)
    inside = {f"{base}.{alias.name}" for alias in node.names}
    # A name that is no module is defined in the package itself.
    return {name for name in inside if name in modules} or ({base} & modules.keys())


def _named(tree: ast.Module, modules: dict[str, Module]) -> set[str]:
    docs = {id(node) for node in _docstrings(tree)}
    words = (
        DOTTED.match(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    )
    return {match[1] for match in words if match} & modules.keys()


def circles(modules: dict[str, Module], lazy: bool) -> list[list[str]]:
    """Groups of modules that reach each other over imports, each sorted, the largest first."""
    reach = {name: reachable(modules, [name], lazy) for name in modules}
    groups: dict[str, list[str]] = {}
    for name in sorted(modules):
        group = [other for other in sorted(reach[name]) if name in reach[other]]
        if len(group) > 1:
            groups[group[0]] = group
    return sorted(groups.values(), key=len, reverse=True)


def reachable(modules: dict[str, Module], start: Iterable[str], lazy: bool = True) -> set[str]:
    """Modules reached from some, themselves included."""
    seen: set[str] = set()
    todo = list(start)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += modules[name].eager | (modules[name].lazy if lazy else set())
    return seen


def public_functions(modules: dict[str, Module], package: str) -> dict[str, str]:
    """Function -> module, as the table in the package's `__init__` has it."""
    table: dict[str, str] = {}
    for node in ast.walk(modules[package].tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    match = DOTTED.match(str(value.value))
                    if match and match[1] in modules:
                        table[str(key.value)] = match[1]
    return table


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and node.body and isinstance(node.body[0], ast.Expr):
            value = node.body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value


def code_lines(text: str, tree: ast.Module) -> set[int]:
    """Numbers of the lines that hold code: no blank line, comment or docstring."""
    empty = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for doc in _docstrings(tree):
        lines -= set(range(doc.lineno, (doc.end_lineno or doc.lineno) + 1))
    return lines


@dataclass(frozen=True)
class Function:
    """A function: where it stands, its parameters without self, the code lines of its body."""

    where: str
    parameters: int
    lines: int


def functions(module: Module) -> list[Function]:
    """All functions and methods of a module, nested ones too."""
    lines = code_lines(module.text, module.tree)
    out = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            n = len([name for name in names if name not in ("self", "cls")])
            n += (given.vararg is not None) + (given.kwarg is not None)
            body = range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
            out.append(Function(f"{module.name}.{node.name}", n, len(lines & set(body))))
    return out


def local_names(module: Module, name: str) -> int:
    """How often functions of a module bind a name."""
    inside: set[ast.AST] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside |= {
                inner
                for inner in ast.walk(node)
                if isinstance(inner, ast.Name)
                and inner.id == name
                and isinstance(inner.ctx, ast.Store)
            }
    return len(inside)


def mirrored(root: Path, modules: dict[str, Module], package: str) -> tuple[list[str], list[str]]:
    """Modules x/y.py with and without tests/x/test_y.py; `__init__` and `__main__` left out."""
    have, lack = [], []
    for module in modules.values():
        if module.is_package or module.path.stem == "__main__":
            continue
        inside = module.path.relative_to(root / "src" / package)
        test = root / "tests" / inside.parent / f"test_{inside.name.lstrip('_')}"
        (have if test.is_file() else lack).append(module.name)
    return have, lack


@dataclass
class Row:
    """One figure of a tree, and the names behind it."""

    what: str
    figure: str
    names: list[str]


def house(root: Path) -> list[Row]:
    """Measure a tree.

    Parameters
    ----------
    root : Path
        Holds src/PACKAGE, tests and maybe benchmarks.

    Returns
    -------
    list of Row
        The same rows in the same order for every tree.
    """
    if not (root / "src").is_dir():
        raise SystemExit(f"{root}: no folder src there; give the root of a checkout")
    (package,) = (path.parent.name for path in sorted(root.glob("src/*/__init__.py")))
    modules = read_modules(root, "src")
    resolve(modules)
    everywhere = modules | read_modules(root, "benchmarks")
    resolve(everywhere)
    return [
        *_size(root, modules, package),
        *_circles(everywhere),
        *_names(modules, package),
        *_functions(modules, package),
        *_style(root),
        *_roads(modules, package),
        *_tests(root, modules, package),
        *_catch_all(modules),
    ]


def _size(root: Path, modules: dict[str, Module], package: str) -> list[Row]:
    lines = sum(len(code_lines(m.text, m.tree)) for m in modules.values())
    statements = sum(isinstance(n, ast.stmt) for m in modules.values() for n in ast.walk(m.tree))
    statements -= sum(1 for m in modules.values() for _ in _docstrings(m.tree))
    top = sorted(path.stem for path in (root / "src" / package).glob("[!_]*.py"))
    rooms = sorted({m.name.split(".")[1] for m in modules.values() if m.name.count(".") > 1})
    return [
        Row("modules", str(len(modules)), []),
        Row("lines of code", f"{lines:,}", []),
        # A formatter that puts every argument on a line of its own changes lines, not these.
        Row("statements", f"{statements:,}", []),
        Row("rooms (folders of the package)", str(len(rooms)), rooms),
        Row("top-level modules", str(len(top)), top),
    ]


def _circles(modules: dict[str, Module]) -> list[Row]:
    rows = []
    for what, lazy in (("eager", False), ("lazy", True)):
        groups = circles(modules, lazy)
        sizes = " + ".join(str(len(group)) for group in groups)
        rows.append(
            Row(
                f"{what} import circles (files in them)",
                f"{len(groups)} ({sizes})" if groups else "0",
                [" ".join(group) for group in groups],
            )
        )
    return rows


def _names(modules: dict[str, Module], package: str) -> list[Row]:
    files, classes = defaultdict(list), defaultdict(list)
    for module in modules.values():
        if not module.is_package:
            files[module.path.stem].append(module.name)
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(module.name)
    # A command's file in cli/ bears the name of the public function that it calls, as does the
    # module that defines it: one thing, two floors.
    pairs = {
        name: {f"{package}.cli.{name}", module}
        for name, module in public_functions(modules, package).items()
    }
    others = {name: where for name, where in files.items() if set(where) != pairs.get(name)}
    rows = []
    for what, table in (
        ("module names that occur more than once", files),
        ("the same, a command and its function left out", others),
        ("public class names that occur more than once", classes),
    ):
        twice = [
            f"{name}: {' '.join(where)}" for name, where in sorted(table.items()) if len(where) > 1
        ]
        rows.append(Row(what, str(len(twice)), twice))
    return rows


def _functions(modules: dict[str, Module], package: str) -> list[Row]:
    each = [one for module in modules.values() for one in functions(module)]
    wide = [f"{one.where}: {one.parameters}" for one in each if one.parameters > PARAMETERS]
    long = [f"{one.where}: {one.lines}" for one in each if one.lines > BODY]
    commands = [
        f"{one.where}: {one.parameters}"
        for one in each
        if one.where.startswith(f"{package}.cli.") and one.parameters > COMMAND
    ]
    return [
        Row(f"functions over {PARAMETERS} parameters", str(len(wide)), wide),
        Row(f"command functions over {COMMAND} parameters", str(len(commands)), commands),
        Row(f"functions over {BODY} lines (code of the body)", str(len(long)), long),
    ]


def _style(root: Path) -> list[Row]:
    skips, long = [], []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                where = f"{path.relative_to(root)}:{number}"
                if re.search(r"#\s*fmt:\s*skip\s*$", line):
                    skips.append(where)
                if len(line) > WIDTH:
                    long.append(where)
    return [
        Row("`fmt: skip`, all Python files", str(len(skips)), skips),
        Row(f"lines over {WIDTH} characters, all Python files", str(len(long)), long),
    ]


def _roads(modules: dict[str, Module], package: str) -> list[Row]:
    public = public_functions(modules, package)
    rows = []
    for name in TASK_COMMANDS:
        if name not in public:
            rows.append(Row(f"`{name}`: rooms / modules reached", "not there", []))
            continue
        reached = reachable(modules, [public[name]])
        rooms = Counter(one.split(".")[1] for one in reached if one.count(".") > 1)
        per_room = [f"{room} {n}" for room, n in sorted(rooms.items())]
        rows.append(
            Row(f"`{name}`: rooms / modules reached", f"{len(rooms)} / {len(reached)}", per_room)
        )
    return rows


def _tests(root: Path, modules: dict[str, Module], package: str) -> list[Row]:
    have, lack = mirrored(root, modules, package)
    share = f"{len(have) / max(1, len(have) + len(lack)):.0%}"
    return [Row("modules with a like-named test", share, lack)]


def _catch_all(modules: dict[str, Module]) -> list[Row]:
    rows = []
    for name in CATCH_ALL:
        counts = {one.name: local_names(one, name) for one in modules.values()}
        rows.append(
            Row(
                f"local name `{name}` bound",
                str(sum(counts.values())),
                [f"{module}: {n}" for module, n in counts.items() if n],
            )
        )
    return rows


def table(columns: dict[str, list[Row]]) -> str:
    """A Markdown table: one column a tree."""
    names = list(columns)
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for rows in zip(*columns.values(), strict=True):
        lines.append(f"| {rows[0].what} | {' | '.join(row.figure for row in rows)} |")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure how a checkout is built.")
    parser.add_argument(
        "trees",
        nargs="*",
        type=Path,
        default=[Path(__file__).parents[1]],
        metavar="TREE",
        help="root of a checkout; default: the one this script lies in",
    )
    parser.add_argument("--details", action="store_true", help="the names behind the figures")
    asked = parser.parse_args(words)
    columns = {str(tree): house(tree.resolve()) for tree in asked.trees}
    print(table(columns))
    if asked.details:
        for tree, rows in columns.items():
            for row in rows:
                if row.names:
                    print(f"\n## {row.what} ({tree})\n")
                    print("\n".join(f"* {name}" for name in row.names))


if __name__ == "__main__":
    sys.exit(main())
