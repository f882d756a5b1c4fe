"""Which pairs touch, which do not, and their bases; everything left out is counted."""

import numpy as np
import pytest

from epilm.errors import EpilmError
from epilm.genome.contact_maps import ChromContacts
from epilm.tasks.contacts.contact_pairs import contact_rows, divided
from epilm.tasks.contacts.contacts_options import ContactsOptions, check_pairs
from epilm.tasks.contacts.pair_draws import distance_bins
from epilm.tasks.contacts.pair_files import read_pairs
from epilm.tasks.splits import split_rows
from toy_contacts import STEP, write_contacts

NEAR = {"locus": 50, "min_distance": 100, "max_distance": 900}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_contacts(tmp_path_factory.mktemp("contacts"))


def rows_of(files, **options):
    spec = ContactsOptions(**(NEAR | {"enriched": 1.2, "depleted": 0.9} | options))
    return contact_rows(files["data"], spec, files["genome"], seed=3)


def test_a_map_gives_as_many_pairs_of_either_kind_at_each_distance(files):
    paths, kinds = files
    rows = rows_of(paths)
    assert rows.label_names == ("apart", "contact")
    assert rows.counts()["all"][0] == rows.counts()["all"][1] > 50
    for chrom in ("chr1", "chr2", "chr3"):
        for number in np.unique(distance_bins(rows.distance)):
            here = (rows.chrom == chrom) & (distance_bins(rows.distance) == number)
            assert rows.labels[here].mean() == 0.5 or not here.any()
    assert rows.distance.min() >= 100
    assert rows.distance.max() <= 900
    which = {f"chr{n + 1}": row for n, row in enumerate(kinds)}
    alike = [
        which[c][a // STEP] == which[c][b // STEP]
        for c, a, b in zip(rows.chrom, rows.start + 25, rows.second.start + 25, strict=True)
    ]
    assert np.corrcoef(alike, rows.labels)[0, 1] > 0.9
    assert any("times the mean at their distance on touch" in note for note in rows.notes)


def test_the_bases_are_those_around_the_middles(files):
    paths, _ = files
    rows = rows_of(paths)
    genome = dict(zip(*[iter(paths["genome"].read_text().replace(">", "").split())] * 2))
    for n in (0, len(rows) - 1):
        start, other = int(rows.start[n]), int(rows.second.start[n])
        assert rows.text(n) == genome[str(rows.chrom[n])][start : start + 50]
        assert rows.second.text(n) == genome[str(rows.chrom[n])][other : other + 50]
        assert start % STEP == 25  # the middle of a bin
    loci, pairs = rows.table_of_loci()
    assert len(loci) <= 3 * 24
    assert loci.text(int(pairs[5, 1])) == rows.second.text(5)


def test_both_loci_of_a_pair_are_in_one_part(files):
    rows = split_rows(rows_of(files[0]), how="chromosome", test=["chr3"], valid=["chr2:1000-2400"])
    assert (rows.chrom[rows.split == "test"] == "chr3").all()
    held = rows.split == "valid"
    assert (rows.start[held] >= 1000).all()
    rest = (rows.chrom == "chr2") & (rows.split == "train")
    assert rest.any()
    assert (rows.second.start[rest] + 50 <= 1000).all()
    assert any("rows on a border" in note for note in rows.notes)
    several = rows.take(rows.split == "test")
    assert len(several.second) == len(several)
    assert several.keys()[0] != rows.keys()[0]


def test_shares_are_even_in_a_region_that_is_held_out(files):
    region = "chr2:1000-2400"
    rows = split_rows(rows_of(files[0], test=(region,)), how="chromosome", test=[region])
    for number in np.unique(distance_bins(rows.distance[rows.split == "test"])):
        here = (rows.split == "test") & (distance_bins(rows.distance) == number)
        assert rows.labels[here].mean() == 0.5


def test_log_of_observed_over_expected_by_hand(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGT" * 100 + "\n")
    (tmp_path / "m_100bp.tsv").write_text(
        "chr1\t0\t100\t4\nchr1\t100\t200\t2\nchr1\t200\t300\t1\nchr1\t0\t200\t7\n"
    )
    spec = ContactsOptions(**(NEAR | {"max_distance": 100}), asked="oe")
    rows = contact_rows(tmp_path / "m_100bp.tsv", spec, tmp_path / "g.fa", 0)
    assert rows.kind == "numbers"
    values = np.array([4.0, 2.0, 1.0])
    cover = np.array([11.0, 6.0, 10.0, 1.0])
    divided_by = cover[:3] * cover[1:] / cover.mean() ** 2
    oe = values / divided_by / (values / divided_by).mean()
    np.testing.assert_allclose(rows.labels[:, 0], np.log(oe), rtol=1e-5)


def test_coverage_is_divided_out():
    outer = np.outer([1.0, 2.0, 5.0], [1.0, 2.0, 5.0])
    i, j = np.triu_indices(3)
    one = divided(ChromContacts(3, i * 3 + j, outer[i, j].astype(np.float32)))
    apart = i != j
    before, after = outer[i, j][apart], one.values[apart]
    assert after.max() / after.min() < 1.5 < before.max() / before.min()


def test_a_list_has_negatives_of_its_own_loci_that_are_not_in_it(files, tmp_path):
    paths, _ = files
    rng = np.random.default_rng(2)
    lines = []
    for a, b in rng.integers(0, 20, (40, 2)):
        if a != b:
            lines.append(f"chr1\t{a * 100}\t{a * 100 + 50}\tchr1\t{b * 100}\t{b * 100 + 50}")
    lines += ["chr1\t0\t50\tchr2\t0\t50", "chr1\t0\t50\tchr1\t2300\t2350", lines[0]]
    (tmp_path / "p.bedpe").write_text("\n".join(lines) + "\n")
    spec = ContactsOptions(**NEAR)
    rows = contact_rows(tmp_path / "p.bedpe", spec, paths["genome"], 0)
    listed = {
        tuple(sorted((int(a), int(d)))) for _, a, _, _, d, _ in (line.split("\t") for line in lines)
    }
    for n in range(len(rows)):
        pair = (int(rows.start[n]), int(rows.second.start[n]))
        assert (pair in listed) == bool(rows.labels[n]), n
    assert rows.counts()["all"][0] == rows.counts()["all"][1] > 5
    said = "; ".join(rows.notes)
    assert "1 pairs of two chromosomes left out" in said
    assert "farther than 900 bp left out" in said
    assert "pairs that are there already left out" in said


def test_anchors_and_partners_make_the_pairs(files, tmp_path):
    paths, _ = files
    (tmp_path / "a.bed").write_text(
        "".join(f"chr1\t{n * 200}\t{n * 200 + 60}\n" for n in range(10))
    )
    (tmp_path / "b.bed").write_text(
        "".join(f"chr1\t{n * 200 + 110}\t{n * 200 + 170}\n" for n in range(10))
    )
    either = {"anchors": tmp_path / "a.bed", "partners": tmp_path / "b.bed"}
    rows = rows_of(paths, **either, negatives="any")
    middles = np.stack([rows.start, rows.second.start], 1) + 25
    assert ((middles % 200 == 30).sum(1) == 1).all()  # an anchor and a partner each
    assert ((middles % 200 == 140).sum(1) == 1).all()
    assert any("any distance" in note for note in rows.notes)


HEAD = "chrom1\tstart1\tend1\tchrom2\tstart2\tend2\tlabel\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.bedpe", "chr1\t1\t9\n", "line 1: the line is no pair of intervals. Found 3 columns"),
        ("a.bedpe", "chr1\t9\t9\tchr1\t1\t9\n", "line 1: the locus holds no base"),
        ("a.tsv", "start1\tx\n1\t2\n", "the header is not that of pairs. Found start1, x"),
        ("a.tsv", HEAD + "chr1\t0\t90\tchr1\t300\t390\t2\n", "the label is neither 1.*Found 2"),
        ("a.tsv", HEAD + "chr1\t0\t9\tchr1\t300\t309\tx\n", "column label: the label is not a num"),
        (
            "a.tsv",
            HEAD + "chr1\t0\t9\tchr1\t300\t309\t1\n",
            "no pair of loci is left.*over the end",
        ),
    ],
)
def test_each_wrong_list_has_one_message(files, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(EpilmError, match=message):
        contact_rows(tmp_path / name, ContactsOptions(**NEAR), files[0]["genome"], 0)


def test_labels_of_a_table_are_kept(tmp_path):
    text = HEAD + "chr1\t0\t90\tchr1\t300\t390\t0.5\nchr1\t0\t90\tchr1\t500\t590\t\n"
    (tmp_path / "a.tsv").write_text(text)
    pairs = read_pairs(tmp_path / "a.tsv")
    assert pairs.labels.tolist() == [0.5]
    assert pairs.notes == ["1 pairs without a label left out"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"locus": 0}, "--locus: impossible value. Found 0"),
        ({"min_distance": 10}, "--min-distance: .*at least the 512 bases of a locus"),
        ({"max_distance": 9}, "--max-distance: .*Found 9; expected above --min-distance"),
        ({"depleted": 3.0}, "--depleted: .*expected 0 to --enriched, 2"),
        ({"ratio": 0.0}, "--ratio: impossible"),
        ({"most": 0}, "--most: impossible"),
        ({"asked": "touches"}, "--asked: unknown value. Found 'touches'. Did you mean touch"),
        ({"partners": "x.bed"}, "--partners: partners are of anchors. Found x.bed"),
    ],
)
def test_each_impossible_value_has_one_message(options, message):
    with pytest.raises(EpilmError, match=message):
        check_pairs(ContactsOptions(**options))
