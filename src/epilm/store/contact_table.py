"""Contact maps of chromosomes to the store's one sorted table.

Needs `epilm.genome`; used by `build` only. Reading the table is `arrays.ContactTable`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epilm.errors import InputError, StoreError
from epilm.genome.chromosomes import check_names, few
from epilm.genome.contact_maps import ChromContacts, Contacts
from epilm.store.arrays import ContactTable


def contact_table(
    maps: Sequence[Contacts],
    sizes: Mapping[str, int],
    resolution: int | None = None,
    notes: list[str] | None = None,
) -> tuple[int, np.ndarray, np.ndarray]:
    """Join contact maps of chromosomes into the store's table.

    Parameters
    ----------
    maps : sequence of Contacts
        Each chromosome in one of them.
    sizes : dict
        Chromosome lengths, in genome order.
    resolution : int, optional
        Bin width in bp, a multiple of those of the maps; default theirs.
    notes : list of str, optional
        Gets a line for what is left out.

    Returns
    -------
    resolution : int
    keys : int64 (K,)
    values : float32 (K,)
        log(1 + observed / expected at that distance); see `ContactTable`.

    Raises
    ------
    InputError
        If resolutions do not fit, a chromosome comes twice or is spelled otherwise than in the
        genome, or none is in the genome.
    StoreError
        If a map has bins past its chromosome.
    """
    widths = sorted({one.resolution for one in maps})
    width = widths[-1] if resolution is None else resolution
    if (resolution is None and len(widths) > 1) or any(width % w for w in widths):
        common = math.lcm(*widths)
        raise InputError(
            (
                "the contact maps do not have this resolution"
                if resolution
                else "the contact maps have different resolutions"
            ),
            where=", ".join(Path(one.source).name for one in maps),
            found=", ".join(f"{w} bp" for w in widths),
            expected="one resolution" if resolution is None else f"divisors of {resolution} bp",
            do=f"Give --contacts-resolution {common} to join their bins.",
        )
    said = [] if notes is None else notes
    maps = [coarsen(_as_in_the_genome(one, sizes, said), width) for one in maps]
    for one in maps:
        said += one.notes
    bins = ContactTable.bins(tuple(sizes.values()), width)
    number = {name: i for i, name in enumerate(sizes)}
    parts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for one in maps:
        for chrom, matrix in one.chroms.items():
            if chrom not in number:
                continue  # said by _as_in_the_genome
            c = number[chrom]
            if c in parts:
                raise InputError("a chromosome has two contact maps", where=one.source, found=chrom)
            i, j = matrix.keys // matrix.n_bins, matrix.keys % matrix.n_bins
            if len(j) and int(j.max()) >= bins[c + 1] - bins[c]:
                raise StoreError(
                    "a contact lies past the end of its chromosome",
                    where=one.source,
                    found=f"{chrom}:{int(j.max()) * width}",
                    expected=f"at most {sizes[chrom]} bp",
                    do="The map belongs to another assembly.",
                )
            expected = matrix.expected()[j - i]
            values = np.log1p(matrix.values / np.where(expected > 0, expected, 1.0)).astype(
                np.float32
            )
            parts[c] = ((i + bins[c]) * bins[-1] + (j + bins[c]), values)
    ordered = [parts[c] for c in sorted(parts)]
    return width, np.concatenate([k for k, _ in ordered]), np.concatenate([v for _, v in ordered])


def _as_in_the_genome(one: Contacts, sizes: Mapping[str, int], notes: list[str]) -> Contacts:
    """Refuse chromosomes spelled otherwise, count those the genome lacks.

    Juicer takes "chr" away, and nobody can edit a .hic file: of such a map it is put back.
    """
    if Path(one.source).suffix == ".hic" and not set(one.chroms) & set(sizes):
        bare = {name.removeprefix("chr"): name for name in sizes}
        if "chrM" in sizes:
            bare["MT"] = "chrM"
        if set(one.chroms) & set(bare):
            chroms = {bare.get(name, name): matrix for name, matrix in one.chroms.items()}
            one = replace(one, chroms=chroms)
            notes.append(f"{one.source}: chromosomes are named without chr: it was added")
    lacking = check_names(one.chroms, sizes, one.source)
    lost = sum(len(one.chroms[name].keys) for name in lacking)
    if lost:
        n = sum(len(matrix.keys) for matrix in one.chroms.values())
        notes.append(
            f"{one.source}: {lost} of {n} contacts are on chromosomes the genome does not have"
            f" ({few(lacking)}): left out"
        )
    return one


def coarsen(one: Contacts, resolution: int) -> Contacts:
    """Join the bins of a contact map: counts of joined bins are added.

    Parameters
    ----------
    one : Contacts
    resolution : int
        A multiple of its bin width.

    Examples
    --------
    >>> fine = ChromContacts(
    ...     4, np.array([0, 1, 4 + 1, 2 * 4 + 3]), np.array([8, 2, 4, 1], np.float32)
    ... )
    >>> joined = coarsen(Contacts(100, {"chr1": fine}, "a"), 200).chroms["chr1"]
    >>> joined.n_bins, joined.keys.tolist(), joined.values.tolist()
    (2, [0, 3], [14.0, 1.0])
    """
    factor = resolution // one.resolution
    if factor == 1:
        return one
    chroms = {}
    for name, fine in one.chroms.items():
        i, j = fine.keys // fine.n_bins // factor, fine.keys % fine.n_bins // factor
        n_bins = -(-fine.n_bins // factor)
        keys, inverse = np.unique(i * n_bins + j, return_inverse=True)
        values = np.bincount(inverse, weights=fine.values).astype(np.float32)
        chroms[name] = ChromContacts(n_bins, keys, values)
    return Contacts(resolution, chroms, one.source, one.notes)
