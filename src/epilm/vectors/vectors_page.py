"""The page of embedded sequences or regions: of what, how they lie in a plane, whether labels lie
together, and how many directions the vectors use.

Reads the file that `epilm embed` wrote. Pictures are of a sample of the vectors, always the same
ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.metrics.neighbours import neighbours
from epilm.plots.line_plots import drawn_curves
from epilm.plots.page import Page, Picture, PictureNumbers, Section, Table, footer
from epilm.plots.pictures import project, scatter
from epilm.plots.style import as_image, figure
from epilm.tasks.lesson import same_sample
from epilm.vectors.kept_vectors import KeptVectors, open_vectors

MOST_DRAWN = 1500
MOST_KINDS = 11  # that are told apart by colour; the others are grey
MOST_LABELS = 200  # kinds beyond which a column names things, and groups none
NEAREST = 10
DIRECTIONS = 50
ALIKE = 0.99  # mean cosine from which vectors hardly say anything
_DRAWN = 0xE4
LABELS = ("cell_type", "chrom")
OTHERS, UNNAMED = "others", "without"


class Shown(NamedTuple):
    """The vectors that are drawn: which rows, and their numbers."""

    rows: NDArray[np.int64]
    vectors: NDArray[np.float64]


def vectors_page(path: Path) -> Page:
    """Collect the page of a file of vectors."""
    kept = open_vectors(path)
    rows = same_sample(np.arange(len(kept), dtype=np.int64), MOST_DRAWN, 0, _DRAWN)
    shown = Shown(rows, kept.take(rows).astype(np.float64))
    labels = _labels(kept, rows)
    alike = mean_cosine(shown.vectors)
    about = kept.about.get("neighbours", {})
    cards = [("Vectors", f"{len(kept):,}", f"of {kept.width} numbers")]
    if about:
        cards += [
            (f"Neighbours of the same {about['by']}", f"{about['purity']:.3f}", _chance(about)),
            ("Silhouette", f"{about['silhouette']:.3f}", "from -1 to 1"),
        ]
    cards.append(("Mean cosine of two vectors", f"{alike:.3f}", "1: all are alike"))
    sections = [_what(kept, alike)]
    if len(rows) >= 5:
        sections += [_plane(kept, shown, labels), _directions(shown)]
    return Page(
        f"Vectors: {path.name}",
        f"{len(kept):,} vectors of {kept.about.get('source') or path.name}",
        cards=cards,
        sections=sections,
        footer=footer(),
    )


def _chance(about: dict[str, Any]) -> str:
    return f"of the {about['k']} nearest; chance {about['chance']:.3f}"


def mean_cosine(vectors: NDArray[np.float64]) -> float:
    """Give the mean cosine of two different vectors; 1 where there are fewer than two.

    Examples
    --------
    >>> round(mean_cosine(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])), 3)
    0.333
    """
    n = len(vectors)
    if n < 2:
        return 1.0
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    return float(((unit.sum(0) ** 2).sum() - (unit**2).sum()) / (n * (n - 1)))


def _labels(kept: KeptVectors, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Columns that group the drawn vectors: name -> label of each, "" where there is none."""
    by = kept.about.get("neighbours", {}).get("by")
    out = {}
    for name in dict.fromkeys([*([by] if by else []), *LABELS]):
        if name in kept.columns:
            values = np.where(kept.columns[name] == ".", "", kept.columns[name])[rows]
            kinds = set(values.tolist()) - {""}
            if name == by or 2 <= len(kinds) <= MOST_LABELS:
                out[name] = values
    return out


def _what(kept: KeptVectors, alike: float) -> Section:
    about, model = kept.about, kept.about.get("model", {})
    columns = kept.columns
    cells = sorted(set(columns.get("cell_type", np.array([])).tolist()) - {""})
    facts = [
        ("Model", str(model.get("path", ""))),
        ("Kind", f"{model['name']}, k = {model['k']}" if model else ""),
        ("Digest of its weights", str(model.get("fingerprint", ""))),
        ("Token vectors become one by", str(about.get("pool", ""))),
        ("Of", str(about.get("source", ""))),
        ("Window", f"{about['window']} bp" if about.get("window") else ""),
        ("Store", str(about.get("store", ""))[:16]),
        ("Assembly", str(about.get("assembly", ""))),
        ("Vectors", f"{len(kept):,} of {kept.width} numbers"),
        ("Cell types", ", ".join(cells[:8]) + (f" and {len(cells) - 8} more" * (len(cells) > 8))),
        ("Of several pieces", f"{int((columns['pieces'] > 1).sum()):,}"),
    ]
    section = Section("What was embedded", facts=[(name, value) for name, value in facts if value])
    section.text += [str(note) for note in about.get("notes", [])]
    if not about:
        section.text.append("A .npy file keeps no word of the model: .h5ad and .parquet do.")
    if alike > ALIKE:
        section.warnings.append(
            f"The vectors are nearly equal (mean cosine {alike:.4f}). Nothing that is read off"
            " them says much: another --pool, or a model that has learned."
        )
    return section


