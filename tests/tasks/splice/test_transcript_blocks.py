"""Transcripts as blocks: labels and bases by hand, both strands, flanks, what is not known; and the
real genome.
"""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.transcripts import Transcript, read_transcripts
from epilm.tasks.reference import open_reference
from epilm.tasks.splice.transcript_blocks import blocks_from, sites_of
from toy_splice import Genome, reverse, transcripts, world

CODES = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 0, 1, 1], np.uint8)
SITES = (np.array([5]), np.array([9]))


def cut(strand="+", codes=CODES, start=2, end=13, **how):
    row = Transcript("A", "chr1", strand, start, end, *SITES, False, 1)
    how = {"context": 4, "block": 4} | how
    return blocks_from([row], Genome({"chr1": codes}), where="t", **how)


def test_blocks_and_labels_of_the_plus_strand_by_hand():
    blocks = cut()
    rows = blocks.take(np.arange(3))
    assert len(blocks) == 3
    assert rows.codes.tolist() == [
        [4, 4, 2, 3, 0, 1, 2, 3],
        [0, 1, 2, 3, 0, 1, 2, 3],
        [0, 1, 2, 3, 0, 4, 4, 4],
    ]
    # base 5 is the last of an exon, base 9 the first of the next one
    assert rows.labels.tolist() == [[0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, -1]]


def test_the_minus_strand_is_the_same_transcript_read_from_the_other_end():
    turned = cut("-").take(np.arange(3))
    whole = reverse(CODES[2:13])
    assert turned.codes[0, 2:].tolist() == whole[:6].tolist()
    # along the transcript base 12 is the first: base 9 is its fourth, base 5 its eighth
    assert turned.labels.tolist() == [[0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, -1]]


def test_a_real_flank_is_the_genome_s_and_ends_where_it_ends():
    forward = cut(flank="real").take(np.arange(3))
    assert forward.codes[0].tolist() == CODES[:8].tolist()
    assert forward.codes[2].tolist() == [*CODES[8:15].tolist(), 4]  # only what is answered sees it
    turned = cut("-", start=3, end=16, flank="real").take(np.arange(4))
    along = reverse(CODES)
    assert turned.codes[0].tolist() == [4, 4, *along[:6].tolist()]
    assert turned.codes[3].tolist() == [*along[10:15].tolist(), 4, 4, 4]


def test_an_exon_of_one_base_is_a_donor():
    row = Transcript("A", "chr1", "+", 0, 20, np.array([4, 9]), np.array([9, 15]))
    assert [part.tolist() for part in sites_of(row)] == [[4, 9, 15], [2, 2, 1]]


def test_bases_and_sites_of_n_are_not_known_and_counted():
    codes = CODES.copy()
    codes[[6, 11]] = 4  # the G after the donor, and a base of the last exon
    blocks = cut(codes=codes)
    labels = blocks.take(np.arange(3)).labels
    assert labels.tolist() == [[0, 0, 0, -1], [-1, 0, 0, 1], [0, -1, 0, -1]]
    assert blocks.notes == [
        "of 0 donors 0 stand before GT, of 1 acceptors 0 after AG",
        "1 sites whose bases are N are not known and count nowhere",
    ]


def test_every_base_of_every_transcript_is_in_one_block(tmp_path):
    genome, read = transcripts(tmp_path)
    blocks = blocks_from(read.rows, genome, context=6, block=7, where="t")
    labels = blocks.labels_of(np.arange(len(blocks)))
    assert (labels >= 0).sum() == sum(row.end - row.start for row in read.rows)
    for kind, side in ((1, "acceptors"), (2, "donors")):
        assert (labels == kind).sum() == sum(len(getattr(row, side)) for row in read.rows)
    assert blocks.notes == ["of 54 donors 54 stand before GT, of 54 acceptors 54 after AG"]
    assert blocks.counts(np.arange(len(read)))[1:] == [54, 54]


def test_where_a_row_comes_from_is_a_place_on_the_genome():
    assert cut().origin_of(2) == "A, chr1:10-13+"
    assert cut("-").origin_of(0) == "A, chr1:9-13-"
    assert cut("-").origin_of(2) == "A, chr1:2-5-"


def test_a_fingerprint_follows_bases_labels_and_cut():
    other = CODES.copy()
    other[7] = 0
    digests = {cut().fingerprint(), cut(block=5).fingerprint(), cut(codes=other).fingerprint()}
    assert len(digests) == 3
    assert cut().fingerprint() == cut().fingerprint()


def test_transcripts_of_another_assembly_are_refused(tmp_path):
    with pytest.raises(InputError, match="t, line 1: the gene ends past its chr.*A chr1:2-99"):
        cut(end=99)
    genome, read = transcripts(tmp_path)
    moved = [row._replace(left=row.left + 1, right=row.right + 1) for row in read.rows]
    with pytest.raises(InputError, match="most junctions are not GT..AG.*of 54 donors 0"):
        blocks_from(moved, genome, context=6, block=7, where="t")


def test_windows_are_never_in_memory(tmp_path):
    """Held is a byte a base, whatever the context."""
    genome, read = transcripts(tmp_path, genes=20)
    blocks = blocks_from(read.rows, genome, context=2000, block=5, where="t")
    held = sum(span.codes.nbytes for span in blocks.spans)
    assert held == sum(row.end - row.start for row in read.rows)
    assert blocks.take(np.array([0])).codes.shape == (1, 2005)


def test_the_toy_world_has_sites_on_both_strands():
    _, lines = world()
    assert {line.split("\t")[3] for line in lines} == {"+", "-"}


def test_sites_of_the_real_table_stand_at_gt_and_ag(real_data):
    table = real_data / "annotation_hg19/whole_genome/spliceai_canonical_dataset.txt.gz"
    path = real_data / "more/hg19/reference/hg19.chr20.2bit"
    if not (table.is_file() and path.is_file()):
        pytest.skip(f"no SpliceAI table or no chr20 under {real_data}")
    rows = [row for row in read_transcripts(table).rows if row.chrom == "chr20"][:60]
    blocks = blocks_from(rows, open_reference(path), context=80, block=5000, where="t")
    words = blocks.notes[0].split()
    assert int(words[3]) > 0.98 * int(words[1])
    assert int(words[10]) > 0.98 * int(words[8])
