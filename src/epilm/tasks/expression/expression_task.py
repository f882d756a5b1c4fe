"""How much of each gene there is in each cell type: numbers, one a cell type, from the bases around
its start. Its rows go the road of labelled sequences.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError
from epilm.genome.start_sites import read_starts
from epilm.tasks.base import LabelledSequences, labelled
from epilm.tasks.expression.expression_options import (
    ExpressionEvaluateOptions,
    ExpressionOptions,
    ExpressionPredictOptions,
    check_expression,
    check_window,
)
from epilm.tasks.expression.gene_windows import best, cut_windows, gene_rows
from epilm.tasks.label_kinds import Numbers
from epilm.tasks.labels import Labels
from epilm.tasks.sequence_predictions import PIECE, pieces
from epilm.tasks.sequence_task import SequenceTask, nothing_named, with_remembered
from epilm.tasks.sequences import SEQUENCE_ENDINGS


class ExpressionTask(SequenceTask):
    """Levels of genes in cell types."""

    compared = False

    def __init__(self) -> None:
        super().__init__(
            "expression",
            self.load_rows,
            (),
            "Level of each gene in each cell type, from the bases around its start.",
            "table genes x cell types with --tss (GTF, GFF3, BED) and --genome",
            options=ExpressionOptions,
            evaluating=ExpressionEvaluateOptions,
        )
        self._options["predict"] = ExpressionPredictOptions

    def check(self, options: Any) -> None:
        """See `Task.check`."""
        check_expression(options)

    def load_rows(self, data: Any, **options: Any) -> LabelledSequences:
        """Genes of a table with their levels; options are those of `ExpressionOptions`."""
        return self.rows(data, ExpressionOptions(**options))

    def rows(self, data: Any, options: Any) -> LabelledSequences:
        """Read levels and start sites, or take rows as they are; not yet split."""
        if isinstance(data, LabelledSequences):
            return data
        if options.negative is not None:
            raise UsageError(
                "levels are numbers and have no negatives",
                where="--negative",
                found=str(options.negative),
                do="Leave it out.",
            )
        check_window(options)
        return gene_rows(data, options, options.genome)

    def labels_of(self, rows: LabelledSequences, train: NDArray[Any], options: Any) -> Labels:
        """Numbers of one quantity in several cell types."""
        labels = super().labels_of(rows, train, options)
        assert isinstance(labels, Numbers)
        return Numbers(labels.names, labels.mean, labels.sd, alike=True)

    def pieces_of(
        self, source: Any, options: Any, about: Mapping[str, Any], notes: list[str]
    ) -> Iterator[tuple[LabelledSequences, list[str]]]:
        """Windows around the starts of a file, or sequences; with their names."""
        if source is None:
            raise nothing_named("start sites (GTF, GFF3, BED) with --genome, or FASTA.")
        path = Path(source) if isinstance(source, str | Path) else None
        if path is None or path.name.removesuffix(".gz").lower().endswith(SEQUENCE_ENDINGS):
            yield from pieces(source, None, None, notes)
            return
        if options.genome is None:
            raise InputError(
                "start sites need the genome they lie on",
                where=str(path),
                do="Pass --genome FASTA.",
            )
        asked = with_remembered(ExpressionOptions(), about)
        asked = replace(asked, starts=options.starts or asked.starts)
        check_window(asked)
        sites = read_starts(path)
        of_gene: dict[tuple[str, str, str], list[int]] = {}
        for number, site in enumerate(sites):
            name = site.names[0] if site.bases > 1 else site.names[-1]
            of_gene.setdefault((name, site.chrom, site.strand), []).append(number)
        chosen = [
            (sites[n], gene)
            for gene, numbers in enumerate(of_gene.values())
            for n in best(sites, numbers, asked.starts)
        ]
        windows, lost = cut_windows(chosen, options.genome, asked, str(path))
        notes += [f"{count} starts {why} left out" for why, count in lost.items() if count]
        for at in range(0, len(windows), PIECE):
            some = windows[at : at + PIECE]
            rows = labelled(
                [window.codes for window in some],
                np.zeros(len(some)),
                chrom=[window.site.chrom for window in some],
                start=[window.start for window in some],
                origin=[f"{path.name}, line {window.site.line}" for window in some],
            )
            yield rows, [window.site.names[0] for window in some]


TASK = ExpressionTask()
