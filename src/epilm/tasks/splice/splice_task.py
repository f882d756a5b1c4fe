"""The task of splice sites: transcripts in, an answer for each of their bases out."""

import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError
from epilm.genome.chromosomes import check_names, few
from epilm.genome.transcripts import Transcript, Transcripts, read_transcripts, with_paralogs
from epilm.tasks.base import encode_text
from epilm.tasks.base_classes import BaseClasses
from epilm.tasks.contract import Say, Scorer, Task
from epilm.tasks.lesson import AllOnce, TaskLesson
from epilm.tasks.reference import Reference, open_reference
from epilm.tasks.sequence_scores import leak_of
from epilm.tasks.sequences import SEQUENCE_ENDINGS, read_records
from epilm.tasks.splice.genome import ChromosomeBlocks
from epilm.tasks.splice.site_tables import SiteTable, SiteTracks
from epilm.tasks.splice.splice_options import (
    SpliceEvaluateOptions,
    SpliceOptions,
    SplicePredictOptions,
    check_splice,
    check_words,
)
from epilm.tasks.splice.splice_parts import parts_of
from epilm.tasks.splice.splice_scores import RULE, SpliceEvaluation, said_of_rule, warnings_of
from epilm.tasks.splice.transcript_blocks import NAMES, BlockSpan, SpliceBlocks, blocks_from
from epilm.tasks.splits import Interval, parse_interval

FORWARD_CONTEXTS = 4  # contexts that a block of a prediction is long: a fifth is read twice


class SitePredictions(NamedTuple):
    """What was written.

    Attributes
    ----------
    bases : int
        Answered, of either strand.
    sites : dict
        Class -> sites of at least the threshold.
    threshold : float
    seconds : float
    out : Path
    tracks : list of Path
    """

    bases: int
    sites: dict[str, int]
    threshold: float
    seconds: float
    out: Path
    tracks: list[Path]

    def summary(self) -> dict[str, Any]:
        """JSON values."""
        return self._asdict() | {
            "out": str(self.out),
            "tracks": [str(path) for path in self.tracks],
            "seconds": round(self.seconds, 3),
        }

    def text(self) -> str:
        """A line to print."""
        counted = ", ".join(f"{count:,} {name}s" for name, count in self.sites.items())
        tracks = f"; tracks {', '.join(path.name for path in self.tracks)}" if self.tracks else ""
        return (
            f"{self.bases:,} bases, {counted} of probability {self.threshold:g} and more,"
            f" {self.seconds:.1f} s: {self.out}{tracks}"
        )


