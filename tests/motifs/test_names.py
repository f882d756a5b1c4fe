"""The motifs of a factor in a collection, however that spells dimers and variants."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.motifs.motif import Motif
from epilm.motifs.names import motifs_of

COLLECTION = [
    Motif(f"M{number}", name, np.ones((1, 4)), True)
    for number, name in enumerate(
        ["JUND", "FOS::JUND", "JUND(var.2)", "MAX_MYC", "Max", "CEBPB", "CEBPA"]
    )
]


@pytest.mark.parametrize(
    ("factor", "ids"),
    [
        ("jund", ["M0", "M2"]),  # itself, so dimers do not count
        ("FOS", ["M1"]),
        ("MYC", ["M3"]),
        ("max", ["M4"]),
        ("m5", ["M5"]),
    ],
)
def test_the_name_itself_else_the_dimers_that_hold_it(factor, ids):
    assert [motif.id for motif in motifs_of(COLLECTION, factor)] == ids


def test_a_factor_without_a_motif_is_told_the_names_that_begin_alike():
    with pytest.raises(
        InputError, match="no motif.*Found CEBPD; expected a name such as CEBPA, CEBPB.*--factor"
    ):
        motifs_of(COLLECTION, "CEBPD")
    with pytest.raises(InputError, match="Found REST; expected a name in the collection"):
        motifs_of(COLLECTION, "REST")
