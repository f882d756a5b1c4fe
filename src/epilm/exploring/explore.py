"""Loci on one page: bases, genes, what a store holds of each cell type, what models say there."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import size_of
from epilm.errors import InputError, UsageError
from epilm.exploring.explore_choices import Sources, View
from epilm.exploring.explore_page import Browsed, fit, write_explorer
from epilm.exploring.file_tracks import file_tracks, gene_track, named_file, variant_tracks
from epilm.exploring.hub import write_hub
from epilm.exploring.loci import Loci, find_loci
from epilm.exploring.predictions import name_runs, prediction_tracks
from epilm.exploring.store_tracks import choose_cells, motif_track, store_tracks
from epilm.exploring.track import Track, in_order
from epilm.genome.genes import Genes, read_genes
from epilm.genome.sequence import decode
from epilm.motifs.motif import Motif
from epilm.store.motifs import motifs_of_store
from epilm.store.reader import Store
from epilm.tasks.reference import Reference, StoreReference, open_reference
from epilm.variants.variant_files import TSV_ENDINGS, VCF_ENDINGS

Say = Callable[[str], None]
MOST_TRACKS = 120  # a page of more cannot be read


class Explored(NamedTuple):
    """What was written.

    Attributes
    ----------
    out, hub : Path or None
        The page, and the folder of the hub.
    loci : int
    tracks : tuple of str
        By name, from top to bottom.
    size : int
        Bytes of the page; 0 without one.
    notes : tuple of str
        What was left out or doubted; they stand on the page too.
    """

    out: Path | None
    hub: Path | None
    loci: int
    tracks: tuple[str, ...]
    size: int
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """JSON values."""
        paths = {"out": str(self.out or ""), "hub": str(self.hub or "")}
        return self._asdict() | paths | {"tracks": list(self.tracks), "notes": list(self.notes)}

    def text(self) -> str:
        """Lines to print."""
        lines = [f"note: {note}" for note in self.notes]
        what = f"{self.loci} loci, {len(self.tracks)} tracks"
        if self.out is not None:
            lines.append(f"{what}, {size_of(self.size)}: {self.out}")
        if self.hub is not None:
            lines.append(f"{what}: {self.hub}/hub.txt")
        return "\n".join(lines)


def explore(
    runs: Sequence[str | Path] = (),
    loci: Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    hub: str | Path | None = None,
    sources: Sources = Sources(),  # noqa: B008 - frozen
    view: View = View(),  # noqa: B008
    title: str | None = None,
    batch_size: int = 256,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    say: Say | None = None,
) -> Explored:
    """Write one self-contained HTML page of loci, or a UCSC track hub, or both.

    Parameters
    ----------
    runs : sequence of paths
        Fine-tuned runs; what they say is drawn side by side. May be empty.
    loci : sequence of str or path
        BED or VCF files, places ("chr20:1000-2000", 0-based), names of genes.
    out : path, optional
        The page.
    hub : path, optional
        Folder of a track hub, which must not exist.
    sources : Sources
        Store or genome, genes, further files, motifs.
    view : View
        Cell types, flanks, how much.
    title : str, optional
    batch_size : int
        Windows of a forward pass.
    device : {"auto", "cpu", "cuda", "mps"}
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    Explored

    Raises
    ------
    InputError
        If a file cannot be read or is of another assembly, a locus lies outside of the genome, a
        gene is not known or known twice, or not even one locus fits on the page.
    UsageError, StoreError, CheckpointError
        If nothing is to be written, there is neither store nor genome, or a run cannot be asked.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "g.fa").write_text(">chr1\\n" + "ACGTTGCA" * 50 + "\\n")
    >>> done = explore(
    ...     loci=["chr1:100-200"],
    ...     out=folder / "page.html",
    ...     sources=Sources(genome=folder / "g.fa"),
    ...     view=View(flank=50),
    ... )
    >>> done.loci, done.out.name
    (1, 'page.html')
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    if out is None and hub is None:
        raise UsageError(
            "there is nothing to write", do="Give --out page.html, --hub DIR, or both."
        )
    named, notes = name_runs(runs), list[str]()
    store, reference = _ground(sources)
    genes = read_genes(sources.genes) if sources.genes is not None else None
    shown = find_loci(loci, reference.sizes, genes=genes, flank=view.flank, most=view.most)
    _check_names(shown)
    notes += shown.notes
    codes = [_codes(reference, stretch) for stretch in shown.stretches]
    if missing := sum(bool((bases == 4).all()) for bases in codes):
        notes.append(
            f"{missing} of {len(codes)} stretches hold N alone: the genome has no base there"
        )
    page = _Page(named, loci, sources, view, store, reference, genes, shown, codes)
    tracks = _few_tracks(_tracks(page, notes, batch_size, device, say))
    assembly = store.info.assembly if store is not None else Path(str(sources.genome)).name
    browsed = Browsed(
        title or _title(named, shown),
        assembly,
        dict(reference.sizes),
        shown,
        tuple(decode(bases) for bases in codes),
        tuple(in_order(tracks)),
        tuple(notes),
    )
    size = 0
    names = tuple(track.name for track in browsed.tracks)
    if hub is not None:
        browsed = Browsed(**{**vars(browsed), "notes": (*browsed.notes, *write_hub(browsed, hub))})
    if out is not None:
        browsed = fit(browsed, view.max_mb)
        size = write_explorer(browsed, out)
    return Explored(
        None if out is None else Path(out),
        None if hub is None else Path(hub),
        len(browsed.loci.loci),
        names,
        size,
        browsed.notes,
    )


