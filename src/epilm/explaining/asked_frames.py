"""The windows that a request asks for: read from FASTA or from regions, checked, or shuffled."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import UsageError
from epilm.explaining.explain_options import ExplainOptions
from epilm.explaining.frames import (
    MORE,
    Frame,
    Region,
    find_regions,
    read_regions,
    read_sequences,
)
from epilm.explaining.haplotype_frames import haplotype_frames
from epilm.explaining.subject import PlacedSubject, Subject
from epilm.tasks.reference import StoreReference, open_reference
from epilm.tasks.shuffle import dinucleotide_shuffle


def read_frames(
    subject: Subject, asked: ExplainOptions
) -> tuple[list[tuple[Region, list[Frame]]], dict[str, int]]:
    """Read what is to be explained, all of it checked.

    Returns
    -------
    list of (Region, list of Frame)
    sizes : dict of str to int
        Of the chromosomes; empty where sequences bring their bases.
    """
    width = asked.window
    if subject.width is not None:
        if width not in (None, subject.width):
            raise UsageError(
                "the model reads windows of one width",
                where="--window",
                found=width,
                expected=subject.width,
            )
        width = subject.width
    if asked.fasta is not None:
        if isinstance(subject, PlacedSubject):
            raise UsageError(
                "the model reads places of a store, and sequences have none",
                where="--fasta",
                do="Give --regions, --store and --cell.",
            )
        regions, bases = read_sequences(asked.fasta)
        return [
            subject.frames(region, codes, width, region.start)
            for region, codes in zip(regions, bases)
        ], {}
    if isinstance(subject, PlacedSubject):
        genome: Any = StoreReference(subject.store)
    elif asked.genome:
        paths: Any = asked.genome
        many = isinstance(paths, list | tuple) and len(paths) == 1
        genome = open_reference(paths[0] if many else paths)
    else:
        raise UsageError(
            "regions need the genome they lie on",
            where=str(asked.regions or asked.variants or ", ".join(asked.gene or ())),
            do="Give --genome FASTA.",
        )
    if asked.variants is not None:
        notes: list[str] = []
        reach = max(width or 0, subject.widest or 0) + MORE
        both = haplotype_frames(
            asked.variants,
            genome,
            lambda region, codes, first: subject.frames(region, codes, width, first),
            reach,
            asked.flank,
            notes,
        )
        subject.notes = [*subject.notes, *notes]
        return both, dict(genome.sizes)
    if asked.gene is not None:
        regions = find_regions(asked.gene, asked.genes, genome, asked.flank)
    else:
        assert asked.regions is not None
        regions = read_regions(asked.regions, genome)
    out: list[Any] = [None] * len(regions)
    for chrom in dict.fromkeys(region.chrom for region in regions):
        codes = genome.codes(chrom)
        for row, region in enumerate(regions):
            if region.chrom == chrom:
                out[row] = subject.frames(region, codes, width, 0)
    return out, dict(genome.sizes)


def read_against(subject: Subject, asked: ExplainOptions) -> list[NDArray[np.uint8]]:
    """Read the bases of the sequences that motifs of attention are compared with."""
    assert asked.against is not None
    where = {"fasta": asked.against} if asked.fasta else {"regions": asked.against, "gene": None}
    frames, _ = read_frames(subject, replace(asked, **where))
    return [
        np.concatenate([frame.codes[frame.first : frame.last] for frame in windows])
        for _, windows in frames
    ]


def shuffled_frame(frame: Frame, seed: int, copy: int) -> Frame:
    """The window with its dinucleotides in another order: a function of (seed, place, copy)."""
    key = [seed, copy, abs(frame.start), *frame.chrom.encode()]
    codes = dinucleotide_shuffle(frame.codes, np.random.default_rng(key))
    return replace(frame, codes=codes)
