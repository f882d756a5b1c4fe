"""Genomes read at random, from bgzip and .2bit."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.fasta import open_genome
from epilm.genome.sequence import decode

from .fasta_files import RECORDS, write


def test_pysam_and_py2bit_read_what_we_read(tmp_path):
    py2bit = pytest.importorskip("py2bit")
    path = write(tmp_path, "2bit")
    peer = py2bit.open(str(path))
    genome = open_genome(path)
    for name in RECORDS:
        assert decode(genome.codes(name)) == peer.sequence(name).upper()
    pyfaidx = pytest.importorskip("pyfaidx")
    plain = write(tmp_path, "plain")
    for record in pyfaidx.Fasta(str(plain)):
        assert len(record) == open_genome(plain).sizes[record.name]


def test_a_bgzip_made_by_htslib_is_read_at_random(tmp_path):
    pysam = pytest.importorskip("pysam")
    rng = np.random.default_rng(3)
    letters = {f"chr{i}": "".join(rng.choice(list("ACGTacgtN"), 70_000 + i)) for i in (1, 2)}
    text = "".join(
        f">{n}\n" + "\n".join(s[j : j + 61] for j in range(0, len(s), 61)) + "\n"
        for n, s in letters.items()
    )
    (tmp_path / "a.fa").write_text(text)
    pysam.tabix_compress(str(tmp_path / "a.fa"), str(tmp_path / "a.fa.gz"))
    pysam.faidx(str(tmp_path / "a.fa.gz"))
    genome = open_genome(tmp_path / "a.fa.gz")
    for name, seq in letters.items():
        assert decode(genome.codes(name)) == seq.upper()


@pytest.mark.parametrize("cut", [28, 40, 10])
def test_a_cut_bgzip_is_refused(tmp_path, cut):
    path = write(tmp_path, "bgzip+fai")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match="truncated"):
        open_genome(path)


def test_a_wrong_byte_in_a_bgzip_block_is_seen(tmp_path):
    path = write(tmp_path, "bgzip+fai")
    data = bytearray(path.read_bytes())
    data[22] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        open_genome(path).codes("chr1")
