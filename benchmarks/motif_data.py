# ruff: noqa: E402 (threads are set before anything that reads them)
"""What rows 4 to 8 share: 579 JASPAR motifs, a stretch of hg19 chr20, one thread on both sides.

The motifs and the genome are the real files of ../shared/data (EPILM_TEST_DATA names another
folder); what would do in their place, the runner says (WHAT in __main__.py). The stretch keeps its
runs of N.
"""

import os

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import gzip
from pathlib import Path

import numpy as np

from epilm.motifs.formats import Motif, read_motifs
from epilm.motifs.log_odds import log_odds

DATA = Path(os.environ.get("EPILM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
START = 4_400_000  # holds a gap of the assembly (one N at 4,465,737)


def motifs() -> list[Motif]:
    """The 579 motifs of JASPAR 2018 CORE vertebrates."""
    return read_motifs(
        DATA / "motifs" / "JASPAR2018_CORE_vertebrates_non-redundant.counts.jaspar.gz"
    )


def pwms() -> list[np.ndarray]:
    """Their log-odds in nats: counts, pseudocount 1, uniform background."""
    return [log_odds(motif) for motif in motifs()]


def sequence(length: int, start: int = START) -> str:
    """Upper-case bases of hg19 chr20."""
    raw = gzip.decompress((DATA / "reference_hg19" / "hg19_chr20_to_11095000.fa.gz").read_bytes())
    text = raw.split(b"\n", 1)[1].replace(b"\n", b"").upper()
    return text[start : start + length].decode()


def encode(text: str) -> np.ndarray:
    """A=0 C=1 G=2 T=3 N=4."""
    table = np.full(256, 4, dtype=np.uint8)
    table[list(b"ACGT")] = range(4)
    return table[np.frombuffer(text.encode(), dtype=np.uint8)]
