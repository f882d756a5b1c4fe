"""Files of the invented genome in the formats that real tools read; the same bytes for the same
content.

gzip members carry no time and no name; HDF5 files carry a fixed date.
"""

import gzip
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from epilm.playground.bases import PlantedGene

_LETTERS = np.frombuffer(b"ACGTN", np.uint8)
FASTA_LINE = 60


@contextmanager
def gzip_text(path: Path) -> Iterator[TextIO]:
    """Open a gzip file for text, without time stamp or name inside.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt.gz"
    >>> with gzip_text(path) as handle:
    ...     _ = handle.write("one\\n")
    >>> gzip.decompress(path.read_bytes()), path.read_bytes()[4:8]
    (b'one\\n', b'\\x00\\x00\\x00\\x00')
    """
    with (
        open(path, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="ascii", newline="\n", write_through=False) as text,
    ):
        yield text


def write_table(path: Path, table: pd.DataFrame, *, header: bool = False) -> None:
    """Write a tab-separated table, gzipped when the name ends so."""
    if path.suffix == ".gz":
        with gzip_text(path) as handle:
            table.to_csv(handle, sep="\t", header=header, index=False, lineterminator="\n")
    else:
        table.to_csv(path, sep="\t", header=header, index=False, lineterminator="\n")


class FastaWriter:
    """Writes one chromosome after another to a FASTA file and keeps the lines of its .fai."""

    def __init__(self, path: Path) -> None:
        self._handle = path.open("wb")
        self.index: list[tuple[str, int, int, int, int]] = []

    def add(self, name: str, codes: NDArray[np.uint8], soft: NDArray[np.bool_]) -> None:
        """Write a chromosome; `soft` bases in lower case, codes above 3 as N."""
        self._handle.write(f">{name} simulated by epilm, not a real genome\n".encode())
        self.index.append((name, len(codes), self._handle.tell(), FASTA_LINE, FASTA_LINE + 1))
        letters = _LETTERS[codes] + (soft * np.uint8(32))
        whole = len(letters) // FASTA_LINE * FASTA_LINE
        lines = np.full((whole // FASTA_LINE, FASTA_LINE + 1), ord("\n"), np.uint8)
        lines[:, :-1] = letters[:whole].reshape(-1, FASTA_LINE)
        self._handle.write(lines.tobytes())
        if whole < len(letters):
            self._handle.write(letters[whole:].tobytes() + b"\n")

    def close(self, fai: Path) -> None:
        self._handle.close()
        fai.write_text("".join("\t".join(map(str, row)) + "\n" for row in self.index))


def narrow_peaks(chrom: str, peaks: pd.DataFrame, label: str) -> pd.DataFrame:
    """start, end, summit, signal -> the ten columns of narrowPeak (ENCODE). p and q are made from
    the signal.
    """
    signal = peaks["signal"].to_numpy()
    return pd.DataFrame(
        {
            "chrom": chrom,
            "start": peaks["start"],
            "end": peaks["end"],
            "name": [f"{label}.{chrom}.{i + 1}" for i in range(len(peaks))],
            "score": np.minimum(1000, signal * 20).astype(int),
            "strand": ".",
            "signal": signal,
            "p": np.round(signal * 1.5, 2),
            "q": np.round(signal * 1.2, 2),
            "summit": peaks["summit"],
        }
    )


def gtf_lines(chrom: str, genes: Iterable[PlantedGene]) -> Iterator[str]:
    """Gene, transcript and exon lines, 1-based inclusive."""
    for gene in genes:
        strand = "+" if gene.strand > 0 else "-"
        keys = f'gene_id "{gene.name}"; gene_name "{gene.name}"; gene_type "protein_coding";'
        more = f'{keys} transcript_id "{gene.name}.1";'
        for feature, start, end, attributes in (
            ("gene", gene.start, gene.end, keys),
            ("transcript", gene.start, gene.end, more),
            *(
                ("exon", start, end, f'{more} exon_number "{number}";')
                for number, (start, end) in enumerate(gene.exons[:: gene.strand], 1)
            ),
        ):
            yield (
                f"{chrom}\tepilm_sim\t{feature}\t{start + 1}\t{end}\t.\t{strand}\t.\t{attributes}\n"
            )


def splice_lines(
    chrom: str, genes: Iterable[PlantedGene], rng: np.random.Generator
) -> Iterator[str]:
    """Rows of SpliceAI's canonical layout (protocols 8.1): 1-based, trailing commas."""
    for gene in genes:
        if len(gene.exons) > 1:
            left = "".join(f"{end}," for _, end in gene.exons[:-1])
            right = "".join(f"{start + 1}," for start, _ in gene.exons[1:])
            paralog = int(rng.random() < 0.15)
            strand = "+" if gene.strand > 0 else "-"
            cells = (gene.name, paralog, chrom, strand, gene.start + 1, gene.end, left, right)
            yield "\t".join(map(str, cells)) + "\n"


def vcf_header(size: str, seed: int, sizes: dict[str, int], effects: tuple[str, ...]) -> str:
    """Header of the VCF; says that it is simulated."""
    contigs = "".join(f"##contig=<ID={name},length={length}>\n" for name, length in sizes.items())
    return (
        "##fileformat=VCFv4.2\n"
        f"##source=epilm simulate --size {size} --seed {seed} (simulated, not real variants)\n"
        f"{contigs}"
        '##INFO=<ID=EFFECT,Number=1,Type=String,Description="Planted effect:'
        f' {", ".join(effects)}">\n'
        '##INFO=<ID=CAUSAL,Number=0,Type=Flag,Description="The variant changes what the region'
        ' does">\n'
        '##INFO=<ID=FACTOR,Number=1,Type=String,Description="Factor whose motif holds the'
        ' position">\n'
        '##INFO=<ID=DELTA,Number=1,Type=Float,Description="Change of the site log-odds, alt - ref,'
        ' natural log">\n'
        '##INFO=<ID=CELLS,Number=1,Type=String,Description="Cell types in which the region is open,'
        ' separated by |">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    )


def vcf_lines(chrom: str, variants: pd.DataFrame) -> Iterator[str]:
    """Lines of the VCF, 1-based."""
    for number, row in enumerate(variants.to_dict("records"), 1):
        info = f"EFFECT={row['effect']}" + (";CAUSAL" if row["causal"] else "")
        if row["factor"] != ".":
            info += f";FACTOR={row['factor']};DELTA={row['delta']:.3f}"
        if row["cells"] != ".":
            info += f";CELLS={row['cells']}"
        words = (
            chrom,
            row["pos"] + 1,
            f"sim_{chrom}_{number}",
            row["ref"],
            row["alt"],
            ".",
            "PASS",
            info,
        )
        yield "\t".join(map(str, words)) + "\n"


def write_matrix(path: Path, matrix: sparse.csr_matrix) -> None:
    """Write a Matrix Market file, gzipped: rows regions, columns cells, 1-based."""
    coordinates = matrix.tocoo()
    table = pd.DataFrame(
        {"r": coordinates.row + 1, "c": coordinates.col + 1, "v": coordinates.data}
    )
    with gzip_text(path) as handle:
        handle.write("%%MatrixMarket matrix coordinate integer general\n%simulated by epilm\n")
        handle.write(f"{matrix.shape[0]} {matrix.shape[1]} {matrix.nnz}\n")
        table.to_csv(handle, sep=" ", header=False, index=False, lineterminator="\n")


def write_h5ad(
    path: Path, matrix: sparse.csr_matrix, regions: pd.DataFrame, cells: pd.DataFrame
) -> None:
    """Write cells x regions as AnnData; obs has cell_type, var has chrom, start, end."""
    import anndata

    names = regions["chrom"] + "-" + regions["start"].astype(str) + "-" + regions["end"].astype(str)
    table = anndata.AnnData(
        X=matrix.T.tocsr().astype(np.float32),
        obs=cells.set_index("cell"),
        var=regions.set_index(pd.Index(names.to_numpy(), name="region")),
        uns={"simulated": True, "made_by": "epilm simulate"},
    )
    table.obs["cell_type"] = table.obs["cell_type"].astype("category")
    table.write_h5ad(path, compression="gzip", compression_opts=1)


def write_cooler(
    path: Path,
    sizes: dict[str, int],
    bin_size: int,
    pixels: pd.DataFrame,
    date: str = "2000-01-01T00:00:00",
) -> bool:
    """Write a .cool file; False where the package cooler is not installed. The date inside is
    fixed.
    """
    try:
        import cooler
        import h5py
    except ImportError:
        return False
    bins = cooler.binnify(pd.Series(sizes), bin_size)
    cooler.create_cooler(
        str(path), bins, pixels, assembly="simulated", metadata={"simulated": True}, ordered=True
    )
    with h5py.File(path, "r+") as handle:
        handle.attrs.modify("creation-date", date)
    return True
