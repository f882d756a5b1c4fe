"""Scores of variants: what must not matter does not, what must negate negates, and effects lie
where they were planted.
"""

import csv
import gzip
from collections import Counter

import numpy as np
import pytest

from epilm.cli import main
from epilm.errors import InputError, UsageError
from epilm.variants import work
from epilm.variants.score import score_variants
from toy_variants import CPU, by_row, kinds, some_variants, write_genome, write_table

KINDS = pytest.mark.parametrize("kind", ["pre-trained", "sites", "fine-tuned", "motifs"])


@KINDS
def test_neither_order_nor_neighbours_nor_blocks_change_a_bit(world, kind, tmp_path, monkeypatch):
    given = {"genome": world["folder"] / "g.fa", **kinds(world)[kind], **CPU}
    whole = by_row(score_variants(world["folder"] / "v.tsv", **given))
    assert not any(np.isnan(values).any() for values in whole.values())
    shuffled = [world["rows"][i] for i in np.random.default_rng(3).permutation(len(whole))]
    table = write_table(tmp_path / "s.tsv", shuffled)
    assert by_row(score_variants(table, batch_size=1, **given)) == whole
    one = by_row(score_variants(write_table(tmp_path / "1.tsv", shuffled[:1]), **given))
    assert next(iter(one.items())) in whole.items()
    monkeypatch.setattr(work, "PIECE", 5)
    shards = [by_row(score_variants(table, shard=f"{i}/2", batch_size=64, **given)) for i in (1, 2)]
    assert sum(map(len, shards)) == len(whole)
    assert shards[0] | shards[1] == whole


@pytest.mark.parametrize("kind", ["pre-trained", "fine-tuned"])
def test_on_a_grid_as_well(world, kind, tmp_path):
    given = {"genome": world["folder"] / "g.fa", "grid": 8, **kinds(world)[kind], **CPU}
    whole = by_row(score_variants(world["folder"] / "v.tsv", **given))
    for row in (world["rows"][3], world["rows"][8]):
        alone = by_row(score_variants(write_table(tmp_path / "1.tsv", [row]), **given))
        assert next(iter(alone.items())) in whole.items()


def test_however_much_is_asked_around_it_a_variant_scores_the_same(world, tmp_path):
    """One base; written with 40 and with the window's 64 bases; amid all within 64 bp."""
    letters, at = world["letters"], 700
    alt = "A" if letters[at] != "A" else "C"
    one = ["chr1", at + 1, "one", letters[at], alt]

    def padded(before, after):
        left, right = letters[at - before : at], letters[at + 1 : at + 1 + after]
        return ["chr1", at - before + 1, "p", left + letters[at] + right, left + alt + right]

    around = [
        ["chr1", p + 1, p, letters[p], "ACGT"[("ACGT".index(letters[p]) + 1) % 4]]
        for p in range(at - 4, at + 5)
        if p != at
    ]
    rows = [one, padded(20, 19), padded(31, 32), *around]
    for given in kinds(world).values():
        genome = world["folder"] / "g.fa"
        alone = score_variants(
            write_table(tmp_path / "1.tsv", rows[:1]), genome=genome, **given, **CPU
        )
        amid = score_variants(write_table(tmp_path / "v.tsv", rows), genome=genome, **given, **CPU)
        assert amid.changes[:3] == alone.changes * 3
        for name, values in amid.values.items():
            assert values[:3].tolist() == alone.values[name].tolist() * 3


@KINDS
def test_ref_and_alt_swapped_negate_every_delta(world, kind, tmp_path):
    """On the genome that has ALT, the variant back to REF."""
    letters, rows = world["letters"], world["rows"][:8]
    given = kinds(world)[kind] | CPU | {"shifts": (0, 3), "grid": 4}
    there = score_variants(
        write_table(tmp_path / "a.tsv", rows), genome=world["folder"] / "g.fa", **given
    )
    others = {  # a chromosome that has the ALT, each
        name: letters[: pos - 1] + alt + letters[pos - 1 + len(ref) :]
        for _, pos, name, ref, alt in rows
    }
    turned = [[name, pos, name, alt, ref] for _, pos, name, ref, alt in rows]
    back = score_variants(
        write_table(tmp_path / "b.tsv", turned),
        genome=write_genome(tmp_path / "g.fa", **others),
        **given,
    )
    assert there.reasons == back.reasons == [""] * len(rows)
    for column, values in there.values.items():
        if column.endswith("_delta"):
            assert back.values[column].tolist() == (-values).tolist()
        elif column.endswith("_ref"):
            opposite = column.removesuffix("_ref") + "_alt"
            assert back.values[opposite].tolist() == values.tolist()
        elif not column.endswith("_alt"):
            assert back.values[column].tolist() == values.tolist()


