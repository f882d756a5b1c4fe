"""What is said of the bases of a region, by any method, and how windows become regions again.

Axes: n bases of a region, D lengths of deletions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.explaining.attention_scores import attention_scores
from epilm.explaining.attribution import (
    COPIES,
    OCCLUDED,
    STEPS,
    Attribution,
    gradients,
    integrated_gradients,
    occlusion,
)
from epilm.explaining.deeplift import REFERENCES, deeplift
from epilm.explaining.explain_options import ExplainOptions
from epilm.explaining.frames import MORE, Frame, Region
from epilm.explaining.mutagenesis import worth_of_deletions, worth_of_substitutions
from epilm.explaining.subject import Subject

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RegionMap:
    """One region, explained.

    Attributes
    ----------
    region : Region
    codes : uint8 (n,)
        Its bases on the forward strand.
    scores : float64 (n,)
        What each base is worth to the output: above 0 holds it up. NaN at N.
    changes : float64 (4, n) or None
        Output with A, C, G, T there less that of the region as it is.
    worth : float64 (4, n) or None
        Of each base beside the mean of the four.
    deletions : float64 (D, n) or None
        Output without the 1, 2, .. bases from there on, less that of the region as it is.
    facts : dict of str to float
        Of the windows it was read in, the mean: output, baseline, sum and error of the sum; of a
        splice site where it lies, and the log-odds there.
    """

    region: Region
    codes: NDArray[np.uint8]
    scores: Values
    changes: Values | None = None
    worth: Values | None = None
    deletions: Values | None = None
    facts: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.codes)


class Way(NamedTuple):
    """A method.

    Attributes
    ----------
    run : function (subject, frame, options) -> RegionMap of the frame's explained bases
    about : str
        For people.
    """

    run: Callable[[Subject, Frame, ExplainOptions], RegionMap]
    about: str


def _of_frame(frame: Frame, scores: Values, **rest: Any) -> RegionMap:
    start = frame.start + frame.first
    region = Region(frame.chrom, start, frame.start + frame.last, "", frame.strand)
    return RegionMap(region, frame.codes[frame.first : frame.last], scores, **rest)


def _substitutions(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    changes = subject.substitutions(frame)
    worth, scores = worth_of_substitutions(changes, frame.codes[frame.first : frame.last])
    return _of_frame(frame, scores, changes=changes, worth=worth)


def _deletions(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    table = subject.deletions(frame, options.longest or MORE)
    return _of_frame(frame, worth_of_deletions(table), deletions=table)


def _mutations(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    taken_out = _deletions(subject, frame, options)
    return replace(_substitutions(subject, frame, options), deletions=taken_out.deletions)


def _attributed(frame: Frame, done: Attribution) -> RegionMap:
    facts = {
        "output": done.output,
        "baseline": done.baseline,
        "sum": done.total,
        "error": done.error,
    }
    return _of_frame(frame, done.scores, worth=done.worth, facts=facts)


def _gradients(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    return _attributed(frame, gradients(subject, frame))


def _integrated(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    return _attributed(frame, integrated_gradients(subject, frame, options.steps or STEPS))


def _deeplift(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    references = options.copies or REFERENCES
    return _attributed(frame, deeplift(subject, frame, references, options.seed))


def _occlusion(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    scores = occlusion(
        subject.of(frame),
        frame,
        options.hidden or OCCLUDED,
        options.fill or "shuffled",
        options.copies or COPIES,
        options.seed,
    )
    return _of_frame(frame, scores)


def _attention(subject: Subject, frame: Frame, options: ExplainOptions) -> RegionMap:
    return _of_frame(frame, attention_scores(subject, frame, options.method))


WAYS: dict[str, Way] = {
    "ism": Way(
        _substitutions, "every substitution scored: the loss of the output without the base"
    ),
    "deletions": Way(_deletions, "deletions scored: the mean loss over those that take the base"),
    "mutations": Way(_mutations, "every substitution and deletion scored"),
    "gradients": Way(_gradients, "gradient x input through soft k-mers, mean of the bases off"),
    "integrated": Way(
        _integrated, "integrated gradients from even bases through soft k-mers, mean of bases off"
    ),
    "deeplift": Way(
        _deeplift, "DeepLIFT's rescale rule beside dinucleotide-shuffled copies, their mean"
    ),
    "occlusion": Way(_occlusion, "stretches hidden: the mean loss over those that hide the base"),
    "attention": Way(
        _attention, "not attribution: attention of the last layer (DNABERT-viz), length 1"
    ),
    "rollout": Way(_attention, "not attribution: attention followed through all layers, length 1"),
}


def map_region(
    subject: Subject, region: Region, frames: Sequence[Frame], options: ExplainOptions
) -> RegionMap:
    """Explain a region window by window and join what was said."""
    parts = [WAYS[options.method].run(subject, frame, options) for frame in frames]
    first = parts[0]

    def joined(name: str) -> Any:
        if getattr(first, name) is None:
            return None
        return np.concatenate([getattr(part, name) for part in parts], -1)

    facts = {key: float(np.mean([part.facts[key] for part in parts])) for key in first.facts}
    facts |= subject.facts(frames[0])
    return RegionMap(
        region,
        joined("codes"),
        joined("scores"),
        joined("changes"),
        joined("worth"),
        joined("deletions"),
        facts,
    )
