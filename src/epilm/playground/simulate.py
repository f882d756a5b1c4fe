"""The playground: an invented genome as raw files in real formats, and the truth about it.

What is planted can be scored: motifs at known places, regions opened by
programmes of factors, binding that needs motif and open state, splice and
promoter signals, variants with an effect. One chromosome is in memory at a time.
The same size and seed give the same bytes. Whole or absent.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

import epilm
from epilm.atomic import atomic_folder, write_json
from epilm.errors import UsageError
from epilm.genome.signals import write_bigwig
from epilm.playground import assays, writers
from epilm.playground.bases import SITE_KINDS, WrittenChromosome, write_chromosome
from epilm.playground.ground_plan import (
    DISTAL,
    GAP,
    KIND_NAMES,
    Opening,
    Size,
    Slots,
    active_programmes,
    generator,
    open_regions,
    place_regions,
    plan_slots,
    size_of,
)
from epilm.playground.levels import gene_levels, level_lines
from epilm.playground.programmes import PROGRAMMES, PROMOTER_FACTORS, motif_text, planted_motifs
from epilm.playground.promoters import core_sequences, promoter_rows, write_promoter_tables
from epilm.playground.readme import readme_text
from epilm.playground.variants import EFFECTS, make_variants


@dataclass
class _Chromosome:
    """What is kept of a chromosome after its bases are written."""

    name: str
    length: int
    regions: pd.DataFrame
    opening: Opening
    counts: sparse.csr_matrix
    mappability: list[tuple[int, int, float]]
    contacts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    genes: list[str]
    levels: NDArray[np.float64]


def simulate(
    out: str | Path,
    size: str = "small",
    seed: int = 0,
    *,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write the raw files of an invented genome, in real formats, with the truth about them.

    Parameters
    ----------
    out : path
        Folder to make: whole or absent.
    size : {"tiny", "small", "large"}
        0.4 Mb in 3 chromosomes with 400 regions and 3 cell types (a second); 4 Mb, 4,000 regions,
        5 cell types (seconds); 100 Mb, 200,000 regions, 8 cell types (a few minutes).
    seed : int
        At least 0. The same size and seed give the same bytes.
    overwrite : bool
        Replace an existing folder.
    progress : callable, optional
        Called with one line a chromosome and a group of files.

    Returns
    -------
    Path
        The folder. `README.md` in it says what each file is, `truth.json` what was planted.

    Raises
    ------
    UsageError
        If the size is unknown or the seed negative.
    EpilmError
        If the folder exists already (and not `overwrite`), or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = simulate(Path(tempfile.mkdtemp()) / "world", size="tiny")
    >>> sorted(p.name for p in folder.iterdir())[:5]
    ['README.md', 'blacklist.bed', 'chip', 'chrom.sizes', 'contacts']
    """
    plan = size_of(size)
    if seed < 0:
        raise UsageError(
            "the seed is negative", found=seed, expected="a whole number of at least 0"
        )
    say = progress or (lambda line: None)
    with atomic_folder(out, overwrite=overwrite) as folder:
        kept = _write_by_chromosome(folder, plan, seed, say)
        say("signals, counts and contacts")
        _write_signals(folder, plan, kept)
        _write_counts(folder, plan, kept)
        _write_contacts(folder, plan, kept)
        _write_levels(folder, plan, kept)
        (folder / "motifs.jaspar").write_text(motif_text(), encoding="ascii")
        write_json(folder / "truth.json", _truth(plan, seed, kept))
        (folder / "README.md").write_text(readme_text(plan, seed), encoding="utf-8")
    return Path(out)