def test_a_duplication_written_as_an_insertion_scores_the_same(world, tmp_path):
    letters = world["letters"][:197] + "TTTCAGCAGCAG" + "T" + world["letters"][210:]
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    at = 200
    before = letters[at - 1]
    rows = [
        ["chr1", at, "left", before, before + "CAG"],
        ["chr1", at + 9, "right", "G", "GCAG"],
        ["chr1", at + 1, "dup", "CAG", "CAGCAG"],
        ["chr1", at + 2, "inside", "A", "AGCA"],
        ["chr1", at, "long", before + "CAGCAGCAGT", before + "CAGCAGCAGCAGT"],
    ]
    for given in kinds(world).values():
        done = score_variants(write_table(tmp_path / "d.tsv", rows), genome=genome, **given, **CPU)
        assert len(set(done.changes)) == 1
        for values in done.values.values():
            assert len(set(values.tolist())) == 1


# -- files


def vcf(path, records, contigs=(("chr1", 2000),), gz=False):
    pytest.importorskip("pysam")
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={c},length={n}>" for c, n in contigs)]
    lines += ['##INFO=<ID=AC,Number=A,Type=Integer,Description="count">']
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    lines += [
        f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\tAC={','.join('1' * len(a.split(',')))}"
        for c, p, r, a in records
    ]
    text = "\n".join(lines) + "\n"
    if gz:
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_every_record_is_scored_or_has_a_reason(world, tmp_path):
    letters = world["letters"][:1000] + "N" * 10 + world["letters"][1010:]
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    good = [(c, p, r, a) for c, p, _, r, a in some_variants(letters[:900], 220, seed=5)]

    def base(pos, n=1):
        return letters[pos - 1 : pos - 1 + n]

    def other(pos):
        return next(b for b in "ACGT" if b != base(pos))

    swap = next(p for p in range(200, 400) if base(p) != base(p + 1))
    odd = [
        (("chr1", 300, base(300), f"{other(300)},<DEL>,*"), ["", "symbolic", "star"]),
        (("chr1", 301, base(301), f"{base(301)}[chr1:400["), ["breakend"]),
        (("chr1", 302, base(302), "."), ["no_alt"]),
        (("chr1", 303, base(303), f"{base(303)}R"), ["not_acgt"]),
        (("chrUn", 5, "A", "C"), ["contig_unknown"]),
        (("chr1", 10, base(10), other(10)), ["window_past_end"]),
        (("chr1", 1995, base(1995), other(1995)), ["window_past_end"]),
        (("chr1", 990, base(990), other(990)), ["n_in_window"]),
        (("chr1", 1003, "A", "C"), ["n_in_window"]),
        (("chr1", 500, base(500, 60), base(500)), ["too_long"]),
        (("chr1", swap, other(swap), base(swap)), ["ref_swapped"]),
    ]
    source = vcf(tmp_path / "v.vcf.gz", [r for r, _ in odd] + good, gz=True)
    motifs = {"motifs": world["folder"] / "m.jaspar", "window": 64}
    given = [source, "--motifs", motifs["motifs"], "--window", 64, "--genome", genome]
    code = main(["score-variants", *map(str, [*given, "--out", tmp_path / "o.tsv"])])
    assert code == 0
    with open(tmp_path / "o.tsv") as handle:
        table = list(csv.DictReader(handle, delimiter="\t"))
    expected = [reason for _, reasons in odd for reason in reasons]
    assert [row["reason"].strip(".") for row in table][: len(expected)] == expected
    assert {row["reason"] for row in table[len(expected) :]} == {"."}
    for row in table:
        assert (row["motif_AP1_delta"] == ".") == (row["reason"] != ".")

    import pysam

    for name in ("o.vcf", "o.vcf.gz", "o.bcf"):
        main(["score-variants", *map(str, [*given, "--out", tmp_path / name])])
        with pysam.VariantFile(str(tmp_path / name)) as file:
            assert file.header.info["EPILM_motif_AP1_delta"].number == "A"
            records = list(file)
        assert len(records) == len(odd) + len(good)
        assert records[0].info["AC"] == (1, 1, 1)
        delta = records[0].info["EPILM_motif_AP1_delta"]
        assert delta[0] == pytest.approx(float(table[0]["motif_AP1_delta"]), rel=1e-5)
        assert delta[1:] == (None, None)
        assert records[0].info["EPILM_REASON"][1:] == ("symbolic", "star")
    first = (tmp_path / "o.vcf.gz").read_bytes()
    main(["score-variants", *map(str, [*given, "--out", tmp_path / "o.vcf.gz"])])
    assert (tmp_path / "o.vcf.gz").read_bytes() == first
    # What was written is read again, and a table's scores become a VCF.
    again = score_variants(
        tmp_path / "o.vcf.gz", None, genome, tmp_path / "p.vcf.gz", **motifs, **CPU
    )
    assert Counter(again.reasons) == Counter(row["reason"].strip(".") for row in table)
    assert (tmp_path / "p.vcf.gz").read_bytes() == first
    table = world["folder"] / "v.tsv"
    score_variants(table, None, world["folder"] / "g.fa", tmp_path / "t.vcf", **motifs, **CPU)
    with pysam.VariantFile(str(tmp_path / "t.vcf")) as file:
        assert [r.id for r in file] == [row[2] for row in world["rows"]]


