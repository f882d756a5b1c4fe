"""The site: what is generated is whole, the navigation names every page, and it builds strictly."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import chromium
import epilm

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def script(name):
    spec = importlib.util.spec_from_file_location(f"{name}_script", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def documentation():
    return script("documentation")


@pytest.fixture(scope="module")
def gallery():
    return script("gallery")


def pages_of(navigation):
    for entry in navigation:
        for inner in entry.values() if isinstance(entry, dict) else [entry]:
            yield from pages_of(inner) if isinstance(inner, list) else [inner]


def test_the_navigation_names_every_page_once():
    configuration = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    named = sorted(pages_of(configuration["project"]["nav"]))
    assert named == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_every_public_function_and_folder_has_its_page(documentation):
    pages = documentation.api_pages()
    for name in epilm.__all__:
        if name != "__version__":
            assert f"## epilm.{name}\n" in pages["functions.md"]
    modules = {
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for path in (ROOT / "src" / "epilm").glob("*/**/*.py")
        if not path.name.startswith("_") and "cli" not in path.parts
    }
    said = {line for text in pages.values() for line in re.findall(r"^::: (\S+)$", text, re.M)}
    assert modules <= said


def test_a_folder_that_is_not_there_is_refused(documentation):
    with pytest.raises(SystemExit, match=r"no folder of epilm is called \['tokenz'\].*'tokens'"):
        documentation.api_pages(only=["tokenz"])


def test_what_a_package_defines_is_read_not_imported(documentation, tmp_path):
    package = tmp_path / "pkg"
    for folder, text in (
        ("", '_PUBLIC = {"go": "pkg.road.loop"}'),
        ("road", '"""A road.\n\nB."""'),
    ):
        (package / folder).mkdir(parents=True, exist_ok=True)
        (package / folder / "__init__.py").write_text(text)
    (package / "road" / "loop.py").write_text("import nothing_of_the_kind\n")
    pages = documentation.api_pages(package)
    assert list(pages) == ["index.md", "functions.md", "road.md"]
    assert "## pkg.go\n\n::: pkg.road.loop.go\n" in pages["functions.md"]
    assert pages["road.md"].startswith("# pkg.road\n\nA road.\n\n## pkg.road.loop\n\n::: pkg.road.")


def test_fences_that_tests_read_become_plain_ones(documentation):
    text = "```python runnable\n1\n```\n\n```tsv file=a/b.tsv\nx\n```\n\n```bash\nls\n```\n"
    assert documentation.plain_fences(text) == (
        '```python\n1\n```\n\n```text title="a/b.tsv"\nx\n```\n\n```bash\nls\n```\n'
    )


def test_pictures_that_are_not_drawn_are_grey_boxes_and_say_so(documentation, tmp_path):
    drawn = tmp_path / "pictures"
    drawn.mkdir()
    (drawn / "explain.png").write_bytes(b"png")
    documentation.gather(tmp_path / "out", drawn, only=["tokens"])
    page = (tmp_path / "out" / "docs" / "gallery.md").read_text()
    assert "pictures/gallery/explain.png" in page
    assert "pictures/gallery/ranks.svg" in page
    box = tmp_path / "out" / "docs" / "pictures" / "gallery" / "ranks.svg"
    assert "python tools/gallery.py draws it" in box.read_text()


def test_every_picture_of_the_gallery_is_made_on_its_page(gallery):
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"!\[[^\]]+\]\(pictures/gallery/([\w.-]+)\)", text))
    assert shown == set(gallery.pictures(text))
    for source, _ in gallery.pictures(text).values():
        folder = re.escape(source.removesuffix("/" + Path(source).name))
        page = rf"report {re.escape(Path(source).stem)}\.\w+"  # of a file, beside it
        assert re.search(rf"^epilm (.*{folder}|{page})$", text, re.M), f"nothing makes {source}"


def test_a_picture_that_the_page_has_not_is_refused(gallery, tmp_path):
    with pytest.raises(SystemExit, match=r"the page has no picture \['nope.png'\].*'explore.png'"):
        gallery.draw(tmp_path, tmp_path, ["nope.png"])


def test_without_a_browser_a_page_is_not_drawn_and_it_is_said(gallery, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="no browser to draw a.html with: install one of"):
        gallery.photograph(tmp_path / "a.html", tmp_path / "a.png")


@pytest.mark.twin
@pytest.mark.skipif(chromium.program() is None, reason="no Chromium at hand")
def test_the_gallery_is_drawn_by_its_own_commands(gallery, tmp_path):
    for path in gallery.draw(tmp_path / "work", tmp_path / "out"):
        picture = np.asarray(PIL.Image.open(path).convert("L"), float)
        assert picture.std() > 10, f"{path.name} is nearly one colour"


def absent():
    names = script("documentation").missing()  # none where `make` installed the environment
    return pytest.mark.skipif(bool(names), reason=f"the extra docs is missing: {names}")


@pytest.mark.slow
@absent()
def test_the_site_builds_strictly(documentation, tmp_path):
    first = documentation.build(tmp_path / "site", only=["tokens"])
    text = first.read_text(encoding="utf-8")
    assert 'href="tutorials/binding.html"' in text
    functions = (first.parent / "api" / "functions.html").read_text(encoding="utf-8")
    assert "micro-batch" in functions  # of a docstring, not of the page that asks for it
    tokens = (first.parent / "api" / "tokens.html").read_text(encoding="utf-8")
    assert 'id="epilm.tokens.kmers' in tokens
    outside = re.findall(r"<(?:script|link)[^>]+(?:src|href)=\"https?://[^\"]+", text)
    assert outside == []


@pytest.mark.twin
@absent()
def test_a_broken_link_stops_the_build(documentation, tmp_path, monkeypatch):
    gather = documentation.gather

    def broken(out, pictures, only):
        configuration = gather(out, pictures, only)
        page = out / "docs" / "glossary.md"
        page.write_text(page.read_text() + "\n[away](not-there.md)\n")
        return configuration

    monkeypatch.setattr(documentation, "gather", broken)
    with pytest.raises(SystemExit, match="the site was not built"):
        documentation.build(tmp_path / "site", only=["tokens"])
