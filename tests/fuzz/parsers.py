"""Every parser of a user's file: a whole file that it reads, and how it is read.

Each `Parser` writes its files into a folder and reads one of them that has been edited. The rule:
it reads, or raises an error of epilm; nothing else gets out.
"""

import gzip
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZES = {"chr1": 1000, "chr2": 500}
# What breaks readers of text, and numbers that break readers of bytes.
PIECES = [
    *(b"", b"\t", b"\n", b" ", b"0", b"-", b"-1", b"9" * 30, b"1" + b"0" * 12, b"chr1", b"#"),
    *("é".encode(), b"\r\n", b",", b".", b"nan", b"inf", b"1e308", b"1e3", b"\x00", b'"', b"NA"),
    *(b"\\", b":", b";", b"[", b"]", b"{", b"}", b"&a", b"*a", b"!!python/object", b"\xff", b"'"),
    *(struct.pack("<I", 0xFFFFFFFF), struct.pack("<I", 0x7FFFFFFF), struct.pack(">I", 1 << 30)),
    *(struct.pack("<Q", 10**12), struct.pack("<H", 0xFFFF), b"\x01", b"\x80", b"%", b"<", b"="),
]
LENGTHS = [0, 0, 1, 1, 2, 4, 8, 12]  # bytes that an edit takes away
Edit = tuple[float, int, int]  # where (share of the file), how many bytes go, which piece comes


def mutate(content: bytes, edits: list[Edit]) -> bytes:
    """Apply edits; a piece number of len(PIECES) and more cuts the file there, or doubles a part.

    A gzip file is edited within, and packed again.
    """
    packed = content[:2] == b"\x1f\x8b"
    text = gzip.decompress(content) if packed else content
    for where, n, number in edits:
        at = min(int(where * (len(text) + 1)), len(text))
        if number < len(PIECES):
            text = text[:at] + PIECES[number] + text[at + n :]
        elif number == len(PIECES):
            text = text[:at]
        elif number == len(PIECES) + 1:
            text = text[: at + 4 * n] + text[at:]
        else:  # one bit
            text = (
                text[:at] + bytes([text[at] ^ (1 << (n % 8))]) + text[at + 1 :]
                if text[at:]
                else text
            )
    return gzip.compress(text, mtime=0) if packed else text


def drawn(seed: int) -> list[Edit]:
    """Edits of a number, for the long run."""
    rng = random.Random(seed)
    return [
        (
            rng.random() ** rng.choice([1, 3]),
            rng.choice([0, 0, 1, 1, 2, 4, 8, 12]),
            rng.randrange(len(PIECES) + 6),
        )
        for _ in range(rng.choice([1, 1, 1, 2, 3, 5]))
    ]


@dataclass(frozen=True)
class Parser:
    """A parser.

    Attributes
    ----------
    name : str
    file : str
        Which of the files is edited.
    make : function (folder)
        Writes whole files.
    read : function (path)
    """

    name: str
    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]


