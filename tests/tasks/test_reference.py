"""One genome, whatever it came from."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.tasks.reference import Reference, open_reference
from toy_store import toy_store

CODES = {"chr1": [0, 1, 2, 3, 4], "chr2": [3, 3, 0]}


@pytest.fixture
def files(tmp_path):
    for name, codes in CODES.items():
        letters = "".join("ACGTN"[code] for code in codes)
        (tmp_path / f"{name}.fa").write_text(f">{name}\n{letters}\n")
    return [tmp_path / f"{name}.fa" for name in CODES]


def test_one_file_several_and_names_between_commas_are_the_same_genome(files):
    for given in (files, tuple(map(str, files)), ",".join(map(str, files))):
        genome = open_reference(given)
        assert isinstance(genome, Reference)
        assert genome.sizes == {"chr1": 5, "chr2": 3}
        assert {name: genome.codes(name).tolist() for name in CODES} == CODES
        assert open_reference(genome) is genome
    assert open_reference([files[0]]).sizes == {"chr1": 5}


def test_the_genome_of_a_store_open_or_by_its_folder(tmp_path):
    store = toy_store(tmp_path, per_chrom=(3, 2), factors=0, contacts=False)
    for given in (store.path, str(store.path)):
        genome = open_reference(given)
        whole = np.concatenate([genome.codes(name) for name in genome.sizes])
        assert whole.tolist() == np.asarray(store.genome).tolist()
        assert list(genome.sizes.values()) == list(store.sizes)


def test_a_chromosome_of_two_files_is_refused(files):
    with pytest.raises(InputError, match="two genome files hold the same chromosome. Found chr1"):
        open_reference([files[0], files[1], files[0]])