def _plane(kept: KeptVectors, shown: Shown, labels: dict[str, NDArray[Any]]) -> Section:
    """Vectors in the plane, coloured by each label, and the numbers that say what one sees."""
    n = len(shown.rows)
    points = project(shown.vectors)
    section = Section(
        "Do labels lie together?",
        text=[
            "t-SNE keeps neighbours and loses distances: what looks far apart need not be. Read the"
            " numbers first. A label that should not matter, such as the chromosome, tells what"
            " chance looks like."
        ],
    )
    if n < len(kept):
        section.text.append(f"Drawn are {n:,} of {len(kept):,} vectors.")
    section.tables.append(_compared(kept, shown, labels))
    wanted: list[str] = ["name", "chrom", "start", "end", *labels]
    heads = [name for name in dict.fromkeys(wanted) if name in kept.columns]
    columns = [kept.columns[name][shown.rows].tolist() for name in heads]
    cells = [[*of, float(x), float(y)] for *of, (x, y) in zip(*columns, points)]
    for name, values in labels.items() or [("", np.full(n, "all"))]:
        with figure(6.0, 4.2) as (fig, (ax,)):
            title = f"Coloured by {name}" if name else "All vectors"
            scatter(ax, points, _grouped(values).tolist(), title)
            numbers = PictureNumbers(f"plane.{name or 'all'}", [*heads, "x", "y"], cells)
            alt = f"t-SNE of the vectors, {title.lower()}"
            section.pictures.append(Picture(as_image(fig, "png"), alt=alt, numbers=(numbers,)))
    return section


def _grouped(values: NDArray[Any]) -> NDArray[Any]:
    """The commonest kinds by name, all others as one."""
    names, counts = np.unique(values[values != ""], return_counts=True)
    named = names[np.argsort(-counts, kind="stable")[:MOST_KINDS]]
    grouped = np.where(np.isin(values, named), values, OTHERS)
    return np.where(values == "", UNNAMED, grouped)


def _compared(kept: KeptVectors, shown: Shown, labels: dict[str, NDArray[Any]]) -> Table:
    """Neighbours of each label: those that `embed` compared, else of the drawn vectors."""
    about = kept.about.get("neighbours")
    rows: list[Sequence[Any]] = []
    for name, values in labels.items():
        if about and about["by"] == name:
            keys = ("n", "labels", "purity", "chance", "silhouette")
            rows.append([name, *(about[key] for key in keys)])
            continue
        known = values != ""
        if known.sum() >= 3 and len(set(values[known].tolist())) >= 2:
            said = neighbours(shown.vectors[known], values[known], NEAREST)
            rows.append([name, said.n, said.labels, said.purity, said.chance, said.silhouette])
    heads = ["label", "vectors", "kinds", "neighbours alike", "by chance", "silhouette"]
    return Table(heads, rows, f"Of the {NEAREST} nearest neighbours, how many have the same label")


def _directions(shown: Shown) -> Section:
    """How much of the spread lies in the first principal components."""
    centred = shown.vectors - shown.vectors.mean(0)
    spread = np.linalg.svd(centred, compute_uv=False) ** 2
    share = spread / spread.sum() if spread.sum() > 0 else spread
    used = float(share.sum() ** 2 / (share**2).sum()) if share.any() else 0.0
    cells = [
        [at + 1, float(part), float(whole)]
        for at, (part, whole) in enumerate(zip(share, np.cumsum(share)))
    ]
    count = min(DIRECTIONS, len(share))
    points = [((at + 1) / count, whole) for at, _, whole in cells[:count] for at in [at - 1]]
    with figure(4.6, 3.1) as (fig, (ax,)):
        drawn_curves(
            ax,
            {"": [(0.0, 0.0), *points]},
            title="Spread in the first components",
            labels=(f"principal components ({count} of {len(share)})", "share of the spread"),
        )
        ax.set_xticks([0, 0.5, 1], ["0", f"{count / 2:g}", f"{count}"])
        numbers = PictureNumbers("directions", ["component", "share", "sum"], cells)
        alt = "share of the spread in the first principal components"
        picture = Picture(as_image(fig), alt=alt, numbers=(numbers,))
    return Section(
        "How many directions do they use?",
        text=[
            f"As many as {used:.1f} directions of equal spread would (participation ratio), of"
            f" {len(share)}. A few of many: the vectors have collapsed onto them."
        ],
        pictures=[picture],
    )