def text(content: str, file: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        data = content.encode()
        (folder / file).write_bytes(gzip.compress(data, mtime=0) if file.endswith(".gz") else data)

    return make


FASTA = ">chr1 one\nACGTNNacgtRY\nACGT\n>chr2\nTTTTT\n"
BED = "chr1\t0\t200\ta\t5\t+\nchr1\t300\t410\tb\t7\t-\nchr2\t5\t90\tc\t1\t.\n"
STARTS = BED.replace(".\n", "+\n")
PEAK = "chr1\t0\t200\ta\t5\t.\t1.5\t2\t3\t50\nchr2\t10\t90\tb\t5\t.\t1.5\t2\t3\t-1\n"
STATES = (
    "track name=x\nchr1\t0\t200\t1_A\t0\t.\t0\t200\t1,2,3\nchr2\t200\t400\t2_B\t0\t.\t0\t0\t0\n"
)
IDEAS = "#ID CHR POSst POSed A B PosClass\nx chr1 0 200 0 1 2\ny chr2 200 400 1 NA 0\n"
HUB = "track a\ntype bigBed 9\nshortLabel E001 x\nbigDataUrl a.bb\n\ntrack b\nbigDataUrl b.bb\n"
GRAPH = "chr1\t0\t5\t1.5\nchr1\t7\t9\tNA\nchr2\t1\t3\t2\n"
GTF = "".join(
    f'chr1\tX\t{kind}\t{a}\t{b}\t.\t+\t.\tgene_id "G{g}"; transcript_id "T{g}";'
    f' gene_type "protein_coding"; gene_name "g{g}";\n'
    for g in (1, 2)
    for kind, a, b in (("gene", 11, 90), ("transcript", 11, 90), ("exon", 11, 30), ("exon", 51, 90))
)
JASPAR = ">M1 x\nA [ 9 0 0 ]\nC [ 0 9 1 ]\nG [ 0 0 9 ]\nT [ 1 1 1 ]\n>M2 y\n1 2\n3 4\n5 6\n7 8\n"
MEME = (
    "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nMOTIF M1 first\nletter-probability matrix:"
    " alength= 4 w= 2 nsites= 20 E= 0\n 0.5 0.5 0 0\n 0 0 0.25 0.75\n"
)
TRANSFAC = (
    "AC M1\nXX\nID x\nNA MyoD\nP0      A      C      G      T\n01 1 2 2 0 S\n02 2 1 2 0 R\n//\n"
)
HOMER = ">CACGTG\tname\t6.0\n0.9\t0.05\t0.03\t0.02\n0.1\t0.2\t0.3\t0.4\n"
MTX = "%%MatrixMarket matrix coordinate integer general\n%c\n3 4 3\n1 2 2\n2 4 1\n3 1 5\n"
CELLS = "cell\tcell_type\tbatch\nAA-1\tX\t1\nCC-1\tX\t1\nGG-1\tY\t2\n"
VCF = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=1000>\n"
    '##INFO=<ID=AF,Number=A,Type=Float,Description="x">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\n"
    "chr1\t5\trs1\tA\tC,<DEL>\t.\tPASS\tAF=0.1,0.2\tGT\t0|1\t1/1\n"
    "chr1\t9\t.\tAC\tA\t.\tPASS\t.\tGT\t0/0\t./1\n"
)
VARIANTS = "chrom\tpos\tid\tref\talt\nchr1\t5\trs1\tA\tC\nchr1\t9\t.\tAC\tA,-\n"
TABLE = (
    "sequence\tlabel\tsplit\nACGTAC\t1\ttrain\nACGTTT\t0\ttrain\nGGGTTT\t1\ttest\nGGATTT\t0\ttest\n"
)
CONTACTS = "".join(
    f"chr1\t{a}\t{a + 100}\tchr1\t{b}\t{b + 100}\t{n}\n"
    for a, b, n in ((0, 0, 8), (0, 100, 2), (100, 200, 4))
)
LABELS = "chr\tstart\tstop\tliver\theart\n" + "".join(
    f"chr1\t{50 * i}\t{50 * i + 200}\t{'UBA'[i % 3]}\t{'BUU'[i % 3]}\n" for i in range(12)
)
SUBMISSION = "".join(f"chr1\t{50 * i}\t{50 * i + 200}\t0.{i}\n" for i in range(1, 9))
MANIFEST = "name\ttask\tdata\tnegatives\nA\ttfbs\tsets.tsv\tgc\nB\tpromoter\tsets.tsv\t\n"
SCORES = (
    "model,factor,cell,auroc,auprc_dg,recall_at_fdr10,recall_at_fdr50\n"
    "me,CTCF,liver,0.9,0.5,0.3,0.4\nyou,CTCF,liver,0.8,,0.2,0.3\n"
)
PEOPLE = "sample\tphenotype\tage\tsex\na\t1\t40\tm\nb\t0\t50\tf\nc\t1\t33\tm\n"


def twobit(folder: Path) -> None:
    from genome.fasta_files import twobit as packed

    (folder / "g.2bit").write_bytes(packed({"chr1": "ACGTNNNNacgt" * 4, "chr2": "TTTTT"}))


