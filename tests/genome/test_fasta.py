"""Genomes from every format say the same bases, and every bad file says what is wrong."""

import gzip
import struct

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.fasta import open_genome
from epilm.genome.sequence import decode

from .fasta_files import RECORDS, TEXT, twobit, write

UPPER = {
    name: "".join(b if b in "ACGT" else "N" for b in seq.upper()) for name, seq in RECORDS.items()
}


@pytest.mark.parametrize(
    "how", ["plain", "crlf", "gzip", "bgzip", "bgzip+fai", "2bit", "2bit-big-endian"]
)
def test_every_format_gives_the_same_genome_and_counts(tmp_path, how):
    genome = open_genome(write(tmp_path, how))
    assert genome.sizes == {name: len(seq) for name, seq in RECORDS.items()}
    for name in reversed(RECORDS):
        assert decode(genome.codes(name)) == UPPER[name]
    assert genome.codes("chr1").dtype == np.uint8
    assert decode(genome.fetch("chr1", 2, 9)) == UPPER["chr1"][2:9]
    assert genome.counts["soft_masked"] == sum(map(str.islower, "".join(RECORDS.values())))
    assert genome.counts["non_acgt"] == 6 + 2 + 9
    assert genome.counts["other_iupac"] == (0 if "2bit" in how else 2)
    assert genome.counts["bases"] == 28 + 8 + 9
    assert {p.name for p in tmp_path.iterdir()} <= {
        "g.fa",
        "g.fa.gz",
        "g.2bit",
        "g.fa.gz.fai",
    }, "nothing written beside"


@pytest.mark.parametrize("how", ["plain", "gzip", "2bit"])
def test_a_short_record_is_padded_with_n_and_that_is_said(tmp_path, how):
    sizes = tmp_path / "chrom.sizes"
    sizes.write_text("chr1\t30\nchr2\t8\nchr10\t9\nchrX\t99\n")
    genome = open_genome(write(tmp_path, how), sizes)
    assert genome.sizes == {"chr1": 30, "chr2": 8, "chr10": 9}
    assert decode(genome.codes("chr1")) == UPPER["chr1"] + "NN"
    genome.codes("chr2")
    assert decode(genome.codes("chr1")) == UPPER["chr1"] + "NN"
    assert genome.counts_by_chrom["chr1"]["padded"] == 2
    assert genome.counts_by_chrom["chr1"]["bases"] == 30
    name = "g.2bit" if how == "2bit" else "g.fa" if how == "plain" else "g.fa.gz"
    assert f"{name}: chr1 holds 28 of the 30 declared bp: the rest is N" in genome.notes
    assert f"{name}: declared chromosomes without a record are left out: chrX" in genome.notes


def test_records_that_are_not_declared_are_left_out_and_said(tmp_path):
    genome = open_genome(write(tmp_path, "plain"), {"chr2": 8})
    assert genome.sizes == {"chr2": 8}
    assert genome.notes == ["g.fa: records not in the sizes file are left out: chr1, chr10"]


