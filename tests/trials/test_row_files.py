"""Rows on disk: the last of a key counts, and a line that a kill cut short harms no other."""

import json

from epilm.trials.row_files import append_row, read_rows


def key(row):
    return row["arm"], row["seed"]


def test_the_last_row_of_a_key_counts_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    for arm, seed, score in (("a", 0, 0.1), ("b", 0, 0.2), ("a", 0, 0.3), ("a", 1, 0.4)):
        append_row(path, {"arm": arm, "seed": seed, "score": score})
    rows = read_rows(path, key)
    assert [(key(row), row["score"]) for row in rows] == [
        (("b", 0), 0.2),
        (("a", 0), 0.3),
        (("a", 1), 0.4),
    ]
    assert [row["seed"] for row in read_rows(path, key, lambda row: row["arm"] == "a")] == [0, 1]


def test_wherever_a_kill_cut_the_rows_before_and_behind_are_whole(tmp_path):
    whole = json.dumps({"arm": "a", "seed": 0}) + "\n" + json.dumps({"arm": "b", "seed": 0}) + "\n"
    first = whole.index("\n") + 1
    for cut in range(first, len(whole)):
        path = tmp_path / f"{cut}.jsonl"
        path.write_text(whole[:cut])
        append_row(path, {"arm": "c", "seed": 0})
        arms = [row["arm"] for row in read_rows(path, key)]
        # The line end alone may be missing: the row before it is whole.
        assert arms == (["a", "b", "c"] if cut == len(whole) - 1 else ["a", "c"])