def bgzip(folder: Path) -> None:
    from genome.fasta_files import bgzip as packed
    from genome.fasta_files import fai

    (folder / "g.fa.gz").write_bytes(packed(FASTA.encode()))
    (folder / "g.fa.gz.fai").write_text(fai(FASTA))


def bigwig(folder: Path) -> None:
    from epilm.genome.signals import write_bigwig

    write_bigwig(folder / "a.bw", SIZES, [("chr1", i, i + 2, float(i)) for i in range(0, 900, 5)])


def bigbed(folder: Path) -> None:
    import pybigtools

    rows = [("chr1", 200 * i, 200 * i + 200, f"{i}_S") for i in range(5)]
    pybigtools.open(str(folder / "a.bb"), "w").write(SIZES, iter(rows))


def counts(how: str) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        from genome import count_files

        if how == "10x":
            names, kinds = ["chr1:5-9", "chr1:20-30", "chr2:0-7"], ["Peaks"] * 3
            return count_files.ten_x(folder / "c.h5", count_files.C, names, kinds)
        return count_files.write(folder, how)

    return make


def matrix(path: Path) -> object:
    from epilm.genome.matrices import read

    return read(path)


def plink(folder: Path) -> None:
    from toy_cohort import snv, write_genome, write_plink

    write_genome(folder)
    rows = []
    for at in (101, 205, 330):
        chrom, pos, ref, alt = snv(at)
        rows.append((chrom, pos, alt, ref, [0, 1, 2, None, 1]))
    write_plink(folder / "p", list("abcde"), rows)


def read_plink(path: Path) -> object:
    from epilm.cohorts.genotypes import open_genotypes
    from epilm.genome.fasta import open_genome

    genotypes = open_genotypes(path.with_suffix(".bed"), open_genome(path.parent / "g.fa"))
    return list(genotypes.blocks(np.arange(len(genotypes.variants.alleles))))


def checkpoint(folder: Path) -> None:
    from epilm.hub.checkpoint import save_model
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec

    small = EncoderSpec(hidden=4, layers=1, heads=1, ffn=4, max_positions=8)
    spec = ModelSpec(
        name="dnabert",
        streams=("dna",),
        k=3,
        max_tokens=8,
        encoder=small,
        next_segment="none",
        projection="none",
        projection_dim=4,
    )
    save_model(folder / "model", build_model(spec, seed=0), spec)


def read_checkpoint(path: Path) -> object:
    from epilm.hub.checkpoint import load_model

    return load_model(path.parent)


def part(folder: Path) -> None:
    from epilm.shards import Shard, write_part

    asked = {"verb": "x", "call": {}, "files": {}, "model": "m", "data": {}, "machine": {}}
    with write_part(folder, Shard(1, 1), asked) as written:
        written.units = 1
        written.put(0, {"values": np.arange(3.0)})


def read_part(path: Path) -> object:
    from epilm.shards import JoinedParts

    with JoinedParts([path.parent]) as joined:
        return list(joined.units())


def read_genome(path: Path) -> object:
    from epilm.genome.fasta import open_genome

    genome = open_genome(path)
    return [genome.codes(chrom) for chrom in genome.sizes]


def read_fai(path: Path) -> object:
    return read_genome(path.with_suffix(""))


def read_signal(path: Path) -> object:
    from epilm.genome.signals import open_signal

    return open_signal(path).read("chr1", 1000)


def read_states(path: Path) -> object:
    from epilm.genome.segmentation import read_states as read

    return read(path, SIZES)


def read_ideas(path: Path) -> object:
    from epilm.genome.ideas import read_ideas_state

    return read_ideas_state(path, SIZES)


def read_recipe(path: Path) -> object:
    from epilm.recipes.recipe import load_recipe

    return load_recipe(path)


def recipe(folder: Path) -> None:
    from epilm.recipes.recipe import list_recipes

    source = list_recipes()["genebert_native"]
    (folder / "r.yaml").write_bytes(source.read_bytes())