def _ground(sources: Sources) -> tuple[Store | None, Reference]:
    """The store, if there is one, and the genome."""
    if sources.store is None and sources.genome is None:
        raise UsageError(
            "the loci lie on no genome", do="Give --store, or --genome FASTA where there is none."
        )
    if sources.store is not None and sources.genome is not None:
        raise UsageError(
            "--genome and --store do not go together",
            do="Leave out --genome: the bases are those of the store.",
        )
    if sources.store is None:
        return None, open_reference(sources.genome)
    return Store.open(sources.store), StoreReference(sources.store)


def _codes(reference: Reference, stretch: Any) -> NDArray[np.uint8]:
    return np.array(reference.codes(stretch.chrom)[stretch.start : stretch.end], np.uint8)


def _check_names(loci: Loci) -> None:
    """Names of chromosomes stand in the head of a FASTA file, where some signs mean something."""
    for stretch in loci.stretches:
        if not stretch.chrom.isascii() or any(c in ":<>&\"' \t" for c in stretch.chrom):
            raise InputError(
                "the chromosome has a name that the browser cannot show",
                found=repr(stretch.chrom),
                expected="letters, digits and signs that are none of : < > & quotes and blanks",
            )


@dataclass(frozen=True)
class _Page:
    """What a page is made of: what was asked for, and what was opened for it."""

    runs: dict[str, Path]
    words: Sequence[str | Path]
    sources: Sources
    view: View
    store: Store | None
    reference: Reference
    genes: Genes | None
    shown: Loci
    codes: Sequence[NDArray[np.uint8]]


def _few_tracks(tracks: Iterator[Track]) -> list[Track]:
    """Make the tracks, as long as they are not too many to be looked at."""
    made: list[Track] = []
    for track in tracks:
        made.append(track)
        if len(made) > MOST_TRACKS:
            raise UsageError(
                "these are too many tracks for a page",
                found=f"more than {MOST_TRACKS}",
                do="Name fewer cell types (--cells), runs or files.",
            )
    return made


def _tracks(
    page: _Page, notes: list[str], batch_size: int, device: Any, say: Say
) -> Iterator[Track]:
    """All tracks, in no order."""
    sources, view, store = page.sources, page.view, page.store
    stretches, sizes = page.shown.stretches, page.reference.sizes
    asked = bool(view.cells)
    if asked and store is None:
        raise UsageError("cell types are those of a store", where="--cells", do="Give --store.")
    if page.genes is not None:
        yield gene_track(page.genes, stretches, sizes)
    for word in page.words:
        path = Path(word)
        if path.is_file() and path.name.lower().endswith((*VCF_ENDINGS, *TSV_ENDINGS)):
            name, _ = named_file(path)
            yield from variant_tracks(name, path, stretches, sizes, sources.score, notes)
    files = [(word, False) for word in sources.track or ()]
    files += [(word, True) for word in sources.attributions or ()]
    for number, (word, letters) in enumerate(files):
        yield from file_tracks(
            word,
            stretches,
            sizes,
            number=number,
            letters=letters,
            column=sources.score,
            notes=notes,
        )
    cells = choose_cells(store, view.cells or (), notes) if store is not None else ()
    if store is not None:
        yield from store_tracks(store, cells, stretches, notes)
    motifs = _motifs(sources, store)
    if motifs:
        yield motif_track(page.codes, stretches, motifs, view.motif_p)
    yield from prediction_tracks(
        page.runs,
        stretches,
        page.reference,
        store=store,
        cells=cells,
        asked=asked,
        stride=view.stride,
        window=view.window,
        batch_size=batch_size,
        device=device,
        notes=notes,
        say=say,
    )


def _motifs(sources: Sources, store: Store | None) -> list[Motif]:
    if sources.motifs == "none":
        return []
    if sources.motifs is None:
        return motifs_of_store(store) if store is not None else []
    from epilm.motifs.formats import read_motifs

    return read_motifs(sources.motifs)


def _title(runs: dict[str, Path], shown: Loci) -> str:
    what = shown.loci[0].name if len(shown.loci) == 1 else f"{len(shown.loci)} loci"
    return f"{what}: {', '.join(runs)}" if runs else what
