"""One HTML file about any run: pre-training, a task, trials, risk, explanations, scored variants,
vectors, a leaderboard, the demo; or the results of several runs as one page of Markdown.

It is read from the files of the folder: what was run, the data, curves, tables, pictures, warnings,
how to do it again. Nothing is loaded from outside; the numbers of each picture lie beside the page.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from epilm.errors import InputError, UsageError
from epilm.plots.page import (
    SIMULATED,
    Page,
    Section,
    footer,
    last,
    load_json,
    read_lines,
    write_page,
)
from epilm.pretraining import run_page as chapters


class Kind(NamedTuple):
    """A kind of folder, or of file, that has a page.

    Attributes
    ----------
    what : str
        The command that writes it.
    marks : function of Path
        Whether a path is one.
    page : function of Path
        Its page.
    """

    what: str
    marks: Callable[[Path], bool]
    page: Callable[[Path], Page]


def _has(*names: str) -> Callable[[Path], bool]:
    """A folder is told by any of these files."""
    return lambda folder: any((folder / name).is_file() for name in names)


def _demo(folder: Path) -> Page:
    from epilm.tour.demo_page import demo_page

    return demo_page(folder)


def _risk(folder: Path) -> Page:
    from epilm.cohorts.risk_page import risk_page

    return risk_page(folder)


def _ablation(folder: Path) -> Page:
    from epilm.trials.trial_page import ablation_page

    return ablation_page(folder)


def _study(folder: Path) -> Page:
    from epilm.trials.study_page import study_page

    return study_page(folder)


def _comparison(folder: Path) -> Page:
    from epilm.trials.trial_page import comparison_page

    return comparison_page(folder)


def _finetuned(folder: Path) -> Page:
    from epilm.finetuning.finetuned_page import finetuned_page

    return finetuned_page(folder)


def _explanation(folder: Path) -> Page:
    from epilm.explaining.explain_page import explanation_page
    from epilm.explaining.kept_explanation import load_explanation

    done = load_explanation(folder)
    return explanation_page(done, int(done.about["options"].get("pictures", 12)))


def _contributions(folder: Path) -> Page:
    from epilm.explaining.contributions import contributions_page

    return contributions_page(folder)


def _methods(folder: Path) -> Page:
    from epilm.explaining.truth import methods_page

    return methods_page(folder)


def _has_methods(folder: Path) -> bool:
    return "planted_share" in load_json(folder / "table.json", {})


def _variants(folder: Path) -> Page:
    from epilm.variants.scored_files import scored_in
    from epilm.variants.scores_page import variants_page

    path = scored_in(folder)
    assert path is not None
    return variants_page(path)


def _has_variants(folder: Path) -> bool:
    from epilm.variants.scored_files import scored_in

    return scored_in(folder) is not None


def _is_scored(path: Path) -> bool:
    from epilm.variants.scored_files import is_scored

    return is_scored(path)


def _scored_file(path: Path) -> Page:
    from epilm.variants.scores_page import variants_page

    return variants_page(path)


def _board(folder: Path) -> Page:
    from epilm.rankings.board_page import board_page

    return board_page(folder)


def _has_vectors(folder: Path) -> bool:
    from epilm.vectors.kept_vectors import vectors_in

    return vectors_in(folder) is not None


def _vectors(folder: Path) -> Page:
    from epilm.vectors.kept_vectors import vectors_in

    path = vectors_in(folder)
    assert path is not None
    return _vector_file(path)


def _is_vectors(path: Path) -> bool:
    from epilm.vectors.kept_vectors import is_vectors

    return is_vectors(path)


def _vector_file(path: Path) -> Page:
    from epilm.vectors.vectors_page import vectors_page

    return vectors_page(path)


# In this order: a demo holds runs, a comparison its rows.
KINDS = (
    Kind("demo", _has("demo.json"), _demo),
    Kind("risk", _has("risk.json"), _risk),
    Kind("ablate", _has("ablation.json", "ablation_data.json"), _ablation),
    Kind("ablate", _has("study.json"), _study),
    Kind("finetune", _has("task.json", "run.json"), _finetuned),
    Kind("compare", _has("runs.jsonl"), _comparison),
    Kind("explain", _has("explain.json"), _explanation),
    Kind("explain", _has("contributions.json"), _contributions),
    Kind("explain", _has_methods, _methods),
    Kind(
        "pretrain",
        lambda folder: all((folder / n).is_file() for n in ("recipe.json", "metrics.jsonl")),
        lambda folder: _pretraining_page(folder),
    ),
    Kind("leaderboard", _has("leaderboard.json"), _board),
    Kind("score-variants", _has_variants, _variants),
    Kind("embed", _has_vectors, _vectors),
)
FILES = (
    Kind("score-variants", _is_scored, _scored_file),
    Kind("embed", _is_vectors, _vector_file),
)


def report(
    folder: str | Path | None = None,
    out: str | Path | None = None,
    *,
    results: Sequence[str | Path] = (),
) -> Path:
    """Write a self-contained HTML page about a run or a demo, or one page of several runs' results.

    The numbers of each picture are written beside the page: `report.numbers/NAME.tsv`.

    Parameters
    ----------
    folder : path, optional
        A run of `pretrain` or `finetune`, the folder of `compare`, `ablate`, `risk`, `explain`,
        `leaderboard` or `demo`, or what `score-variants` or `embed` wrote: the file, or the folder
        that holds it.
    out : path, optional
        The HTML file; `report.html` in the folder by default, beside a file `NAME.html`. With
        `results` a folder to appear, `results` by default.
    results : sequence of path, optional
        In place of `folder`: folders of `finetune`, `compare`, `ablate` and `risk` and tables of
        scored variants, whose numbers are put together as Markdown (results.md), beside every
        number as results.tsv.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the folder is none of these.
    UsageError
        If both are given, or neither.
    """
    if (folder is None) == (not results):
        raise UsageError(
            "one run, or the results of several",
            found="neither" if folder is None else f"{folder}, and --results",
            expected="a folder, or --results and folders",
            do="epilm report RUN, or epilm report --results RUN RUN --out results",
        )
    if folder is None:
        from epilm.trials.results import write_results

        return write_results(results, "results" if out is None else out)
    path = Path(folder)
    kinds = KINDS if path.is_dir() else FILES
    kind = next((kind for kind in kinds if path.exists() and kind.marks(path)), None)
    if kind is None:
        raise _no_run(path)
    return write_page(kind.page(path), _page_of(path) if out is None else out)


def _page_of(path: Path) -> Path:
    """Where the page of a folder lies, or of a file: beside it, under its name."""
    from epilm.variants.scored_files import plain_name

    if path.is_dir():
        return path / "report.html"
    name = plain_name(path)
    return path.with_name(f"{path.stem if name == path.name else name}.html")


def _no_run(path: Path) -> InputError:
    there = sorted(p.name for p in path.iterdir())[:6] if path.is_dir() else None
    written = list(dict.fromkeys(f"`{kind.what}`" for kind in KINDS))
    if path.is_file():
        met = "a file that is no table of scored variants, and no vectors of `embed`"
    else:
        met = "no such folder" if there is None else ", ".join(there) or "an empty folder"
    return InputError(
        "there is no run to report on",
        where=str(path),
        found=met,
        expected=f"a folder written by `epilm`: {', '.join(written[:-1])} or {written[-1]}",
        do="Give the folder that was passed to --out; of parts (--shard) what epilm merge wrote.",
    )


def is_simulated(store: Path | None) -> bool:
    """Say whether a store was made from the playground (its assembly is named so)."""
    info: dict[str, Any] = load_json(store / "store.json", {}) if store else {}
    return "simulated" in str(info.get("assembly", "")).lower()


def reproduce(run: Path, recipe: dict[str, Any]) -> Section:
    """The command that makes this run again."""
    store = load_json(run / "store.json", {})
    size = f" --size {recipe['size']}" if recipe.get("size") not in (None, "base") else ""
    code = (
        f"epilm pretrain {recipe.get('name', 'RECIPE')} --store {store.get('path', 'STORE')} --out"
        f" {run}{size}"
    )
    return Section(
        "How to reproduce",
        text=[
            "The resolved recipe above says every value; what differs from the shipped recipe goes"
            " behind --set."
        ],
        code=code,
    )


def _pretraining_page(run: Path) -> Page:
    recipe = load_json(run / "recipe.json", {})
    store = chapters.find_store(run)
    valid = last(read_lines(run / "metrics.jsonl"), "valid")
    cards = []
    for key, name in (
        ("masked_kmers/covered_accuracy", "Accuracy under [MASK]"),
        ("next_segment/accuracy", "Next-segment accuracy"),
        ("matching/recall@1", "Matching recall@1"),
        ("matching/recall@10", "Matching recall@10"),
    ):
        if valid.get(key) is not None:
            chance = valid.get(f"{key}_chance")
            cards.append(
                (
                    name,
                    f"{valid[key]:.3f}",
                    f"held-out; chance {chance:.3f}" if chance else "held-out",
                )
            )
    sections = [chapters.pretraining(run)]
    if store is not None:
        sections.append(chapters.data(store))
    sections.append(reproduce(run, recipe))
    return Page(
        f"{recipe.get('name', 'run')}: pre-training",
        f"Run {run.name}, size {recipe.get('size', '?')}",
        banner=SIMULATED if is_simulated(store) else "",
        cards=cards,
        sections=sections,
        footer=footer(),
    )
