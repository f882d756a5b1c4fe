"""k-mer ids: DNABERT's vocabulary (protocols 1.1), every path against plain Python."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.tokens.kmers import (
    N_SPECIAL,
    _kmer_ids_plain,
    _kmer_ids_torch,
    decode_ids,
    join_parts,
    kmer_ids,
    n_tokens,
    n_window_tokens,
    tokenize,
    vocab_size,
    vocabulary,
    wrap,
)

bases = st.text("ACGTN", min_size=0, max_size=60)


def codes_of(sequence: str) -> np.ndarray:
    return np.array(["ACGTN".index(base) for base in sequence], dtype=np.uint8)


def ids_by_definition(sequence: str, k: int, stride: int) -> list[int]:
    """id = 5 + sum of digit * 4**(k - 1 - i), A T C G = 0 1 2 3; a k-mer with another letter is
    1.
    """
    out = []
    for word in tokenize(sequence, k, stride):
        number = 5 + sum("ATCG".find(base) * 4 ** (k - 1 - i) for i, base in enumerate(word))
        out.append(1 if "N" in word else number)
    return out


@pytest.mark.parametrize(
    ("kmer", "number"),
    [
        ("AAA", 5),
        ("AAT", 6),
        ("AAC", 7),
        ("AAG", 8),
        ("ATA", 9),
        ("GAT", 54),
        ("GTC", 59),
        ("GGG", 68),
        ("AAAAAA", 5),
        ("GGGGGG", 4100),
    ],
)
def test_the_check_values_of_the_vocabulary(kmer, number):
    assert kmer_ids(codes_of(kmer), len(kmer)).tolist() == [number]
    assert vocabulary(len(kmer))[number] == kmer
    assert decode_ids([number], len(kmer)) == [kmer]


def test_vocabulary_sizes_are_dnaberts():
    assert [vocab_size(k) for k in (3, 4, 5, 6, 7)] == [69, 261, 1029, 4101, 16389]
    assert vocabulary(3)[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(vocabulary(4))) == 261


def test_n_bases_give_n_minus_k_plus_1_tokens():
    assert tokenize("ACGTAC", 3) == ["ACG", "CGT", "GTA", "TAC"]
    assert n_tokens(515, 6) == 510
    assert n_tokens(512, 3) == 510
    assert n_tokens(70, 6) + 2 == 67


@given(bases, st.integers(1, 9), st.integers(1, 12))
def test_all_paths_agree_with_the_definition(sequence, k, stride):
    expected = ids_by_definition(sequence, k, stride)
    codes = codes_of(sequence)
    assert kmer_ids(codes, k, stride).tolist() == expected
    assert kmer_ids(torch.from_numpy(codes), k, stride).tolist() == expected
    assert _kmer_ids_torch(torch.from_numpy(codes), k, stride).tolist() == expected
    if expected:
        assert _kmer_ids_plain(codes[None], k, stride)[0].tolist() == expected


@given(
    st.lists(st.text("ACGTN", min_size=12, max_size=12), min_size=1, max_size=5), st.integers(1, 8)
)
def test_rows_of_a_table_are_independent(rows, k):
    table = np.stack([codes_of(row) for row in rows])
    together = kmer_ids(table[None], k)
    assert together.shape == (1, len(rows), 13 - k)
    assert together[0].tolist() == [kmer_ids(codes_of(row), k).tolist() for row in rows]


@given(st.text("ACGT", min_size=7, max_size=40), st.integers(1, 7))
def test_decoding_gives_the_tokens_back(sequence, k):
    assert decode_ids(kmer_ids(codes_of(sequence), k), k) == tokenize(sequence, k)


def test_a_strided_view_of_the_genome_is_read_in_place():
    genome = np.random.default_rng(1).integers(0, 4, 200, dtype=np.uint8)
    view = np.lib.stride_tricks.sliding_window_view(genome, 40)[::7]
    assert np.array_equal(kmer_ids(view, 5), np.stack([kmer_ids(row.copy(), 5) for row in view]))


def test_soft_masked_letters_are_tokens_like_others():
    assert tokenize("acgta", 4) == ["ACGT", "CGTA"]


@pytest.mark.parametrize("k", [0, -1, 13])
def test_an_impossible_k_is_refused(k):
    with pytest.raises(InputError, match=r"k is out of range. Found"):
        kmer_ids(np.zeros(20, dtype=np.uint8), k)


def test_an_impossible_stride_is_refused():
    with pytest.raises(InputError, match=r"stride is out of range. Found 0; expected at least 1"):
        kmer_ids(np.zeros(20, dtype=np.uint8), 6, 0)


def test_an_id_outside_the_vocabulary_is_refused():
    with pytest.raises(InputError, match="Found 69; expected 0 to 68"):
        decode_ids([69], 3)


def test_wrap_puts_special_tokens_around_each_sequence():
    ids, mask = wrap(
        torch.tensor([[7, 8, 9], [5, 99, 99], [99, 99, 99]]), torch.tensor([3, 1, 0]), pad_to=6
    )
    assert ids.tolist() == [[2, 7, 8, 9, 3, 0], [2, 5, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0]]
    assert mask.sum(1).tolist() == [5, 3, 2]


def test_wrap_can_leave_special_tokens_out():
    ids, mask = wrap(torch.tensor([[7, 8]]), cls=False, sep=False)
    assert ids.tolist() == [[7, 8]]
    assert mask.all()


def test_a_sequence_that_does_not_fit_is_refused_and_one_that_does_is_cut_to_the_width():
    with pytest.raises(InputError, match="Found 5 tokens with special ones; expected at most 4"):
        wrap(torch.tensor([[7, 8, 9]]), pad_to=4)
    ids, _ = wrap(torch.tensor([[7, 8, 9]]), torch.tensor([2]), pad_to=4)
    assert ids.tolist() == [[2, 7, 8, 3]]


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), min_size=1, max_size=4),
    st.booleans(),
)
def test_joined_parts_are_what_plain_lists_give(lengths, full):
    widths = [4, 4]
    parts, rows = [], [[2] for _ in lengths]
    segments = [[0] for _ in lengths]
    for part, width in enumerate(widths):
        table = torch.arange(5 + 10 * part, 5 + 10 * part + len(lengths) * width).view(
            len(lengths), width
        )
        sizes = [width if full else row[part] for row in lengths]
        parts.append((table, None if full else torch.tensor(sizes)))
        for n, size in enumerate(sizes):
            rows[n] += [*table[n, :size].tolist(), 3]
            segments[n] += [part] * (size + 1)
    ids, numbers, mask = join_parts(parts, pad_to=14)
    assert ids.tolist() == [row + [0] * (14 - len(row)) for row in rows]
    assert numbers.tolist() == [row + [0] * (14 - len(row)) for row in segments]
    assert mask.sum(1).tolist() == [len(row) for row in rows]


def test_there_are_five_special_tokens():
    assert N_SPECIAL == 5


@pytest.mark.parametrize(
    ("window_bp", "k", "stride", "tail", "tokens"),
    [
        (1000, 7, 7, "drop", 142),
        (1000, 7, 7, "pad", 143),
        (1050, 7, 7, "drop", 150),
        (1050, 7, 7, "pad", 150),
        (1000, 6, 1, "drop", 995),
        (1000, 6, 6, "drop", 166),
        (1000, 5, 5, "drop", 200),
        (1000, 7, 1, "drop", 994),
        (1000, 7, 1, "pad", 994),
        (5, 7, 7, "drop", 0),
        (5, 7, 7, "pad", 1),
        (0, 7, 7, "pad", 0),
    ],
)
def test_worked_counts(window_bp, k, stride, tail, tokens):
    assert n_window_tokens(window_bp, k, stride, tail) == tokens


@given(st.integers(1, 200), st.integers(3, 7), st.integers(1, 9))
def test_a_padded_tail_leaves_no_base_out_and_no_token_empty(window_bp, k, stride):
    tokens = n_window_tokens(window_bp, k, stride, "pad")
    ends = [t * stride + k for t in range(tokens)]
    gap = max(stride - k, 0)  # bases that tokens further apart than they are wide pass over
    assert ends[-1] >= window_bp - gap
    assert tokens == 1 or ends[-2] < window_bp
    assert tokens - n_window_tokens(window_bp, k, stride) in (0, 1)