def _write_by_chromosome(
    folder: Path, plan: Size, seed: int, say: Callable[[str], None]
) -> list[_Chromosome]:
    """Make chromosome after chromosome and append to all files that are sorted by position."""
    from Bio import bgzf

    for name in ("peaks", "states", "chip", "signals", "counts", "contacts", "promoters"):
        (folder / name).mkdir()
    sizes = dict(zip(plan.chrom_names, plan.chroms))
    kept: list[_Chromosome] = []
    promoters: list[pd.DataFrame] = []
    fasta = writers.FastaWriter(folder / "genome.fa")
    with ExitStack() as stack:

        def gz(name: str) -> Any:
            return stack.enter_context(writers.gzip_text(folder / name))

        peaks = [gz(f"peaks/{cell}.narrowPeak.gz") for cell in plan.cell_types]
        states = [gz(f"states/{cell}.bed.gz") for cell in plan.cell_types]
        chip = {
            (cell, factor, kind): gz(f"chip/{cell}.{factor}.{kind}.narrowPeak.gz")
            for cell in plan.cell_types
            for factor in plan.chip
            for kind in ("conservative", "relaxed")
        }
        site_file, region_file = gz("truth_sites.tsv.gz"), gz("truth_regions.tsv.gz")
        gtf = stack.enter_context(open(folder / "genes.gtf", "w", encoding="ascii", newline="\n"))
        splice = stack.enter_context(
            open(folder / "splice.tsv", "w", encoding="ascii", newline="\n")
        )
        blacklist = stack.enter_context(
            open(folder / "blacklist.bed", "w", encoding="ascii", newline="\n")
        )
        tss = stack.enter_context(
            open(folder / "promoters.bed", "w", encoding="ascii", newline="\n")
        )
        vcf = bgzf.BgzfWriter(str(folder / "variants.vcf.gz"))
        stack.callback(vcf.close)
        vcf.write(writers.vcf_header(plan.name, seed, sizes, EFFECTS))
        gtf.write(
            f"##description: simulated by epilm, size {plan.name}, seed {seed}; not a real"
            " annotation\n"
        )
        offset = 0
        for number, (name, length) in enumerate(sizes.items()):
            say(f"{name}: {length:,} bp")
            slots = plan_slots(plan, seed, number)
            regions = place_regions(plan, seed, number, slots)
            opening = open_regions(plan, seed, number, regions)
            made = write_chromosome(plan, seed, number, slots, regions)
            bound = assays.bound_sites(seed, number, made.sites, opening)
            fasta.add(name, made.codes, made.soft)
            gtf.writelines(writers.gtf_lines(name, made.genes))
            splice.writelines(
                writers.splice_lines(name, made.genes, generator(seed, "paralogs", number))
            )
            blacklist.writelines(_blacklist(plan, name, slots, made))
            _write_peaks(peaks, plan, seed, number, name, regions, opening)
            grid = assays.chromatin_states(plan, seed, number, slots, regions, opening, made.genes)
            for cell, handle in enumerate(states):
                runs = assays.state_runs(grid[cell])
                runs.insert(0, "chrom", name)
                _append(handle, runs)
            for cell, cell_type in enumerate(plan.cell_types):
                for factor in plan.chip:
                    motif = next(i for i, m in enumerate(planted_motifs()) if m.name == factor)
                    pair = assays.chip_peaks(
                        seed, number, motif, cell, regions, made.sites, bound, opening
                    )
                    for kind, table in zip(("conservative", "relaxed"), pair):
                        label = f"{cell_type}.{factor}"
                        _append(
                            chip[cell_type, factor, kind], writers.narrow_peaks(name, table, label)
                        )
            rows = promoter_rows(
                name, made.genes, made.codes, slots, plan, generator(seed, "promoters", number)
            )
            promoters.append(rows)
            tss.writelines(core_sequences(name, made.genes))
            variants = make_variants(
                plan, seed, number, made.codes, regions, made.sites, made.genes, opening
            )
            vcf.write("".join(writers.vcf_lines(name, variants)))
            _append(site_file, _truth_sites(plan, name, made, bound, offset), header=number == 0)
            _append(
                region_file,
                _truth_regions(plan, name, regions, opening, offset),
                header=number == 0,
            )
            offset += len(regions)
            kept.append(
                _Chromosome(
                    name,
                    length,
                    regions,
                    opening,
                    assays.cell_counts(plan, seed, number, opening),
                    assays.mappability(length, made.codes, made.repeats),
                    assays.contact_map(plan, seed, number, slots),
                    [gene.name for gene in made.genes],
                    gene_levels(seed, number, made.genes, regions, made.sites, bound, opening),
                )
            )
    fasta.close(folder / "genome.fa.fai")
    (folder / "chrom.sizes").write_text("".join(f"{n}\t{length}\n" for n, length in sizes.items()))
    write_promoter_tables(folder, promoters, plan)
    return kept


def _blacklist(plan: Size, name: str, slots: Slots, made: WrittenChromosome) -> list[str]:
    """Assembly gaps, and the copies of one repeat family, which collapses in every assay."""
    gaps = [
        (int(s) * plan.slot, (int(s) + 1) * plan.slot, "gap")
        for s in np.flatnonzero(slots.kind == GAP)
    ]
    copies = made.repeats[made.repeats["family"] == 0]
    rows = [*gaps, *((int(s), int(e), "repeat") for s, e in zip(copies["start"], copies["end"]))]
    return [f"{name}\t{start}\t{end}\tsimulated_{what}\n" for start, end, what in sorted(rows)]


