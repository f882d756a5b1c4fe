"""What files of tracks are meant by the words that were given."""

import pytest

from epilm.errors import InputError
from epilm.store.making.track_inputs import read_cell_map, serve, signal_sources, state_sources

X = "999"  # as a digit below: unknown


def test_names_known_to_be_the_same_cells_are_no_proxy():
    served = serve(
        ["E123", "E066", "E118"], read_cell_map(["K562=E123", "liver=E066", "PC-3=E118"])
    )
    assert served.proxies == {"PC-3": "E118"}
    assert served.cells == {"K562": "E123", "liver": "E066", "E118": "E118", "PC-3": "E118"}


def write(path, text):
    path.write_text(text)
    return path


def test_words_for_signals():
    sources = signal_sources(None, "m.bw", ["a:X=x.bw", "a:Y=y.bw", "b:all.bw"], "max")
    assert [(one.name, list(one.files), one.shared) for one in sources] == [
        ("mappability", [""], True),
        ("a", ["X", "Y"], False),
        ("b", [""], True),
    ]
    for words in (["a:X=x.bw", "a:X=y.bw"], ["a:X=x.bw", "a:y.bw"]):
        with pytest.raises(InputError, match="two files for one cell type"):
            signal_sources(None, None, words, "max")


def test_one_folder_may_hold_accessibility_and_mappability(tmp_path):
    for name in ("K562.accessibility.bw", "A549.bigWig", "map.bw", "README.md"):
        write(tmp_path / name, "x")
    sources = signal_sources(tmp_path, tmp_path / "map.bw", None, "max")
    assert [(one.name, list(one.files)) for one in sources] == [
        ("accessibility", ["A549", "K562"]),
        ("mappability", [""]),
    ]


def test_kinds_of_places_of_states(tmp_path):
    places = state_sources(["E1=https://a.org/x/E1.bb", "https://a.org/x/E002_15.bb"])
    assert [(one.track, one.place) for one in places] == [
        ("E1", "https://a.org/x/E1.bb"),
        ("E002_15", "https://a.org/x/E002_15.bb"),
    ]
    write(tmp_path / "run.state", "#ID CHR POSst POSed E1 PosClass\n")
    assert [one.kind for one in state_sources(tmp_path / "run.state")] == ["table"]
