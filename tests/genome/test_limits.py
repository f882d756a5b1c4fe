"""Small files that claim or unpack to far too much end with one message, in little memory and time.

Each is read under a limit of memory of its process that what it claims would pass many times over.
"""

import gzip
import io
import resource
import struct
import zipfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from scipy import sparse

from epilm.errors import DamagedError, InputError
from epilm.genome import limits
from epilm.genome.fasta import open_genome
from epilm.genome.files import blocks_of_lines, read_text
from epilm.genome.matrices import r_matrix, read
from epilm.genome.peaks import read_peaks
from epilm.tasks.binding.dream.wilds import read_wilds
from epilm.tensor_files import load_tensors

from .fasta_files import twobit

TRILLION = 10**12


@contextmanager
def little_memory(more=1 << 30):
    """Let this process have so much more memory than it has, and no byte beyond."""
    with open("/proc/self/statm", encoding="ascii") as file:
        here = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (here + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refused(what, *words, **named):
    with little_memory(), pytest.raises(InputError) as refusal:
        what(*words, **named)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (f"{TRILLION} 4 3", "the matrix is larger than any that is measured"),
        (f"4 {TRILLION} 3", "sides of at most 100,000,000"),
        (f"30000 40000 {TRILLION}", "claims more values than the file can hold"),
        ("-1 4 3", "m.mtx"),
    ],
)
def test_a_matrix_market_file_that_claims_a_trillion(tmp_path, sizes, said):
    path = tmp_path / "m.mtx"
    path.write_text(f"%%MatrixMarket matrix coordinate integer general\n%c\n{sizes}\n1 2 2\n")
    assert said in refused(read, path)
    path.write_text(f"%%MatrixMarket matrix array real general\n30000 {10**8}\n1\n")
    assert "claims more values than the file can hold" in refused(read, path)


def npz(path, **arrays):
    """Arrays of a sparse matrix; bytes are put in as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, value in arrays.items():
            raw = value
            if not isinstance(value, bytes):
                buffer = io.BytesIO()
                np.save(buffer, np.asarray(value), allow_pickle=False)
                raw = buffer.getvalue()
            out.writestr(f"{name}.npy", raw)
    return path


def header(shape, kind="<i8"):
    """The head of an .npy file whose data are missing."""
    buffer = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue() + b"\x00" * 64


def test_npz_files_that_claim_a_trillion(tmp_path, monkeypatch):
    whole = {"indices": [0], "indptr": [0, 1], "format": b"", "shape": [1, 4], "data": [1]}
    buffer = io.BytesIO()
    sparse.save_npz(buffer, sparse.csr_array(np.eye(2)))
    with zipfile.ZipFile(buffer) as made:
        whole["format"] = made.read("format.npy")
    said = refused(read, npz(tmp_path / "a.npz", **whole | {"shape": [TRILLION, 4]}))
    assert "the matrix is larger than any that is measured" in said
    said = refused(read, npz(tmp_path / "b.npz", **whole | {"indptr": header((TRILLION,))}))
    assert "b.npz: this is no sparse matrix" in said
    monkeypatch.setattr(limits, "FREE", 1 << 24)
    said = refused(read, npz(tmp_path / "c.npz", **whole | {"indices": b"\x00" * (20 << 20)}))
    assert "unpacks to far more than measured data would" in said


def test_a_sparse_matrix_of_r_that_claims_a_billion_rows():
    slots = SimpleNamespace(Dim=[10**9, 2], p=[0, 1, 1], i=[0], x=[1.0])
    said = refused(r_matrix, slots, Path("m.RDS"))
    assert "m.RDS: the matrix is larger than any that is measured. Found 1,000,000,000 x 2" in said


def r_sequence(n):
    """R's 1:n, as saveRDS writes it: the class of it, then its length, start and step."""
    nothing = struct.pack(">i", 254)

    def symbol(name):
        return struct.pack(">3i", 1, 0x40009, len(name)) + name

    pair = struct.pack(">i", 2)
    kind = pair + symbol(b"compact_intseq") + pair + symbol(b"base")
    kind += pair + struct.pack(">3i", 13, 1, 13) + nothing
    head = b"X\n" + struct.pack(">4i", 3, 0x40100, 0x30500, 5) + b"UTF-8"
    state = struct.pack(">2i3d", 14, 3, n, 1, 1)
    return head + struct.pack(">i", 238) + kind + state + nothing


def test_a_sequence_of_r_that_claims_a_billion_numbers(tmp_path):
    path = tmp_path / "m.RDS"
    path.write_bytes(r_sequence(5))
    assert "the R object holds no count matrix" in refused(read, path)
    path.write_bytes(r_sequence(10**9))
    assert "the file unpacks to far more than measured data would" in refused(read, path)