class SpliceTask(Task):
    """Acceptor, donor or neither: an answer for each base of a transcript."""

    name = "splice"
    aliases = ("splicing",)
    about = "Acceptor, donor or neither: each base of a transcript (SpliceAI's construction)."
    data = "SpliceAI's table, GTF or GFF3, with --genome"
    head = "bases"
    label_names = NAMES
    options: ClassVar[Mapping[str, type]] = {
        "finetune": SpliceOptions,
        "predict": SplicePredictOptions,
        "evaluate": SpliceEvaluateOptions,
    }

    def check(self, options: Any) -> None:
        """See `Task.check`."""
        check_splice(options)

    def lesson(self, data: Any, options: Any, say: Say) -> TaskLesson:
        """See `Task.lesson`."""
        read, reference = _read(data, options)
        where = str(read.path)
        rows, notes = _on_genome(read.rows, reference, where)
        parts, more = parts_of(
            rows,
            valid=options.valid,
            test=options.test,
            paralogs=options.paralogs,
            seed=options.data_seed,
            where=where,
        )
        kept = np.flatnonzero(parts != "")
        examples = blocks_from(
            [rows[n] for n in kept],
            reference,
            context=options.context,
            block=options.block,
            flank=options.flank,
            where=where,
        )
        part_of = parts[kept]
        genes = {name: np.flatnonzero(part_of == name) for name in ("train", "valid", "test")}
        blocks = {name: examples.rows_of(which) for name, which in genes.items()}
        counts = {name: examples.counts(which) for name, which in genes.items()}
        name = read.path.name.removesuffix(".gz")
        said = [
            f"{name}: {len(genes[part]):,} genes of {part}, {bases:,} bases in"
            f" {len(blocks[part]):,} blocks, {acceptors:,} acceptors and {donors:,} donors"
            for part, (bases, acceptors, donors) in counts.items()
        ]
        chroms = {
            f"{part}_chroms": sorted({examples.spans[n].chrom for n in which})
            for part, which in genes.items()
        }
        examples.name = name
        return TaskLesson(
            examples,
            BaseClasses(NAMES, site_weight=options.site_weight),
            AllOnce(blocks["train"], np.ones(len(blocks["train"]), np.int64), options.seed),
            blocks["valid"],
            {"valid": blocks["valid"], "test": blocks["test"]},
            "ap",
            window_bp=options.block + options.context,
            width=options.block,
            about={"label_names": list(NAMES), "set": name, "flank": options.flank} | chroms,
            identity={
                "examples": examples.fingerprint(),
                "parts": f"{zlib.crc32(part_of.tobytes()):08x}",
            },
            said=said,
            notes=[*read.notes, *notes, *more, *examples.notes],
        )

    def described(self, lesson: TaskLesson) -> dict[str, Any]:
        """See `Task.described`."""
        examples = lesson.examples
        parts = {"train": np.sort(lesson.draw.rows), **lesson.parts}  # type: ignore[attr-defined]
        width = examples.answers + examples.context
        return {
            "set": {
                "name": examples.name,
                "rows": len(examples),
                "counts": {
                    part: examples.counts(np.unique(examples.places_of(rows)[0]))
                    for part, rows in parts.items()
                },
                "length_bp": [width, width],
                "fingerprint": examples.fingerprint(),
            }
        }

    def predict(
        self, source: Any, out: Any, options: Any, score: Scorer, say: Say
    ) -> SitePredictions:
        """Write sites of transcripts, of sequences, or of whole chromosomes; tracks of the last."""
        if out is None:
            raise UsageError("sites are written to a file", do="Give --out, e.g. sites.tsv.gz.")
        _check_predict(source, options)
        began = time.monotonic()
        if source is None:
            return self._predict_chromosomes(out, options, score, say, began)
        blocks = _blocks_to_predict(source, options, score)
        for note in blocks.notes:
            say(f"note: {note}")
        with SiteTable(out, options.threshold) as table:
            for row, said in enumerate(_rows_of(score(blocks))):
                (at,), (begin,) = blocks.places_of(np.array([row]))
                span = blocks.spans[at]
                length = span.end - span.start
                mine = said[: length - begin]
                low, high = int(begin), int(begin) + len(mine)
                if span.strand == "-":
                    mine, low = mine[::-1], length - high
                table.add(span.chrom, span.start + low, span.strand, mine, span.name)
        bases = int(blocks.length.sum())
        seconds = time.monotonic() - began
        return SitePredictions(bases, table.counts, options.threshold, seconds, Path(out), [])

    def _predict_chromosomes(
        self, out: Any, options: Any, score: Scorer, say: Say, began: float
    ) -> SitePredictions:
        reference = open_reference(options.genome)
        bases = 0
        with SiteTable(out, options.threshold) as table:
            tracks = SiteTracks(options.tracks, reference.sizes) if options.tracks else None
            with tracks or _Nothing():
                for stretch, blocks in _chromosomes(options, reference, score):
                    if blocks.skipped:
                        say(f"note: {stretch.chrom}: {blocks.skipped:,} bases of N left out")
                    for row, said in enumerate(_rows_of(score(blocks))):
                        where, mine = blocks.along_genome(row, said)
                        bases += len(mine)
                        table.add(stretch.chrom, where.start, where.strand, mine)
                        if tracks is not None:
                            tracks.add(stretch.chrom, where.start, where.strand, mine)
        seconds = time.monotonic() - began
        written = list(tracks.paths.values()) if tracks is not None else []
        return SitePredictions(bases, table.counts, options.threshold, seconds, Path(out), written)

    def to_predict(
        self, source: Any, options: Any, score: Scorer, say: Say
    ) -> Iterator[tuple[Any, Any]]:
        """See `Task.to_predict`."""
        _check_predict(source, options)
        if source is not None:
            yield _blocks_to_predict(source, options, score), None
            return
        for _, blocks in _chromosomes(options, open_reference(options.genome), score):
            yield blocks, None

    def evaluate(
        self, run: Any, data: Any, options: Any, score: Scorer | None, say: Say
    ) -> SpliceEvaluation:
        """Score a model on transcripts, or give the scores that its run keeps."""
        if data is None:
            return _kept(run, score)
        if score is None:
            raise InputError(
                "this is no fine-tuned model",
                where=str(run),
                expected="a run of epilm finetune splice, or its model folder",
            )
        check_words(options)
        read, reference = _read(data, options)
        where = str(read.path)
        rows, notes = _on_genome(read.rows, reference, where)
        if options.split == "chromosome":
            parts, more = parts_of(
                rows,
                valid=options.valid,
                test=options.test,
                paralogs=options.paralogs,
                seed=options.data_seed,
                where=where,
            )
            rows, notes = [rows[n] for n in np.flatnonzero(parts == "test")], [*notes, *more]
        elif options.test or options.valid:
            raise UsageError(
                "--test and --valid divide transcripts, and all of them are scored",
                do="Give --split chromosome.",
            )
        blocks = blocks_from(
            rows,
            reference,
            context=_context(score),
            block=int(score.about["width"]),
            flank=options.flank or score.about.get("flank", "n"),
            where=where,
        )
        labels = BaseClasses(score.about["labels"]["names"])
        tally, rule, done = labels.tally(), labels.tally(), 0
        for said in score(blocks):
            numbers = np.arange(done, done + len(said))
            true = blocks.labels_of(numbers)
            tally.add(true, said)
            rule.add(true, said_of_rule(blocks.take(numbers).codes, blocks.answers))
            done += len(said)
        tables, beside = tally.tables(), rule.tables()
        warnings = warnings_of(tables, "all")
        if before := score.about.get("pretraining"):
            chrom = np.array([span.chrom for span in blocks.spans])
            start = np.array([span.start for span in blocks.spans])
            end = np.array([span.end for span in blocks.spans])
            leak = leak_of(before, chrom, start, end)
            if leak["fraction"] is None or leak["fraction"] > 0:
                warnings.append(leak["said"])
        learned = set(score.about.get("train_chroms", ()))
        if seen := learned.intersection(span.chrom for span in blocks.spans):
            warnings.append(
                f"the model learned from genes of {few(sorted(seen))}: theirs may be among these"
            )
        part = "test" if options.split == "chromosome" else "all"
        return SpliceEvaluation(
            {part: tables}, {RULE: {part: beside}}, warnings, [*read.notes, *notes, *blocks.notes]
        )


