"""Contact maps of chromosomes to the store's one sorted table.

Needs `epilm.genome`; used by `build` only. Reading the table is `arrays.ContactTable`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from epilm.errors import InputError, StoreError
from epilm.genome.contacts import Contacts
from epilm.store.arrays import ContactTable


def contact_table(maps: Sequence[Contacts], sizes: Mapping[str, int]) -> tuple[int, np.ndarray, np.ndarray]:
    """Join contact maps of chromosomes into the store's table.

    Parameters
    ----------
    maps : sequence of Contacts
        Of one resolution, each chromosome in one of them.
    sizes : dict
        Chromosome lengths, in genome order.

    Returns
    -------
    resolution : int
    keys : int64 (K,)
    values : float32 (K,)
        log(1 + observed / expected at that distance); see `ContactTable`.

    Raises
    ------
    InputError
        If resolutions differ, a chromosome comes twice, or none is in the genome.
    StoreError
        If a map has bins past its chromosome.
    """
    widths = sorted({one.resolution for one in maps})
    if len(widths) > 1:
        raise InputError(
            "the contact maps have different resolutions",
            where=", ".join(Path(one.source).name for one in maps),
            found=", ".join(f"{w} bp" for w in widths),
            expected="one resolution",
            do="Give maps of one resolution, or choose one with --contacts-resolution.",
        )
    width = widths[0]
    bins = ContactTable.bins(tuple(sizes.values()), width)
    number = {name: i for i, name in enumerate(sizes)}
    parts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for one in maps:
        for chrom, found in one.chroms.items():
            if chrom not in number:
                continue
            c = number[chrom]
            if c in parts:
                raise InputError("a chromosome has two contact maps", where=one.source, found=chrom)
            i, j = found.keys // found.n_bins, found.keys % found.n_bins
            if len(j) and int(j.max()) >= bins[c + 1] - bins[c]:
                raise StoreError(
                    "a contact lies past the end of its chromosome",
                    where=one.source,
                    found=f"{chrom}:{int(j.max()) * width}",
                    expected=f"at most {sizes[chrom]} bp",
                    do="The map belongs to another assembly.",
                )
            expected = found.expected()[j - i]
            values = np.log1p(found.values / np.where(expected > 0, expected, 1.0)).astype(np.float32)
            parts[c] = ((i + bins[c]) * bins[-1] + (j + bins[c]), values)
    if not parts:
        raise InputError(
            "no chromosome of the contact maps is in the genome",
            where=", ".join(one.source for one in maps),
            found=", ".join(sorted({c for one in maps for c in one.chroms})[:5]),
            expected=", ".join(list(sizes)[:5]),
        )
    ordered = [parts[c] for c in sorted(parts)]
    return width, np.concatenate([k for k, _ in ordered]), np.concatenate([v for _, v in ordered])