def _append(handle: Any, table: pd.DataFrame, header: bool = False) -> None:
    table.to_csv(handle, sep="\t", header=header, index=False, lineterminator="\n")


def _write_peaks(
    handles: list[Any],
    plan: Size,
    seed: int,
    number: int,
    name: str,
    regions: pd.DataFrame,
    opening: Opening,
) -> None:
    """Called peaks of each cell type: the open regions, their ends up to 15 bp off."""
    centre = ((regions["start"] + regions["end"]) // 2).to_numpy()
    for cell, handle in enumerate(handles):
        rng = generator(seed, f"peaks {cell}", number)
        rows = np.flatnonzero(opening.strong[:, cell])
        shift = rng.integers(-15, 16, (2, len(rows)))
        start = np.maximum(regions["start"].to_numpy()[rows] + shift[0], 0)
        end = np.minimum(regions["end"].to_numpy()[rows] + shift[1], plan.chroms[number])
        table = pd.DataFrame(
            {
                "start": start,
                "end": end,
                "summit": centre[rows] + rng.integers(-10, 11, len(rows)) - start,
                "signal": np.round(opening.height[rows, cell].astype(np.float64), 3),
            }
        )
        _append(handle, writers.narrow_peaks(name, table, plan.cell_types[cell]))


def _join(flags: NDArray[np.bool_], names: tuple[str, ...]) -> NDArray[np.object_]:
    """The names that are true in each row, joined by |, "." for none."""
    codes = flags @ (1 << np.arange(flags.shape[1]))
    known = {
        int(code): "|".join(n for i, n in enumerate(names) if code >> i & 1) or "."
        for code in np.unique(codes)
    }
    return np.array([known[int(code)] for code in codes], dtype=object)


def _truth_sites(
    plan: Size, name: str, made: WrittenChromosome, bound: NDArray[np.bool_], offset: int
) -> pd.DataFrame:
    motifs = planted_motifs()
    sites = made.sites
    which = sites["motif"].to_numpy()
    inside = sites["region"].to_numpy() >= 0
    return pd.DataFrame(
        {
            "chrom": name,
            "start": sites["start"],
            "end": sites["end"],
            "strand": np.where(sites["strand"] > 0, "+", "-"),
            "motif": np.array([m.id for m in motifs], dtype=object)[which],
            "factor": np.array([m.name for m in motifs], dtype=object)[which],
            "kind": np.array(SITE_KINDS, dtype=object)[sites["kind"].to_numpy()],
            "region": np.where(inside, sites["region"] + offset, -1),
            "pair": np.where(sites["pair"] >= 0, sites["pair"] + offset, -1),
            "score": np.round(sites["score"].to_numpy().astype(np.float64), 3),
            "bound": _join(bound, plan.cell_types),
        }
    )


def _truth_regions(
    plan: Size, name: str, regions: pd.DataFrame, opening: Opening, offset: int
) -> pd.DataFrame:
    names = np.array([*(p.name for p in PROGRAMMES), "."], dtype=object)
    return pd.DataFrame(
        {
            "region": np.arange(len(regions)) + offset,
            "chrom": name,
            "start": regions["start"],
            "end": regions["end"],
            "kind": np.array(KIND_NAMES, dtype=object)[regions["kind"].to_numpy()],
            "programme": np.where(
                regions["kind"] == DISTAL, names[regions["programme"].to_numpy()], "."
            ),
            "domain": regions["domain"],
            "domain_programme": names[regions["domain_programme"].to_numpy()],
            "tss": regions["tss"],
            "strand": np.where(regions["strand"] > 0, "+", "-"),
            "open": _join(opening.strong, plan.cell_types),
            "primed": _join(opening.primed, plan.cell_types),
        }
    )


def _write_signals(folder: Path, plan: Size, kept: list[_Chromosome]) -> None:
    sizes = {c.name: c.length for c in kept}

    def of_cell(cell: int) -> Iterator[tuple[str, Any, Any, Any]]:
        for chromosome in kept:
            height = chromosome.opening.height[:, cell]
            yield (chromosome.name, *assays.accessibility(plan, chromosome.regions, height))

    for cell, cell_type in enumerate(plan.cell_types):
        write_bigwig(folder / f"signals/{cell_type}.accessibility.bw", sizes, of_cell(cell))
    mapped = ((c.name, *run) for c in kept for run in c.mappability)
    write_bigwig(folder / "signals/mappability.bw", sizes, mapped)


def _write_counts(folder: Path, plan: Size, kept: list[_Chromosome]) -> None:
    matrix = sparse.vstack([c.counts for c in kept], format="csr")
    names = np.repeat([c.name for c in kept], [len(c.regions) for c in kept])
    regions = pd.concat([c.regions[["start", "end"]] for c in kept], ignore_index=True)
    regions.insert(0, "chrom", names.astype(object))
    cells = pd.DataFrame(
        {
            "cell": [
                f"{t}_{i + 1:04d}" for t in plan.cell_types for i in range(plan.cells_per_type)
            ],
            "cell_type": np.repeat(plan.cell_types, plan.cells_per_type).astype(object),
        }
    )
    cells["reads"] = np.asarray(matrix.sum(0)).ravel().astype(int)
    writers.write_matrix(folder / "counts/matrix.mtx.gz", matrix)
    writers.write_table(folder / "counts/peaks.tsv", regions)
    writers.write_table(folder / "counts/cells.tsv", cells, header=True)
    writers.write_h5ad(folder / "counts.h5ad", matrix, regions, cells)


def _write_contacts(folder: Path, plan: Size, kept: list[_Chromosome]) -> None:
    offset, pixels = 0, []
    for chromosome in kept:
        one, two, count = chromosome.contacts
        pixels.append(
            pd.DataFrame({"bin1_id": one + offset, "bin2_id": two + offset, "count": count})
        )
        step = plan.contact_bin
        table = pd.DataFrame({"a": one * step, "b": two * step, "count": count})
        writers.write_table(folder / f"contacts/{chromosome.name}.tsv.gz", table)
        offset += -(-chromosome.length // step)
    sizes = {c.name: c.length for c in kept}
    writers.write_cooler(
        folder / "contacts.cool", sizes, plan.contact_bin, pd.concat(pixels, ignore_index=True)
    )


def _write_levels(folder: Path, plan: Size, kept: list[_Chromosome]) -> None:
    names = [name for chromosome in kept for name in chromosome.genes]
    levels = np.concatenate([chromosome.levels for chromosome in kept])
    lines = level_lines(plan.cell_types, names, levels)
    (folder / "expression.tsv").write_text("".join(lines), encoding="ascii")


def _truth(plan: Size, seed: int, kept: list[_Chromosome]) -> dict[str, Any]:
    active = active_programmes(plan)
    return {
        "simulated": True,
        "what": "An invented genome. Nothing here is a measurement.",
        "made_by": f"epilm {epilm.__version__} simulate",
        "size": plan.name,
        "seed": seed,
        "chromosomes": {c.name: c.length for c in kept},
        "regions": sum(len(c.regions) for c in kept),
        "cell_types": list(plan.cell_types),
        "open_regions": {
            t: int(sum(c.opening.strong[:, i].sum() for c in kept))
            for i, t in enumerate(plan.cell_types)
        },
        "programmes": [
            asdict(programme)
            | {"active_in": [t for i, t in enumerate(plan.cell_types) if active[number, i]]}
            for number, programme in enumerate(PROGRAMMES)
        ],
        "promoter_factors": list(PROMOTER_FACTORS),
        "insulator": "CTCF",
        "silencer": "REST",
        "chip_factors": list(plan.chip),
        "motifs": [{"id": m.id, "name": m.name, "width": m.width} for m in planted_motifs()],
        "site_kinds": list(SITE_KINDS),
        "states": list(assays.STATES),
        "rules": {
            "open": (
                "a distal region is open with 0.93 where its programme is active, 0.04 elsewhere; a"
                " quarter of those are only primed"
            ),
            "bound": (
                "a site is bound with 0.95 where its region is open; 0.12 when its pair has the"
                " wrong spacing; never in closed or primed regions"
            ),
            "pair": (
                "55 % of distal regions hold their programme's pair, 70 % of these at the preferred"
                " gap and strands"
            ),
            "state": (
                "open and primed regions carry their state with 0.90, others with 0.03; 2 % of bins"
                " are noise"
            ),
        },
        "splits": plan.splits | {"unseen_cell": plan.cell_types[-1]},
        "files": {"sites": "truth_sites.tsv.gz", "regions": "truth_regions.tsv.gz"},
    }


def read_truth(folder: str | Path) -> dict[str, Any]:
    """Read truth.json of a playground."""
    return json.loads((Path(folder) / "truth.json").read_text(encoding="utf-8"))
