"""The documentation as a site: the pages of docs/, and the API pages that the docstrings make.

    python tools/documentation.py [--out FOLDER] [--pictures FOLDER] [--rooms ROOM ...]

Everything is put together under `--out` (build/documentation), nothing generated lies in docs/. The
site is FOLDER/site; open its index.html. A link or an anchor that leads nowhere stops the build
(zensical's strict mode). The list of API pages is read off the package, so it cannot rot.
Needs the extra `docs`: pip install -c constraints.txt -e '.[docs]'
"""

import argparse
import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "epilm"
CONFIGURATION = ROOT / "zensical.toml"
API_OF_CONFIGURATION = '{ "API" = ["api/index.md"] }'
# Data beside the code, and thin functions whose options `epilm COMMAND --help` prints.
NO_ROOMS = ("cli",)
NEEDED = ("zensical", "mkdocstrings", "mkdocstrings_handlers.python")

# A fence says more than its language: ```python runnable, ```csv file=any.csv. Our tests read that,
# Markdown's fences do not know it.
FENCE = re.compile(r"^```(\w+) (.+)$", re.MULTILINE)
PICTURE = re.compile(r"!\[[^\]]*\]\((?:\.\./)*pictures/gallery/([\w.-]+)\)")
PLACEHOLDER = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="120">'
    '<rect width="640" height="120" fill="#eee"/><text x="20" y="65" font-family="sans-serif">'
    "not drawn in this build: python tools/gallery.py draws it</text></svg>\n"
)