def design(folder: Path) -> None:
    from epilm.trials.descriptions import list_designs

    source = sorted(list_designs().values())[0]
    (folder / "d.yaml").write_bytes(source.read_bytes())


def read_json_scores(path: Path) -> object:
    return named("epilm.rankings.score_tables", "read_scores")(path)


def named(module: str, function: str, **options: object) -> Callable[[Path], object]:
    """A reader by its name, imported when it is used."""

    def read(path: Path) -> object:
        from importlib import import_module

        return getattr(import_module(module), function)(path, **options)

    return read


def read_columns(path: Path) -> object:
    from epilm.tasks.sequences import read_lines
    from epilm.tasks.tables import read_columns as read

    return read(path, read_lines)


def cool(folder: Path) -> None:
    import cooler
    import pandas as pd

    starts = np.arange(0, 300, 100)
    bins = pd.DataFrame({"chrom": "chr1", "start": starts, "end": starts + 100})
    pixels = pd.DataFrame({"bin1_id": [0, 0, 1], "bin2_id": [0, 1, 2], "count": [8, 2, 4]})
    cooler.create_cooler(str(folder / "a.cool"), bins, pixels)


def store_json(folder: Path) -> None:
    from toy_store import toy_store as toy

    toy(folder, per_chrom=(6, 5, 4), factors=3).path.rename(folder / "s")


def read_store(path: Path) -> object:
    from epilm.store.reader import Store

    return Store.open(path.parent)


def json_scores(folder: Path) -> None:
    value = [{"model": "me", "cell": "liver", "factor": "CTCF", "scores": {"auroc": 0.9, "n": 5}}]
    (folder / "s.json").write_text(json.dumps(value))


