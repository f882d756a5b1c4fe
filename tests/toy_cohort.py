"""A genome of 3,000 bases, and people with variants of it, as files small enough to read."""

import numpy as np

from epilm.genome.sequence import decode

BASES = np.random.default_rng(5).integers(0, 4, 3000).astype(np.uint8)
LETTERS = decode(BASES)
HEAD = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


def write_genome(folder):
    path = folder / "g.fa"
    path.write_text(f">chr1\n{LETTERS}\n>chr2\n{LETTERS[::-1]}\n")
    return path


def snv(pos):
    """A variant at a 1-based position as (chrom, pos, ref, alt)."""
    ref = LETTERS[pos - 1]
    return "chr1", pos, ref, OTHER[ref]


def write_vcf(path, samples, rows, more=(), format="GT"):
    """Rows: (chrom, pos, ref, alt, [calls])."""
    lines = [
        "##fileformat=VCFv4.2",
        "##contig=<ID=chr1>",
        "##contig=<ID=chr2>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">',
        *more,
        "\t".join([*HEAD, *samples] if samples else HEAD[:-1]),
    ]
    for chrom, pos, ref, alt, calls in rows:
        own = [format, *calls] if samples else []
        lines.append("\t".join([chrom, str(pos), ".", ref, alt, ".", "PASS", ".", *own]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_plink(stem, samples, rows):
    """Rows: (chrom, pos, A1, A2, [copies of A1, None where missing]); encoded by the format's own
    words: two bits a person, 00 two copies of A1, 01 missing, 10 one copy, 11 none.
    """
    code = {2: 0b00, None: 0b01, 1: 0b10, 0: 0b11}
    out = bytearray(b"\x6c\x1b\x01")
    for *_, copies in rows:
        for start in range(0, len(samples), 4):
            byte = 0
            for k, n in enumerate(copies[start : start + 4]):
                byte |= code[n] << (2 * k)
            out.append(byte)
    stem.with_suffix(".bed").write_bytes(bytes(out))
    bim = [f"{c}\trs{i}\t0\t{p}\t{a1}\t{a2}" for i, (c, p, a1, a2, _) in enumerate(rows)]
    stem.with_suffix(".bim").write_text("\n".join(bim) + "\n")
    fam = [f"{name} {name} 0 0 0 -9" for name in samples]
    stem.with_suffix(".fam").write_text("\n".join(fam) + "\n")
    return stem.with_suffix(".bed")


def write_people(path, rows, header="sample\tphenotype"):
    path.write_text("\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n")
    return path


def write_sites(path, rows, header="chrom\tpos\tref\talt\taf\teffect"):
    path.write_text("\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n")
    return path