def test_several_files_or_a_folder_are_one_genome(tmp_path):
    for name in ("chr2", "chr10", "chr1"):
        (tmp_path / f"{name}.fa").write_text(f">{name}\nACGT\n")
    assert list(open_genome(tmp_path).sizes) == ["chr1", "chr2", "chr10"]
    two = open_genome([tmp_path / "chr10.fa", tmp_path / "chr2.fa"])
    assert list(two.sizes) == ["chr10", "chr2"]
    assert decode(two.codes("chr2")) == "ACGT"
    with pytest.raises(InputError, match="chr2 again"):
        open_genome([tmp_path / "chr2.fa", tmp_path / "chr2.fa"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder holds no genome"):
        open_genome(tmp_path / "empty")


def bad(tmp_path, content, name="g.fa", **kw):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        genome = open_genome(path, **kw)
        for chrom in genome.sizes:
            genome.codes(chrom)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["the file is empty", "0 bytes", "Make or download it again"]),
        (b"\n\n", ["not a FASTA file"]),
        (b"chr1\t5\t9\n", ["not a FASTA file", "'chr1\\t5\\t9'", "'>name'"]),
        (b"@r1\nACGT\n+\nIIII\n", ["not a FASTA file", "FASTQ"]),
        (b">chr1\nACGT\n>chr1 again\nAC\n", ["two records have the same name", "chr1 again"]),
        (b">chr1\n>chr2\nAC\n", ["the record has no bases", "record chr1"]),
        (b">\nACGT\n", ["a record has no name"]),
        (
            b">p1\nMKVLE\n",
            ["the record is not DNA", "record p1", "'L' at base 4", "It looks like protein"],
        ),
        (b"PK\x03\x04zip", ["wrong format", "zip", "unzip"]),
        (b"<html>404</html>", ["wrong format", "a web page"]),
        (gzip.compress(TEXT.encode() * 50, mtime=0)[:-30], ["truncated", "gzip -t"]),
        (gzip.compress(TEXT.encode(), mtime=0)[:-8] + bytes(8), ["damaged"]),
        (gzip.compress(b"", mtime=0), ["the gzip file holds nothing"]),
        (gzip.compress(b">chr1\nAC\n>chr1\nAC\n", mtime=0), ["two records have the same name"]),
        (gzip.compress(b"hello\n", mtime=0), ["not a FASTA file"]),
        (twobit({"chr1": "ACGTACGT"})[:-9], ["the .2bit file is truncated"]),
        (twobit({"chr1": "ACGTACGT"})[:20], ["the .2bit file is truncated"]),
        (struct.pack("<4I", 0x1A412743, 7, 1, 0), ["unknown .2bit version"]),
    ],
)
def test_a_bad_file_is_named_with_what_was_found_and_the_cure(tmp_path, content, words):
    message = bad(tmp_path, content)
    for word in words:
        assert word in message


def test_a_missing_file_and_a_foreign_interval_are_named(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        open_genome(tmp_path / "no.fa")
    genome = open_genome(write(tmp_path, "plain"))
    with pytest.raises(InputError, match="not inside the chromosome") as error:
        genome.fetch("chr2", 5, 9)
    assert "chr2:5-9" in str(error.value)
    with pytest.raises(InputError, match="named differently"):
        genome.codes("1")


def test_a_record_longer_than_declared_is_another_assembly(tmp_path):
    message = bad(tmp_path, TEXT.encode(), sizes={"chr1": 20, "chr2": 8, "chr10": 9})
    for word in ("record chr1", "28 bp", "at most 20 bp", "different assemblies"):
        assert word in message
    assert "named differently" in bad(tmp_path, TEXT.encode(), sizes={"1": 28})


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("chr1\t28\n", ["not a FASTA index", "line 1", "samtools faidx"]),
        ("chr1\t28\t999\t10\t11\n", ["does not fit the file"]),
        ("chr1\t26\t22\t10\t11\n", ["does not fit the file"]),
        ("", ["the FASTA index is empty"]),
    ],
)
def test_a_wrong_index_is_refused(tmp_path, index, words):
    path = write(tmp_path, "bgzip+fai")
    (tmp_path / "g.fa.gz.fai").write_text(index)
    with pytest.raises(InputError) as error:
        open_genome(path).codes("chr1")
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("chr1\tlong\n", ["line 1", "not a chromosome and its length"]),
        ("chr1\t5\nchr1\t6\n", ["line 2", "declared twice"]),
        ("#x\n", ["no chromosome is declared"]),
    ],
)
def test_a_wrong_sizes_file_is_refused(tmp_path, content, words):
    (tmp_path / "s").write_text(content)
    with pytest.raises(InputError) as error:
        open_genome(write(tmp_path, "plain"), tmp_path / "s")
    for word in words:
        assert word in str(error.value)


def test_real_slices_have_the_published_bases(real_data):
    genome = open_genome(
        [
            real_data / "reference_hg19/hg19_chr20_to_11095000.fa.gz",
            real_data / "reference_hg19/hg19_chr22_to_22000000.fa.gz",
        ],
        real_data / "reference_hg19/chrom.sizes",
    )
    assert genome.sizes == {"chr20": 63025520, "chr22": 51304566}
    assert len(genome.notes) == 2
    twenty = genome.fetch("chr20", 0, 11_095_000)
    assert int((twenty < 4).sum()) == 11_020_643
    gc = np.isin(twenty, (1, 2)).sum() / (twenty < 4).sum()
    assert abs(gc - 0.422) < 5e-4
    assert int((genome.codes("chr22") < 4).sum()) == 5_699_979