read_variants = named("epilm.variants.variant_files", "read_variants")
read_motifs = named("epilm.motifs.formats", "read_motifs")
GENOME = "epilm.genome."
PARSERS = [
    Parser("FASTA", "g.fa", text(FASTA, "g.fa"), read_genome),
    Parser("FASTA, gzip", "g.fa.gz", text(FASTA, "g.fa.gz"), read_genome),
    Parser("FASTA, bgzip: .fai", "g.fa.gz.fai", bgzip, read_fai),
    Parser("2bit", "g.2bit", twobit, read_genome),
    Parser(
        "chromosome sizes",
        "c.sizes",
        text("chr1\t1000\nchr2\t500\n", "c.sizes"),
        named(GENOME + "chromosomes", "read_sizes"),
    ),
    Parser("BED", "a.bed", text(BED, "a.bed"), named(GENOME + "peaks", "read_peaks")),
    Parser(
        "narrowPeak, gzip",
        "a.narrowPeak.gz",
        text(PEAK, "a.narrowPeak.gz"),
        named(GENOME + "peaks", "read_peaks"),
    ),
    Parser(
        "start sites",
        "t.bed",
        text(STARTS, "t.bed"),
        named(GENOME + "annotation", "read_tss"),
    ),
    Parser("GTF: genes", "g.gtf", text(GTF, "g.gtf"), named(GENOME + "genes", "read_genes")),
    Parser(
        "GTF: transcripts",
        "g.gtf",
        text(GTF, "g.gtf"),
        named(GENOME + "transcripts", "read_transcripts"),
    ),
    Parser(
        "motifs: JASPAR",
        "m.jaspar",
        text(JASPAR, "m.jaspar"),
        read_motifs,
    ),
    Parser("motifs: MEME", "m.meme", text(MEME, "m.meme"), read_motifs),
    Parser(
        "motifs: TRANSFAC",
        "m.txt",
        text(TRANSFAC, "m.txt"),
        read_motifs,
    ),
    Parser(
        "motifs: HOMER",
        "m.motif",
        text(HOMER, "m.motif"),
        read_motifs,
    ),
    Parser("states: BED", "s.bed", text(STATES, "s.bed"), read_states),
    Parser("states: IDEAS", "s.state", text(IDEAS, "s.state"), read_ideas),
    Parser(
        "track hub",
        "trackDb.txt",
        text(HUB, "trackDb.txt"),
        named(GENOME + "trackhub", "read_trackdb"),
    ),
    Parser("bedGraph", "a.bedGraph", text(GRAPH, "a.bedGraph"), read_signal),
    Parser("bigWig", "a.bw", bigwig, read_signal),
    Parser("bigBed", "a.bb", bigbed, read_states),
    Parser("counts: mtx", "m.mtx", text(MTX, "m.mtx"), matrix),
    Parser("counts: h5ad", "c.h5ad", counts("h5ad"), matrix),
    Parser("counts: 10x .h5", "c.h5", counts("10x"), matrix),
    Parser("counts: npz", "c.npz", counts("npz"), matrix),
    Parser("counts: RDS", "c.RDS", counts("dgCMatrix"), matrix),
    Parser("counts: RDS, Seurat", "c.rds", counts("seurat5"), matrix),
    Parser(
        "table of cells",
        "cells.tsv",
        text(CELLS, "cells.tsv"),
        named(GENOME + "matrix_sides", "read_cells"),
    ),
    Parser(
        "list of peaks",
        "peaks.tsv",
        text("chr1-5-9\nchr1-20-30\nchr2-0-7\n", "peaks.tsv"),
        named(GENOME + "matrix_sides", "read_regions"),
    ),
    Parser("VCF", "v.vcf", text(VCF, "v.vcf"), read_variants),
    Parser(
        "variants: table",
        "v.tsv",
        text(VARIANTS, "v.tsv"),
        read_variants,
    ),
    Parser("PLINK .bed", "p.bed", plink, read_plink),
    Parser("PLINK .bim", "p.bim", plink, read_plink),
    Parser("PLINK .fam", "p.fam", plink, read_plink),
    Parser(
        "people",
        "p.tsv",
        text(PEOPLE, "p.tsv"),
        named("epilm.cohorts.people", "read_people", samples=("a", "b", "c")),
    ),
    Parser(
        "labelled sequences",
        "s.tsv",
        text(TABLE, "s.tsv"),
        named("epilm.tasks.sequences", "read_table"),
    ),
    Parser(
        "sequences", "s.fa", text(FASTA, "s.fa"), named("epilm.tasks.sequences", "read_records")
    ),
    Parser("own table", "o.tsv", text(TABLE, "o.tsv"), read_columns),
    Parser(
        "bin labels",
        "l.tsv",
        text(LABELS, "l.tsv"),
        named("epilm.tasks.binding.labels", "read_labels"),
    ),
    Parser(
        "predictions of bins",
        "F.tab",
        text(SUBMISSION, "F.tab"),
        named("epilm.tasks.binding.dream.submission", "read_submission"),
    ),
    Parser(
        "bins", "b.bed", text(SUBMISSION, "b.bed"), named("epilm.tasks.binding.bins", "read_bins")
    ),
    Parser("scores", "s.csv", text(SCORES, "s.csv"), read_json_scores),
    Parser("scores, JSON", "s.json", json_scores, read_json_scores),
    Parser(
        "manifest",
        "sets.tsv",
        text(MANIFEST, "sets.tsv"),
        named("epilm.trials.manifest", "read_manifest"),
    ),
    Parser("recipe", "r.yaml", recipe, read_recipe),
    Parser("ablation", "d.yaml", design, named("epilm.trials.descriptions", "read_design")),
    Parser("checkpoint: weights", "model/model.safetensors", checkpoint, read_checkpoint),
    Parser("checkpoint: spec", "model/spec.json", checkpoint, read_checkpoint),
    Parser("store.json", "s/store.json", store_json, read_store),
    Parser("part of a shard", "part-1-of-1/values-000000.safetensors", part, read_part),
    Parser(
        "contacts: text",
        "c.tsv.gz",
        text(CONTACTS, "c.tsv.gz"),
        named(GENOME + "contact_maps", "read_contacts"),
    ),
    Parser("contacts: cool", "a.cool", cool, named(GENOME + "contact_maps", "read_contacts")),
]
