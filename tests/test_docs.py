"""What the documentation says can be typed: every command parses, every option and link exists, the
tutorial runs.

`EPILM_TEST_ALL_DOCS=1` also runs the commands of the how-to pages, which takes minutes.
"""

import dataclasses
import functools
import os
import re
import shlex
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import toy_splice
from epilm.cli import COMMANDS, OF_TASKS, application, main
from epilm.recipes.recipe import Recipe
from epilm.tasks import TASKS
from epilm.training.learning import option_name

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorials" / "first-run.md"
TASK_TUTORIALS = ("explain", "variants", "own-data", "promoters", "tfbs", "risk")
OWN_TUTORIALS = ("splice", "binding")  # need the simulated files alone
EXPLORE = DOCS / "how-to" / "explore.md"  # goes on from the tutorial's folders
HOW_TO = [DOCS / "how-to" / f"{name}.md" for name in ("build", "pretrain", "finetune", "embed")]
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Options of pip, torchrun and other programs that the pages name.
FOREIGN = {
    "--find-links",
    "--extra-index-url",
    "--compile-bytecode",
    "--nproc-per-node",  # and four more of torchrun
    "--nnodes",
    "--ntasks-per-node",  # of srun
    "--node-rank",
    "--master-addr",
    "--master-port",
    "--logdir",
    "--help",
    "--version",
    "--minutes",
    "--only",
    "--tiny",  # of benchmarks.gpu
    "--kills",  # of tools/kills.py
    "--keep",
    "--coverage",  # of tools/fuzz.py
    "--rooms",  # of tools/documentation.py
    "--inputs",  # of tools/fuzz.py
    "--from",
    "--array",  # of sbatch
    "--draw",  # of benchmarks.few_labels
    "--element",  # of benchmarks.risk_simulated
    "--pull",  # of tools/two_hosts.py
    "--rate",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks that call epilm, continued lines joined."""
    text = page.read_text(encoding="utf-8")
    shell = [body for kind, body in BLOCK.findall(text) if kind == "bash"]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("epilm ")]


def joined(text: str) -> list[str]:
    """Lines, those that a backslash (in a docstring two) breaks in one; `# ` of a comment left
    out in between.
    """
    return re.sub(r"\\\\?\n[# ]+", " ", text).splitlines()


def examples_in_code() -> list[tuple[str, str]]:
    """Commands in the heads of recipes and in the help of commands; `...` stands for more and is
    left out.
    """
    files = [*ROOT.glob("src/epilm/recipes/*.yaml"), *ROOT.glob("src/epilm/cli/*.py")]
    found = [
        (path.name, line.lstrip("# ").rstrip())
        for path in files
        for line in joined(path.read_text(encoding="utf-8"))
        if re.match(r"[# ]+epilm [a-z]+ ", line)
        and "..." not in line
        and " --help " not in line  # prose
    ]
    return [(name, line) for name, line in found if line.split()[1] in COMMANDS]


SAID = [(name_of(page), line) for page in PAGES for line in commands(page)] + examples_in_code()


def test_the_pages_are_read():
    assert len(SAID) > 40
    assert len(commands(TUTORIAL)) > 5


def known_task(words: list[str]) -> list[str]:
    """The words, with the task that a run on the page would name: the pages have no runs."""
    if words[0] == "finetune" or words[0] not in OF_TASKS or "--task" in words:
        return words
    if "runs/splice" in words:
        return [*words, "--task", "splice"]
    for task in ("expression", "contacts"):
        if f"runs/{task}" in words:
            return [*words, "--task", task]
    return [*words, "--task", "binding" if "--cell" in words else "promoter"]


@pytest.mark.parametrize(("where", "line"), SAID)
def test_a_documented_command_parses(where, line):
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in COMMANDS, f"{where}: there is no command {words[0]}"
    if words[-1:] != ["--help"]:
        application(words[0], known_task(words)).parse_args(
            words, exit_on_error=False, print_error=False
        )


@functools.cache
def known_options() -> frozenset[str]:
    """Every option of every command and task, and those of other programs."""
    known = set(FOREIGN)
    for command in COMMANDS:
        arguments = application(command)[command].assemble_argument_collection()
        names = {name.removeprefix("--") for argument in arguments for name in argument.names}
        if command in OF_TASKS:
            names |= {
                option_name(spec, field.name).removeprefix("--")
                for spec in (task.options_of(command) for task in TASKS.values())
                for field in dataclasses.fields(spec)
            }
        known |= {f"--{name}" for name in names} | {f"--no-{name}" for name in names}
    return frozenset(known)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_documented_option_exists(page):
    known = known_options()
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8")))
    assert said <= known, f"{name_of(page)} names {sorted(said - known)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_leads_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    # Pictures of the gallery are drawn, not kept (tests/tools/test_documentation.py).
    kept = [target for target in targets if "pictures/gallery/" not in target]
    missing = [target for target in kept if not (page.parent / target).exists()]
    assert not missing, f"{name_of(page)} links to {missing}"


def keys(kind: type, path: str) -> list[str]:
    hints = typing.get_type_hints(kind)
    found = [(f"{path}.{field.name}", hints[field.name]) for field in dataclasses.fields(kind)]
    return [
        key
        for name, inner in found
        for key in (keys(inner, name) if dataclasses.is_dataclass(inner) else [name])
    ]


def test_every_key_of_a_recipe_is_documented():
    text = (DOCS / "reference" / "switches.md").read_text(encoding="utf-8")
    hints = typing.get_type_hints(Recipe)
    known = [
        key
        for part, kind in hints.items()
        if dataclasses.is_dataclass(kind)
        for key in keys(kind, part)
    ]
    assert len(known) > 60
    assert [key for key in known if f"`{key}`" not in text] == []


SCORE = re.compile(r"(?<![\d.,])0\.\d{2,4}\b")


@pytest.mark.parametrize("page", sorted((DOCS / "models").glob("*.md")), ids=name_of)
def test_a_models_numbers_are_those_of_the_results(page):
    pages = [*DOCS.glob("results*.md"), *(DOCS / "tables").rglob("*.md")]
    measured = "".join(each.read_text(encoding="utf-8") for each in pages)
    said = set(SCORE.findall(page.read_text(encoding="utf-8")))
    assert said <= set(SCORE.findall(measured)), f"{name_of(page)}: measured nowhere"


def test_every_recipe_stands_on_a_models_page():
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "models").glob("*.md"))
    recipes = {path.stem for path in (ROOT / "src" / "epilm" / "recipes").glob("*.yaml")}
    assert {name for name in recipes if f"`{name}`" not in text} == set()


# Commands whose folder another page of one test may have made, and where they name it.
SHARED = {"simulate": 1, "build": "--out", "pretrain": "--out"}


def made_before(words: list[str], done: dict[str, list[str]]) -> bool:
    """Whether a command's folder is there, made by the same words on an earlier page."""
    if words[0] not in SHARED:
        return False
    key = SHARED[words[0]]
    folder = words[key] if isinstance(key, int) else words[words.index(key) + 1]
    if folder in done:
        assert done[folder] == words, f"two pages make {folder}, by different commands"
        return True
    done[folder] = words
    return words[0] == "simulate" and Path(folder).exists()


def run(page: Path, done: dict[str, list[str]] | None = None) -> None:
    """Type a page's commands in the folder we are in, and write the files it shows.

    `done` keeps what made the folders that several pages share: such a command is typed once.
    """
    done = {} if done is None else done
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if "file=" in kind:
            Path(kind.partition("file=")[2]).write_text(body, encoding="utf-8")
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        if made_before(words, done):
            continue
        if any(word.startswith("train.devices") for word in words):
            # The second process starts this program again, which must not be pytest.
            code = subprocess.run([sys.executable, "-m", "epilm", *words], check=False).returncode
        else:
            code = main(words)
        assert code == 0, f"{name_of(page)}: {line}"


@pytest.mark.slow
def test_the_tutorial_and_the_python_examples_run(tmp_path, monkeypatch):
    # One test, so that two test processes do not each simulate, build and pre-train.
    monkeypatch.chdir(tmp_path)
    done: dict[str, list[str]] = {}
    run(TUTORIAL, done)
    for name in ("play.store/store.json", "runs/promoter/report.html", "scores.tsv"):
        assert Path(name).is_file()
    assert main(["export", "runs/play", "bert_play"]) == 0
    run(EXPLORE)
    for name in (
        "loci.html",
        "gene.html",
        "hub/hub.txt",
        "why.html",
        "variants.html",
        "table.html",
    ):
        assert Path(name).is_file()
    for name in TASK_TUTORIALS:
        run(TUTORIAL.with_name(f"{name}.md"), done)
    written = "one/report.html top.html runs/activity/metrics.json starts.tsv sites/table.tsv"
    for name in (*written.split(), "risk/risk.json"):
        assert Path(name).is_file(), name
    for page in PAGES:
        for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind == "python runnable":
                exec(compile(body, name_of(page), "exec"), {"__name__": "example"})


def test_every_tutorial_is_run():
    pages = {page.stem for page in TUTORIAL.parent.glob("*.md") if commands(page)}
    assert pages == {TUTORIAL.stem, *TASK_TUTORIALS, *OWN_TUTORIALS}


@pytest.mark.twin  # ten epochs of the published network; tests/tasks/splice types the same
def test_the_page_of_splice_sites_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    genome, _ = toy_splice.write(tmp_path)
    genome.rename("hg19.fa")
    run(DOCS / "how-to" / "splice.md")
    assert Path("sites.tsv.gz").is_file()
    assert len(list(Path().glob("splice.*.bw"))) == 4


@pytest.mark.slow
def test_what_needs_the_simulated_files_alone_runs(tmp_path, monkeypatch):
    # One test, for one simulation; the other half of the pages goes on from a pre-trained run.
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "PLAY", "--size", "tiny"]) == 0
    for name in OWN_TUTORIALS:
        run(TUTORIAL.with_name(f"{name}.md"))
    for name in ("typeC.bw", "splice.tsv.gz", "why_splice/report.html"):
        assert Path(name).is_file(), name
    for name, table, lines in (("expression", "levels.tsv", 20), ("contacts", "pairs.tsv", 3)):
        run(DOCS / "how-to" / f"{name}.md")
        assert len(Path(table).read_text(encoding="utf-8").splitlines()) >= lines


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("EPILM_TEST_ALL_DOCS"), reason="takes minutes; EPILM_TEST_ALL_DOCS=1 runs it"
)
def test_the_how_to_pages_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for page in HOW_TO:
        run(page)
