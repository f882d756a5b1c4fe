"""What states, signals and motif scores add to a score: each put out in turn, by what is unknown.

A state becomes the unknown state, a signal 0 (no reads, no site), a motif's score or an entry of
the factor matrix 0, which is its mean. A contribution is the output less that without it; since
inputs are not independent, contributions need not add up.
Axes: N altered windows, L tokens, S signals, R regions, F factors.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epilm.atomic import atomic_folder, write_json
from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.explaining.asked_frames import read_frames
from epilm.explaining.explain_options import ExplainOptions
from epilm.explaining.frames import Frame
from epilm.explaining.subject import PlacedSubject, Subject, TaskSubject
from epilm.plots.page import (
    Page,
    Picture,
    PictureNumbers,
    Section,
    Table,
    footer,
    load_json,
)
from epilm.tokens.state_tokens import N_SPECIAL_STATES, UNKNOWN_STATE

KEPT, TABLE = "contributions.json", "contributions.tsv"
MOST_BARS = 24
HEADER = ("region", "stream", "name", "chrom", "start", "end", "output", "contribution")


@dataclass(frozen=True)
class Contributions:
    """What each input of a score is worth.

    Attributes
    ----------
    rows : list of tuple
        Columns of HEADER.
    about : dict
    notes : list of str
    """

    rows: list[tuple[Any, ...]]
    about: dict[str, Any]
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """Figures for JSON: the mean contribution of each input."""
        means: dict[str, list[float]] = {}
        for row in self.rows:
            means.setdefault(f"{row[1]}:{row[2]}", []).append(row[7])
        ordered = sorted(means, key=lambda key: -abs(float(np.mean(means[key]))))
        return self.about | {
            "rows": len(self.rows),
            "mean_contribution": {key: round(float(np.mean(means[key])), 6) for key in ordered},
        }

    def text(self) -> str:
        """Lines to print."""
        said = self.summary()["mean_contribution"]
        lines = [f"contributions to {self.about['output']}: {self.about['regions']:,} regions"]
        lines += [f"  {key}: {value:+.4g} (mean)" for key, value in list(said.items())[:20]]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def write(self, out: str | Path, *, overwrite: bool = False) -> Path:
        """Write contributions.tsv, contributions.json and report.html."""
        from epilm.plots.page import write_page

        with atomic_folder(out, overwrite=overwrite) as folder:
            write_json(folder / KEPT, self.summary() | {"notes": self.notes})
            lines = ["\t".join(HEADER)]
            for row in self.rows:
                lines.append("\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row))
            (folder / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
            write_page(contributions_page(folder), folder / "report.html")
        return Path(out)


def contributions_page(folder: Path) -> Page:
    """Make the page of a folder: means as bars and as a table, and the strongest."""
    from epilm.plots.pictures import signed_bars
    from epilm.plots.style import as_image, figure

    kept = load_json(folder / KEPT, {})
    with open(folder / TABLE, encoding="utf-8", newline="") as file:
        rows = [line.rstrip("\n").split("\t") for line in list(file)[1:]]
    means = dict(kept["mean_contribution"])
    strongest = sorted(rows, key=lambda row: -abs(float(row[7])))[:50]
    shown = dict(list(means.items())[:MOST_BARS])
    with figure(6.0, 0.7 + 0.28 * len(shown)) as (fig, (ax,)):
        signed_bars(ax, shown, title=f"Mean contribution to {kept['output']}")
        picture = Picture(
            as_image(fig),
            "The output less that with the input unknown: above 0 the input holds it up.",
            alt="mean contribution of each input",
            wide=True,
            numbers=(PictureNumbers("means", ("input", "mean_contribution"), list(means.items())),),
        )
    cells = [[*row[:4], int(row[4]), int(row[5]), *map(float, row[6:])] for row in strongest]
    return Page(
        f"Contributions to {kept['output']}",
        f"{kept['regions']:,} regions",
        sections=[
            Section(
                "Means",
                text=["Output less that with the input unknown.", *kept.get("notes", ())],
                tables=[
                    Table(("input", "mean contribution"), list(means.items())),
                    Table(HEADER, cells, f"The strongest; all in {TABLE}"),
                ],
                pictures=[picture],
            )
        ],
        footer=footer(),
    )


Change = Callable[[Windows], Windows]


def explain_inputs(
    subject: Subject, asked: ExplainOptions, out: str | Path | None, say: Callable[[str], None]
) -> Contributions:
    """Put out each input of each region in turn; see `explain` with method "inputs".

    Raises
    ------
    UsageError
        If the model reads sequences alone.
    """
    frames, _ = read_frames(subject, asked)
    rows = []
    for region, windows in frames:
        for frame in windows:
            whole = _output(subject, frame, lambda given: given)
            for stream, name, start, end, change in parts_of(subject, frame):
                without = _output(subject, frame, change)
                interval = (region.chrom, start, end)
                rows.append((region.name, stream, name, *interval, whole, whole - without))
    if not rows:
        raise UsageError(
            "the model reads bases alone",
            where=subject.where,
            found="no states, signals or motif scores",
            do="Take --method ism, or a model with such inputs.",
        )
    about = {
        "model": subject.where,
        "output": subject.names[subject.output],
        "regions": len(frames),
    }
    done = Contributions(rows, about, list(subject.notes))
    if out is not None:
        done.write(out, overwrite=asked.overwrite)
    return done


def _output(subject: Subject, frame: Frame, change: Change) -> float:
    said = []
    for reverse in subject.strands(frame):
        windows = subject.windows(frame.codes[None], frame, reverse).to(subject.place.device)
        with torch.inference_mode():
            said.append(float(subject.logits(change(windows))[0, subject.output]))
    return float(np.mean(said))


def parts_of(subject: Subject, frame: Frame) -> Iterator[tuple[str, str, int, int, Change]]:
    """List what can be put out: stream, name, the bases it lies on, and how.

    Yields
    ------
    stream : {"states", "signals", "factors"}
    name : str
    start, end : int
        On the chromosome.
    change : function of Windows
    """
    start, end = frame.start, frame.start + frame.width
    if isinstance(subject, PlacedSubject):
        given = subject.windows(frame.codes[None], frame, False)
        if given.states is not None:
            yield from _states(subject, frame, given)
        for number, (name, _, _) in enumerate(subject.model.reads.signals):
            yield "signals", name, start, end, _without_signal(number)
    elif isinstance(subject, TaskSubject) and subject.model.fusion_motifs:
        for number, motif in enumerate(subject.model.fusion_motifs):
            yield "factors", motif.name or motif.id, start, end, _without_factor(number)


def _states(
    subject: PlacedSubject, frame: Frame, given: Windows
) -> Iterator[tuple[str, str, int, int, Change]]:
    """Each state of the window, and all of them."""
    assert given.states is not None
    states, spec = given.states[0], subject.spec
    names = list(subject.model.about.get("state_names") or ())
    first = int(spec.special_tokens)
    present = sorted({int(state) for state in states if state >= N_SPECIAL_STATES})
    for state in present:
        tokens = (states == state).nonzero()[:, 0] - first
        begin = frame.start + int(tokens.min()) * spec.stride
        end = frame.start + int(tokens.max()) * spec.stride + spec.k
        number = state - N_SPECIAL_STATES
        name = names[number] if number < len(names) else str(number)
        yield "states", name, begin, end, _without_states((state,))
    if len(present) > 1:
        whole = (frame.start, frame.start + frame.width)
        yield "states", "all", *whole, _without_states(tuple(present))


def _without_states(states: tuple[int, ...]) -> Change:
    def change(windows: Windows) -> Windows:
        assert windows.states is not None
        there = torch.isin(windows.states, torch.tensor(states, device=windows.states.device))
        return replace(windows, states=windows.states.masked_fill(there, UNKNOWN_STATE))

    return change


def _zeroed(values: Tensor | None, number: int) -> Tensor | None:
    if values is None:
        return None
    out = values.clone()
    out[..., number] = 0
    return out


def _without_signal(number: int) -> Change:
    return lambda windows: replace(
        windows,
        signals=_zeroed(windows.signals, number),
        tracks=_zeroed(windows.tracks, number),
    )


def _without_factor(number: int) -> Change:
    return lambda windows: replace(windows, factors=_zeroed(windows.factors, number))