def first_paragraph(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line; "" where there is none.

    Parameters
    ----------
    path : path
        A file of Python; it is read, not imported.
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def public_functions(package: Path = PACKAGE) -> dict[str, str]:
    """Name of each public function, and the module that defines it: `_PUBLIC` of the package.

    Parameters
    ----------
    package : path
        The folder of the package; its `__init__.py` is read, not imported.
    """
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_PUBLIC":
            return dict(ast.literal_eval(node.value))
    raise SystemExit(f"{package}/__init__.py has no table _PUBLIC of public functions")


def rooms(package: Path = PACKAGE) -> list[str]:
    """Names of the folders of the package that hold code.

    Parameters
    ----------
    package : path
        The folder of the package.
    """
    folders = sorted(path.parent for path in package.glob("*/__init__.py"))
    return [folder.name for folder in folders if folder.name not in NO_ROOMS]


def room_page(package: Path, room: str) -> str:
    """The page of one folder: a heading a module, and what its docstrings say.

    Parameters
    ----------
    package : path
        The folder of the package.
    room : str
        A folder in it.
    """
    name = f"{package.name}.{room}"
    about = first_paragraph(package / room / "__init__.py")
    parts = [f"# {name}", about]
    for path in sorted((package / room).rglob("*.py")):
        if path.name.startswith("_"):
            continue
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        parts.append(f"## {module}\n\n::: {module}\n    options:\n      heading_level: 3")
    return "\n\n".join(part for part in parts if part) + "\n"


def api_pages(package: Path = PACKAGE, only: Iterable[str] | None = None) -> dict[str, str]:
    """Text of the API pages by file name: an index, the public functions, a page a folder.

    Parameters
    ----------
    package : path
        The folder of the package.
    only : iterable of str, optional
        Folders that get a page; all by default.

    Returns
    -------
    dict
        `index.md` first, then the pages in the order of the navigation.
    """
    chosen = rooms(package) if only is None else list(only)
    unknown = sorted(set(chosen) - set(rooms(package)))
    if unknown:
        raise SystemExit(f"no folder of {package.name} is called {unknown}: {rooms(package)}")
    functions = public_functions(package)
    name = package.name
    table = "\n".join(
        f"| [{name}.{room}]({room}.md) | {first_paragraph(package / room / '__init__.py')} |"
        for room in chosen
    )
    listed = " · ".join(
        f"[{function}](functions.md#{name}{function})" for function in sorted(functions)
    )
    pages = {
        "index.md": "# API reference\n\nMade from the docstrings when the site is built.\n\n"
        f"**Public functions**: {listed}\n\nEach but `load` is a command of the same name too.\n\n"
        f"**Folders of the package**, from [the floors](../explanation/architecture.md):\n\n"
        f"| folder | what is in it |\n|---|---|\n{table}\n",
        "functions.md": "# Public functions\n\n`import epilm` finds them on first use.\n\n"
        + "\n".join(
            f"## {name}.{function}\n\n::: {module}.{function}\n"
            for function, module in sorted(functions.items())
        ),
    }
    return pages | {f"{room}.md": room_page(package, room) for room in chosen}


def plain_fences(text: str) -> str:
    """Markdown with fences that its reader knows: what a file is called becomes its title.

    Examples
    --------
    >>> plain_fences("```python runnable")
    '```python'
    >>> plain_fences("```csv file=any.csv")
    '```text title="any.csv"'
    """

    def plain(fence: re.Match[str]) -> str:
        language, rest = fence.groups()
        if rest.startswith("file="):
            return f'```text title="{rest.removeprefix("file=")}"'
        return f"```{language}"

    return FENCE.sub(plain, text)


def gather(out: Path, pictures: Path | None, only: Iterable[str] | None = None) -> Path:
    """Put pages, API pages, pictures and the configuration into one folder.

    Parameters
    ----------
    out : path
        The folder; what lay in it from an earlier build is replaced.
    pictures : path, optional
        Pictures of the gallery (`tools/gallery.py`); a page's picture that is not there is replaced
        by a grey box that says so.
    only : iterable of str, optional
        Folders of the package that get an API page; all by default.

    Returns
    -------
    Path
        The configuration to build with.
    """
    pages = out / "docs"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages)
    made = api_pages(only=only)
    (pages / "api").mkdir(exist_ok=True)
    for name, text in made.items():
        (pages / "api" / name).write_text(text, encoding="utf-8")
    drawn = pages / "pictures" / "gallery"
    drawn.mkdir(parents=True, exist_ok=True)
    for page in pages.rglob("*.md"):
        text = plain_fences(page.read_text(encoding="utf-8"))
        for name in PICTURE.findall(text):
            if pictures is not None and (pictures / name).is_file():
                shutil.copyfile(pictures / name, drawn / name)
            elif not (drawn / name).exists():
                box = Path(name).with_suffix(".svg").name
                (drawn / box).write_text(PLACEHOLDER, encoding="utf-8")
                text = text.replace(f"pictures/gallery/{name}", f"pictures/gallery/{box}")
        page.write_text(text, encoding="utf-8")
    source = out / "src"
    if not source.is_symlink():
        source.symlink_to(ROOT / "src", target_is_directory=True)
    configuration = CONFIGURATION.read_text(encoding="utf-8")
    if API_OF_CONFIGURATION not in configuration:
        raise SystemExit(f"{CONFIGURATION.name} has no line {API_OF_CONFIGURATION}")
    listed = ", ".join(f'"api/{name}"' for name in made)
    target = out / CONFIGURATION.name
    target.write_text(
        configuration.replace(API_OF_CONFIGURATION, f'{{ "API" = [{listed}] }}'), encoding="utf-8"
    )
    return target


def missing() -> list[str]:
    """Packages of the extra `docs` that are not installed."""

    def there(name: str) -> bool:
        try:
            return importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            return False

    return [name for name in NEEDED if not there(name)]


def build(out: Path, pictures: Path | None = None, only: Iterable[str] | None = None) -> Path:
    """Build the site, strictly.

    Parameters
    ----------
    out : path
        Where it is put together.
    pictures : path, optional
        Pictures of the gallery.
    only : iterable of str, optional
        Folders of the package that get an API page; all by default.

    Returns
    -------
    Path
        The site's first page.
    """
    if absent := missing():
        raise SystemExit(
            f"not installed: {', '.join(absent)}. Install the extra:"
            " pip install -c constraints.txt -e '.[docs]'"
        )
    out.mkdir(parents=True, exist_ok=True)
    configuration = gather(out, pictures, only)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run([*command, "-f", configuration.name], cwd=out, check=False)
    if done.returncode:
        raise SystemExit(f"the site was not built: see the warnings above (pages in {out}/docs)")
    return out / "site" / "index.html"


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "documentation")
    parser.add_argument("--pictures", type=Path, default=ROOT / "build" / "gallery")
    parser.add_argument("--rooms", nargs="*", help="folders that get an API page; all by default")
    words = parser.parse_args()
    print(build(words.out.resolve(), words.pictures, words.rooms))


if __name__ == "__main__":
    main()
