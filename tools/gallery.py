"""The pictures of docs/gallery.md, each made by the command above it.

    python tools/gallery.py [--work FOLDER] [--out FOLDER] [--only NAME ...]

Types the page's commands in `--work` (build/gallery-work) and draws what its comments name into
`--out` (build/gallery): `<!-- picture: NAME.png of FILE -->`, where FILE is a picture, or an HTML
page of which a headless Chromium takes a picture (`of FILE, 1700 high`: that many
pixels). A folder that is there is not made again.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "gallery.md"
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"<!-- picture: (\S+\.png) of (\S+?)(?:, (\d+) high)? -->")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1200, 900  # of a page, where its comment says no height


def pictures(text: str) -> dict[str, tuple[str, int]]:
    """Name of each picture of the page, the file it is made of, and how high a page is drawn.

    Examples
    --------
    >>> pictures("<!-- picture: a.png of run/report.html, 1700 high -->")
    {'a.png': ('run/report.html', 1700)}
    """
    return {name: (file, int(high or HEIGHT)) for name, file, high in PICTURE.findall(text)}


def type_commands(text: str, work: Path) -> None:
    """Write the page's files and run its commands, each in the folder.

    Parameters
    ----------
    text : str
        The page.
    work : path
        Where the commands are typed. One whose output is there already is left out.
    """
    work.mkdir(parents=True, exist_ok=True)
    for kind, body in BLOCK.findall(text):
        if "file=" in kind:
            (work / kind.partition("file=")[2]).write_text(body, encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
    }
    for kind, body in BLOCK.findall(text):
        for line in body.splitlines() if kind == "bash" else ():
            words = shlex.split(line, comments=True)[1:]
            target = words[words.index("--out") + 1] if "--out" in words else words[1]
            if words[0] != "report" and (work / target).exists():
                continue
            print(line, flush=True)
            done = subprocess.run(
                [sys.executable, "-m", "epilm", *words], cwd=work, env=environment, check=False
            )
            if done.returncode:
                raise SystemExit(f"exit code {done.returncode}: {line}")


def photograph(page: Path, target: Path, height: int = HEIGHT) -> None:
    """Take a picture of an HTML page.

    Parameters
    ----------
    page : path
        The page; nothing is asked of a network.
    target : path
        The PNG.
    height : int
        How much of the page, in pixels from its top.
    """
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise SystemExit(f"no browser to draw {page.name} with: install one of {BROWSERS}")
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}"]
        command += ["--virtual-time-budget=20000", f"--screenshot={target}"]
        subprocess.run(
            [*command, f"file://{page.resolve()}"], check=True, timeout=300, capture_output=True
        )
    if not target.is_file():
        raise SystemExit(f"{browser} drew no picture of {page}")


def draw(work: Path, out: Path, only: list[str] | None = None) -> list[Path]:
    """Type the page, and draw its pictures.

    Parameters
    ----------
    work, out : path
        Where the commands are typed; where the pictures lie afterwards.
    only : list of str, optional
        Pictures to draw; all by default.

    Returns
    -------
    list of Path
        The pictures.
    """
    text = PAGE.read_text(encoding="utf-8")
    named = pictures(text)
    if unknown := sorted(set(only or ()) - set(named)):
        raise SystemExit(f"the page has no picture {unknown}: {sorted(named)}")
    type_commands(text, work)
    out.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in only or named:
        file, height = named[name]
        source, target = work / file, out / name
        if source.suffix == ".html":
            photograph(source, target, height)
        else:
            shutil.copyfile(source, target)
        drawn.append(target)
    return drawn


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "gallery-work")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gallery")
    parser.add_argument("--only", nargs="*", help="pictures to draw, for example explore.png")
    words = parser.parse_args()
    print(*draw(words.work, words.out, words.only), sep="\n")


if __name__ == "__main__":
    main()
