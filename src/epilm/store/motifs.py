"""The motifs a store was built with, as motifs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from epilm.motifs.motif import Motif
from epilm.store.reader import Store


def stored_motif(row: Mapping[str, Any]) -> Motif:
    """Read one row of a store's `motifs`.

    Examples
    --------
    >>> stored_motif({"id": "M1", "matrix": [[8, 0, 0, 2]], "is_counts": True}).consensus
    'A'
    """
    counts = np.asarray(row["matrix"], np.float64)
    return Motif(
        str(row["id"]),
        str(row.get("name", row["id"])),
        counts,
        bool(row.get("is_counts", True)),
        sites=row.get("sites"),
    )


def motifs_of_store(store: Store) -> list[Motif]:
    """Read the motifs of a store; those without their matrices are left out."""
    return [stored_motif(row) for row in store.motifs if row.get("matrix")]