def _check_predict(source: Any, options: Any) -> None:
    """Refuse what cannot be predicted, by its option's name."""
    if not 0 < options.threshold <= 1:
        raise UsageError(
            "impossible value",
            where="--threshold",
            found=options.threshold,
            expected="above 0, at most 1",
        )
    check_words(options)
    if source is None and options.genome is None:
        raise UsageError(
            "nothing to predict is named",
            do="Give transcripts (a table, GTF, GFF3) or sequences, or --genome alone.",
        )
    for name, value in (("--tracks", options.tracks), ("--chroms", options.chroms)):
        if value and source is not None:
            raise UsageError(
                f"{name} is for whole chromosomes, and transcripts are given",
                found=str(source),
                do=f"Leave {name} or the file out: genes overlap.",
            )


def _chromosomes(
    options: Any, reference: Reference, score: Scorer
) -> Iterator[tuple[Interval, ChromosomeBlocks]]:
    """Chromosomes that are asked for, in blocks."""
    for stretch in _places(options.chroms, reference):
        codes = reference.codes(stretch.chrom)
        yield (
            stretch,
            ChromosomeBlocks(stretch, codes, context=_context(score), block=_block(options, score)),
        )


class _Nothing:
    """A context without tracks."""

    def __enter__(self) -> "_Nothing":
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _read(data: Any, options: Any) -> tuple[Transcripts, Reference]:
    """Transcripts and the genome that they lie on."""
    if options.genome is None:
        raise InputError(
            "transcripts need the genome that they lie on",
            where=str(data) if isinstance(data, str | Path) else None,
            do="Pass --genome FASTA, a .2bit or a store.",
        )
    if isinstance(data, Transcripts):
        read = data
    else:
        read = read_transcripts(
            data,
            transcripts=options.transcripts,
            feature=options.feature,
            coding=options.genes == "coding",
        )
    if (listed := getattr(options, "paralog_genes", None)) is not None:
        if any(row.paralog is not None for row in read.rows):
            raise UsageError(
                "the table itself says which genes have a paralog",
                where="--paralog-genes",
                found=str(listed),
                do="Leave the list out.",
            )
        read = with_paralogs(read, listed)
    return read, open_reference(options.genome)


