"""The page of embedded vectors: labels that lie together are seen and counted."""

import csv

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.reporting import report
from epilm.vectors import vectors_page as module
from epilm.vectors.vector_files import write_vectors
from html_page import parse


def write(path, vectors, cells, about=None):
    n = len(vectors)
    columns = {
        "name": [f"region {row}" for row in range(n)],
        "chrom": [f"chr{1 + row % 2}" for row in range(n)],
        "start": list(range(n)),
        "end": list(range(1, n + 1)),
        "pieces": [1] * n,
        "cell_type": cells,
    }
    write_vectors(path, vectors, columns, about or {})
    return path


def numbers(folder, name):
    with open(folder / f"{name}.tsv", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_two_heaps_are_seen_as_two_and_the_numbers_lie_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_DRAWN", 24)
    rng = np.random.default_rng(0)
    heap = np.repeat([0, 1], 15)
    vectors = (rng.normal(size=(30, 4)) + 40 * heap[:, None]).astype(np.float32)
    cells = [("liver", "<b>blood")[h] for h in heap]
    cells[0] = ""
    path = write(tmp_path / "v.npy", vectors, cells)
    page = report(path)
    assert page == tmp_path / "v.html"
    words = " ".join(parse(page.read_text()).text)
    for said in ("30 vectors of v.npy", "Drawn are 24 of 30 vectors", "keeps no word of the model"):
        assert said in words
    assert "<b>blood" not in page.read_text()
    plane = numbers(tmp_path / "v.numbers", "plane.cell_type")
    assert len(plane) == 24
    ends = {name: [float(r["x"]) for r in plane if r["cell_type"] == name] for name in set(cells)}
    assert max(ends["liver"]) < min(ends["<b>blood"]) or min(ends["liver"]) > max(ends["<b>blood"])
    shares = [float(row["share"]) for row in numbers(tmp_path / "v.numbers", "directions")]
    assert shares[0] > 0.95
    assert sum(shares) == pytest.approx(1)


def test_numbers_of_embed_are_shown_and_equal_vectors_are_warned_of(tmp_path):
    neighbours = {"by": "cell_type", "k": 10, "n": 6, "labels": 2}
    neighbours |= {"purity": 0.625, "chance": 0.4375, "silhouette": -0.25}
    about = {"notes": ["2 regions are left out"], "pool": "cls", "neighbours": neighbours}
    vectors = np.ones((6, 3), np.float32)
    write(tmp_path / "v.h5ad", vectors, ["a", "b"] * 3, about)
    page = report(tmp_path)
    assert page == tmp_path / "report.html"
    words = " ".join(parse(page.read_text()).text)
    for said in ("0.625", "chance 0.438", "2 regions are left out", "nearly equal (mean cosine 1."):
        assert said in words


def test_few_vectors_have_a_page_without_pictures(tmp_path):
    path = write(tmp_path / "v.parquet", np.eye(3, dtype=np.float32), ["a", "b", "a"])
    text = report(path).read_text()
    assert "3 vectors" in text
    assert "<figure" not in text
    (tmp_path / "x.npy").write_bytes(b"")
    with pytest.raises(InputError, match="no table of scored variants, and no vectors of `embed`"):
        report(tmp_path / "x.npy")