def test_an_npy_file_that_claims_a_trillion(tmp_path):
    (tmp_path / "metadata_df.bed").write_text("chr1\t0\t50\tliver\n")
    (tmp_path / "metadata_y.npy").write_bytes(header((TRILLION, 128), "<f4"))
    assert "metadata_y.npy: the array cannot be read" in refused(read_wilds, tmp_path)


def test_hdf5_files_that_claim_a_trillion(tmp_path):
    """Chunks that were never written take no byte of the file."""
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file.create_dataset("X", (10**6, 10**6), np.float32, chunks=(1000, 1000))
    assert (tmp_path / "a.h5ad").stat().st_size < 10_000
    said = refused(read, tmp_path / "a.h5ad")
    assert "a.h5ad: the file unpacks to far more than measured data would" in said
    with h5py.File(tmp_path / "b.h5ad", "w") as file:
        group = file.create_group("X")
        group.attrs["shape"] = [TRILLION, 5]
        group["indptr"] = [0]
    assert "the matrix is larger than any that is measured" in refused(read, tmp_path / "b.h5ad")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        group = file.create_group("matrix")
        group["shape"] = [3, TRILLION]
        for name in ("barcodes", "features/id", "features/feature_type"):
            group[name] = np.array([b"x"])
        for name in ("data", "indices", "indptr"):
            group[name] = [0]
    assert "the matrix is larger than any that is measured" in refused(read, tmp_path / "c.h5")


def test_a_twobit_file_that_claims_four_billion(tmp_path):
    whole = bytearray(twobit({"chr1": "ACGT" * 4}))
    at = whole.index(struct.pack("<I", 16), 16)  # the record's length
    whole[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    (tmp_path / "g.2bit").write_bytes(whole)
    said = refused(lambda: open_genome(tmp_path / "g.2bit").codes("chr1"))
    assert "the .2bit file is truncated" in said
    whole[8:12] = struct.pack("<I", 0xFFFFFFFF)  # how many records there are
    (tmp_path / "g.2bit").write_bytes(whole)
    assert "truncated" in refused(lambda: open_genome(tmp_path / "g.2bit"))


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """64 MB of A in 64 kB."""
    path = tmp_path_factory.mktemp("bomb") / "g.fa.gz"
    with gzip.open(path, "wb", 6) as out:
        out.write(b">chr1\n")
        for _ in range(64):
            out.write(b"A" * (1 << 20))
    assert path.stat().st_size < 90_000
    return path


def test_a_gzip_bomb_ends_whatever_reads_it(bomb, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FREE", 1 << 25)
    said = refused(open_genome, bomb)
    assert "g.fa.gz: the file unpacks to far more than measured data would. Found more than" in said
    # The others with a bomb of 3 MB and a limit of 1: what reads is the same.
    monkeypatch.setattr(limits, "FREE", 1 << 20)
    small = gzip.compress(b"chr1\t1\t5\n" + b"A" * (3 << 20))
    for name, use in (
        ("a.bed.gz", read_peaks),
        ("a.txt.gz", lambda path: read_text(path, "a list")),
        ("b.txt.gz", lambda path: list(blocks_of_lines(path, "a list"))),
        ("m.mtx.gz", read),
        ("c.RDS", read),
    ):
        path = tmp_path / name
        path.write_bytes(small)
        assert "unpacks to far more" in refused(use, path), name


def test_lists_of_people_and_variants_and_motifs_are_bounded_too(tmp_path, monkeypatch):
    from epilm.motifs.formats import read_motifs
    from epilm.tasks.sequences import read_lines
    from epilm.variants.variant_files import read_variants

    monkeypatch.setattr(limits, "FREE", 1 << 20)
    small = gzip.compress(b"chrom\tpos\tref\talt\n" + b"A" * (3 << 20))
    for name, use in (
        ("v.tsv.gz", read_variants),
        ("v.vcf.gz", read_variants),
        ("m.jaspar.gz", read_motifs),
        ("s.tsv.gz", lambda path: list(read_lines(path))),
    ):
        path = tmp_path / name
        path.write_bytes(small)
        assert "unpacks to far more" in refused(use, path), name


def test_what_packs_as_measured_data_do_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FREE", 1 << 10)
    letters = np.random.default_rng(0).choice(list("ACGT"), 200_000)
    (tmp_path / "g.fa.gz").write_bytes(gzip.compress(b">chr1\n" + "".join(letters).encode()))
    assert open_genome(tmp_path / "g.fa.gz").sizes == {"chr1": 200_000}


def test_a_safetensors_header_of_four_gigabytes(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 4 << 30) + b'{"a":' + b" " * 9000)
    with little_memory(), pytest.raises(DamagedError, match="the weights cannot be read"):
        load_tensors(path)
    about = b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    path.write_bytes(struct.pack("<Q", len(about)) + about)
    with little_memory(), pytest.raises(DamagedError, match="the weights cannot be read"):
        load_tensors(path)