def test_wrong_files_are_refused_and_nothing_is_written(world, tmp_path):
    model, genome, letters = world["folder"] / "model", world["folder"] / "g.fa", world["letters"]
    out = tmp_path / "o.tsv"

    def refused(path, kind, match, **options):
        with pytest.raises(kind, match=match):
            score_variants(path, model, genome, out, **options, **CPU)
        assert not out.exists()

    other = [["chr1", p + 1, ".", letters[p + 1], letters[p]] for p in range(100, 200)]
    other = [row for row in other if row[3] != row[4]]
    refused(
        write_table(tmp_path / "a.tsv", other),
        InputError,
        f"line 2: REF is not what the genome has.*{len(other)} of {len(other)} alleles:"
        f" {len(other)} with REF and ALT swapped",
    )
    bare = [["1", *row[1:]] for row in world["rows"]]
    refused(write_table(tmp_path / "b.tsv", bare), InputError, "named differently.*chr1")
    refused(write_table(tmp_path / "c.tsv", []), InputError, "no variants in it")
    refused(write_table(tmp_path / "d.tsv", [["chr1", "x", ".", "A", "C"]]), InputError, "line 2")
    refused(write_table(tmp_path / "e.tsv", [], "chrom\tpos"), InputError, "no column ref, alt")
    refused(tmp_path / "none.tsv", InputError, "no such file")
    refused(tmp_path / "v.bed", UsageError, "told by the name")
    good = write_table(tmp_path / "g.tsv", world["rows"])
    refused(good, UsageError, "--window.*Found 65; expected 16 to 64 bp", window=65)
    refused(good, UsageError, "--shifts.*at most 16 bp", shifts=(0, -30))
    refused(good, UsageError, "--shard.*Found 4/3", shard="4/3")
    refused(good, UsageError, "--grid.*Found 17; expected 1 to 16", grid=17)
    refused(good, UsageError, "--shifts.*at most 12 bp", shifts=(0, 14), grid=8)
    refused(good, UsageError, "--null.*Found -1; expected at least 0", null=-1)
    refused(good, UsageError, "--batch-size.*Found 0; expected at least 1", batch_size=0)
    refused(good, UsageError, "--motif-columns is of motifs", motif_columns="largest")
    with pytest.raises(UsageError, match="--scores and --pooling are of a pre-trained"):
        score_variants(good, world["folder"] / "tuned", genome, out, scores=["llr"], **CPU)
    with pytest.raises(UsageError, match="--scores and --pooling are a model's"):
        score_variants(
            good, None, genome, out, scores=["llr"], motifs=world["folder"] / "m.jaspar", **CPU
        )
    refused(good, UsageError, "do not go together", store=tmp_path)
    lines = vcf(tmp_path / "v.vcf", [("chr1", 300, letters[299], "<DEL>")], [("chr1", 1999)])
    refused(lines, InputError, "shorter than the genome's")
    whole = vcf(tmp_path / "w.vcf.gz", [("chr1", 300, letters[299], "<DEL>")] * 90, gz=True)
    (tmp_path / "cut.vcf.gz").write_bytes(whole.read_bytes()[:150])
    refused(tmp_path / "cut.vcf.gz", InputError, "damaged")


def test_unsorted_and_a_contig_that_the_header_lacks(world, tmp_path):
    """Both are read: a VCF is taken as it lies, its header no more than a claim on lengths."""
    motifs = {"motifs": world["folder"] / "m.jaspar", "window": 64}
    rows = [(c, p, r, a) for c, p, _, r, a in world["rows"][:6]][::-1]
    lines = vcf(tmp_path / "u.vcf", rows, contigs=())
    genome = world["folder"] / "g.fa"
    done = score_variants(lines, None, genome, tmp_path / "o.vcf", **motifs, **CPU)
    assert [a.start + 1 for a in done.alleles] == [row[1] for row in rows]
    assert done.reasons == [""] * len(rows)
    import pysam

    with pysam.VariantFile(str(tmp_path / "o.vcf")) as file:
        assert [record.pos for record in file] == [row[1] for row in rows]


def test_a_table_of_known_effects_is_compared_with_by_the_command(world, tmp_path, capsys):
    rows = [[*row, i % 2, "e1" if i < 8 else "e2"] for i, row in enumerate(world["rows"])]
    header = "chrom\tpos\tid\tref\talt\tlabel\telement"
    table = write_table(tmp_path / "t.tsv", rows, header)
    words = [
        "score-variants",
        table,
        "--motifs",
        world["folder"] / "m.jaspar",
        "--window",
        64,
        "--genome",
        world["folder"] / "g.fa",
        "--out",
        tmp_path / "o.tsv",
    ]
    assert main([*map(str, words), "--truth", "label", "--group", "element"]) == 0
    said = capsys.readouterr().out
    for group in ("all", "e1", "e2"):
        assert f"label, {group}: auroc (" in said
    assert "baseline motif" in said
    assert "baseline gc" in said
    (tmp_path / "o.tsv").unlink()
    assert main([*map(str, words), "--truth", "labels"]) == 1
    assert "no such column" in capsys.readouterr().err
    assert main([*map(str, words), "--group", "element"]) == 2
    assert "Give --truth" in capsys.readouterr().err
    assert not (tmp_path / "o.tsv").exists()