def _on_genome(
    rows: Sequence[Transcript], reference: Reference, where: str
) -> tuple[list[Transcript], list[str]]:
    """Transcripts on chromosomes that the genome has, and a note on the others."""
    unknown = set(check_names([row.chrom for row in rows], reference.sizes, where))
    kept = [row for row in rows if row.chrom not in unknown]
    if not unknown:
        return kept, []
    lost = len(rows) - len(kept)
    return kept, [
        f"{lost} genes on chromosomes that the genome lacks left out ({few(sorted(unknown))})"
    ]


def _context(score: Scorer) -> int:
    return int(score.about["window_bp"]) - int(score.about["width"])


def _block(options: Any, score: Scorer) -> int:
    if options.block is None:
        return max(int(score.about["width"]), FORWARD_CONTEXTS * _context(score))
    if options.block < 1:
        raise UsageError(
            "impossible value", where="--block", found=options.block, expected="at least 1"
        )
    return int(options.block)


def _rows_of(pieces: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for piece in pieces:
        yield from piece


def _blocks_to_predict(source: Any, options: Any, score: Scorer) -> SpliceBlocks:
    """Transcripts of a file, or sequences, each as a transcript of its own."""
    context, block = _context(score), _block(options, score)
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.name.removesuffix(".gz").lower().endswith(SEQUENCE_ENDINGS):
        if options.genome is not None:
            raise UsageError(
                "sequences bring their bases",
                where="--genome",
                found=str(source),
                do="Leave --genome out, or give transcripts.",
            )
        spans = []
        for record in read_records(path):
            codes = encode_text(record.sequence, f"{path}, line {record.line}")
            nothing = np.zeros(0, np.int64)
            spans.append(
                BlockSpan(
                    ".", record.name, "+", 0, len(codes), codes, 0, nothing, nothing.astype(np.int8)
                )
            )
        return SpliceBlocks(spans, context=context, block=block, name=path.name)
    read, reference = _read(source, options)
    rows, notes = _on_genome(read.rows, reference, str(read.path))
    blocks = blocks_from(
        rows,
        reference,
        context=context,
        block=block,
        flank=options.flank or score.about.get("flank", "n"),
        where=str(read.path),
    )
    blocks.notes = [*read.notes, *notes, *blocks.notes]
    return blocks


def _places(asked: Sequence[str], reference: Reference) -> list[Interval]:
    """Chromosomes or parts of them, in the genome's order, none twice."""
    if not asked:
        return [Interval(chrom, 0, size) for chrom, size in reference.sizes.items()]
    places = [parse_interval(text) for text in asked]
    if unknown := [stretch.chrom for stretch in places if stretch.chrom not in reference.sizes]:
        raise InputError(
            "the genome has no such chromosome",
            where="--chroms",
            found=few(unknown),
            expected=f"one of {few(list(reference.sizes), 30)}",
        )
    order = {chrom: n for n, chrom in enumerate(reference.sizes)}
    places.sort(key=lambda stretch: (order[stretch.chrom], stretch.start))
    for first, second in pairwise(places):
        if first.chrom == second.chrom and second.start < first.end:
            raise UsageError(
                "a part of a chromosome is named twice",
                where="--chroms",
                found=f"{first.chrom}:{second.start}-{min(first.end, second.end)}",
                expected="parts that do not overlap",
            )
    return places


def _kept(run: Any, score: Scorer | None) -> SpliceEvaluation:
    """The scores that a run wrote of its own parts."""
    path = Path(str(run))
    kept = path / "metrics.json"
    if not kept.is_file():
        raise InputError(
            "no scores are kept here",
            where=str(path),
            expected="a run of epilm finetune",
            do="Pass --data and --genome to score transcripts now.",
        )
    values = json.loads(kept.read_text(encoding="utf-8"))
    tables = values["tables"]
    warnings = [line for part, each in tables.items() for line in warnings_of(each, part)]
    about = score.about if score is not None else {}
    if before := about.get("pretraining"):
        chroms = np.array(about.get("test_chroms", ()), np.str_)
        nowhere = np.zeros(len(chroms), np.int64)
        leak = leak_of(before, chroms, nowhere, nowhere)
        if leak["fraction"] is None or leak["fraction"] > 0:
            warnings.append(leak["said"].replace("test sequences", "test chromosomes"))
    return SpliceEvaluation(tables, values.get("beside", {}), warnings, values.get("notes", []))


TASK = SpliceTask()
