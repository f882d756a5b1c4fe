"""Do two loci of a chromosome touch, told from the bases of both: pairs on the road of labelled
sequences, read by the same trunk twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from epilm.errors import InputError, UsageError
from epilm.tasks.base import LabelledSequences, check_classes
from epilm.tasks.contacts.contact_pairs import contact_rows, with_bases
from epilm.tasks.contacts.contacts_options import (
    ContactsEvaluateOptions,
    ContactsOptions,
    ContactsPredictOptions,
    check_contacts,
    check_pairs,
)
from epilm.tasks.contacts.pair_files import read_pairs
from epilm.tasks.contract import Say
from epilm.tasks.lesson import TaskLesson
from epilm.tasks.locus_pairs import PairedSequences
from epilm.tasks.reference import open_reference
from epilm.tasks.sequence_predictions import PIECE
from epilm.tasks.sequence_task import SequenceTask, nothing_named, with_remembered


class ContactsTask(SequenceTask):
    """Pairs of loci that touch, or how much more than others at their distance."""

    head = "pair"
    compared = False

    def __init__(self) -> None:
        super().__init__(
            "contacts",
            self.load_rows,
            (),
            "Do two loci of a chromosome touch, from the bases of both.",
            "contact map (.cool, .mcool, .hic, text), or pairs (BEDPE, table), with --genome",
            options=ContactsOptions,
            evaluating=ContactsEvaluateOptions,
        )
        self._options["predict"] = ContactsPredictOptions

    def check(self, options: Any) -> None:
        """See `Task.check`."""
        check_contacts(options)

    def load_rows(self, data: Any, **options: Any) -> LabelledSequences:
        """Pairs of loci with their labels; options are those of `ContactsOptions`."""
        return self.rows(data, ContactsOptions(**options))

    def rows(self, data: Any, options: Any) -> LabelledSequences:
        """Read or make pairs, or take them as they are; not yet split."""
        if isinstance(data, PairedSequences):
            return data
        if isinstance(data, LabelledSequences) or options.negative is not None:
            raise UsageError(
                "rows are pairs of loci",
                where=None if options.negative is None else "--negative",
                found=type(data).__name__ if options.negative is None else str(options.negative),
                do="Give BEDPE, a table of pairs, or a contact map.",
            )
        check_pairs(options)
        rows = contact_rows(data, options, options.genome, options.data_seed)
        return check_classes(rows, str(data))

    def lesson(self, data: Any, options: Any, say: Say) -> TaskLesson:
        """See `Task.lesson`; pairs that share a locus with train are counted."""
        lesson = super().lesson(data, options, say)
        rows = lesson.examples
        _, pairs = rows.table_of_loci()
        learned = np.unique(pairs[lesson.parts["train"]])
        for part in ("valid", "test"):
            if part not in lesson.parts:
                continue
            known = np.asarray(np.isin(pairs[lesson.parts[part]], learned).any(1))
            if known.any():
                lesson.notes.append(
                    f"{rows.name}: {int(known.sum())} of {len(known)} {part} pairs have a locus"
                    " that is also in train: split by chromosome, with --test"
                )
        return lesson

    def pieces_of(
        self, source: Any, options: Any, about: Mapping[str, Any], notes: list[str]
    ) -> Iterator[tuple[LabelledSequences, list[str]]]:
        """Pairs of a file, with what they are called."""
        if source is None:
            raise nothing_named("pairs of loci (BEDPE, or a table) with --genome.")
        if isinstance(source, PairedSequences):
            yield source, source.origin.tolist()
            return
        if options.genome is None:
            raise InputError(
                "pairs of loci need the genome they lie on",
                where=str(source),
                do="Pass --genome FASTA.",
            )
        asked = with_remembered(ContactsOptions(), about)
        reference = open_reference(options.genome)
        pairs = replace(read_pairs(source), labels=None)
        notes += pairs.notes
        pairs = replace(pairs, notes=[])
        for at in range(0, len(pairs), PIECE):
            some = pairs.take(np.arange(at, min(at + PIECE, len(pairs))), [])
            rows = with_bases(some, asked, reference, str(source))
            notes += rows.notes
            names = [origin.rsplit(" (", 1)[0] for origin in rows.origin.tolist()]
            yield rows, names


TASK = ContactsTask()
