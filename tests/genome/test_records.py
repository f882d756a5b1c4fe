"""Records of a FASTA file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.genome import records
from epilm.genome.files import read_chunks
from epilm.genome.records import iter_fasta


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(alphabet="ACGTNacgt>", max_size=25).map(lambda s: s.replace(">", "N")),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 12),
    st.integers(1, 30),
)
def test_reading_in_pieces_of_any_size_gives_the_same_records(sequences, width, piece):
    import tempfile
    from pathlib import Path

    text = "".join(
        f">r{i} a>b\n" + "".join(seq[j : j + width] + "\n" for j in range(0, len(seq), width))
        for i, seq in enumerate(sequences)
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "a.fa"
        path.write_text(text)
        patch.setattr(records, "read_chunks", lambda p, what: read_chunks(p, what, size=piece))
        assert list(iter_fasta(path)) == [
            (f"r{i} a>b", seq.encode()) for i, seq in enumerate(sequences)
        ]
        path.write_text(text.rstrip("\n"))
        assert [seq for _, seq in iter_fasta(path)] == [seq.encode() for seq in sequences]
