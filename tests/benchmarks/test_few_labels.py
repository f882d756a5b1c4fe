"""The curve of few labels: what its table says of rows that are made by hand."""

import csv
import json
from pathlib import Path

import pytest
from benchmarks.few_labels import ASKED, LABELS, LEFT_OUT, draw


def test_a_point_is_a_mean_over_pre_trainings_and_then_over_proteins(tmp_path: Path) -> None:
    rows = []
    for at, protein in enumerate(ASKED + LEFT_OUT):
        for number in LABELS[: 3 if protein == "Cbf1" else 4]:
            made = {"lab.1": 0.6 + 0.01 * at, "lab.2": 0.8 + 0.01 * at, "random": 0.5}
            made |= {"lab.ensemble": 0.99, "kmer": 0.4}
            rows += [
                {"set": f"{protein}_{number}", "competitor": arm, "seed": 0, "auroc": score}
                for arm, score in made.items()
            ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "runs.jsonl").write_text(text)
    said = draw(tmp_path, tmp_path / "few")
    with (tmp_path / "few.tsv").open() as handle:
        table = list(csv.DictReader(handle, delimiter="\t"))
    assert [row["labels"] for row in table] == [str(number) for number in LABELS]
    # Curves are of the seven proteins with every number: 0.7 + 0.01 of the mean of 0 to 6.
    assert all(float(row["pre-trained"]) == pytest.approx(0.73) for row in table)
    assert [row["proteins"] for row in table] == ["8", "8", "8", "7"]
    assert float(table[0]["gain"]) == pytest.approx(0.235, abs=1e-3)  # of all eight
    assert "Cbf1" not in said.splitlines()[-1]
    assert (tmp_path / "few.png").stat().st_size > 1000
