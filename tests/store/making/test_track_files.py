"""States and signals from files to the store, through `build` and the command line."""

import functools
import gzip
import http.server
import json
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from epilm.batches.site_finder import SiteFinder
from epilm.cli import main
from epilm.errors import EpilmError, InputError
from epilm.genome.intervals import make_table
from epilm.genome.peaks import write_bed
from epilm.genome.signals import write_bigwig
from epilm.store.inspect import inspect, print_store
from epilm.store.making.build import build
from epilm.store.making.track_files import pooled
from epilm.store.making.track_inputs import serve
from epilm.store.reader import Store

SIZES = {"chr1": 2050, "chr2": 900}


def bed(path, rows, colour=None):
    text = "".join(
        f"{c}\t{s}\t{e}\t{n}" + (f"\t0\t.\t{s}\t{e}\t{colour[n]}" if colour else "") + "\n"
        for c, s, e, n in rows
    )
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two chromosomes; states of two cell types in 200 bp bins, whose lists of states differ;
    signals.
    """
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    with open(folder / "g.fa", "w") as handle:
        for name, length in SIZES.items():
            handle.write(f">{name}\n{''.join(rng.choice(list('ACGT'), length))}\n")
    (folder / "states").mkdir()
    bed(
        folder / "states" / "A.bed.gz",
        [("chr1", 0, 400, "2_Tx"), ("chr1", 600, 800, "10_Quies"), ("chr2", 0, 200, "2_Tx")],
        {"2_Tx": "0,128,0", "10_Quies": "255,255,255"},
    )
    bed(
        folder / "states" / "B.bed.gz",
        [("chr1", 200, 600, "1_Tss"), ("chr1", 1800, 2050, "2_Tx"), ("chr2", 600, 900, "1_Tss")],
    )
    (folder / "A.bedGraph").write_text("chr1\t0\t10\t1.5\nchr1\t10\t20\t3\nchr2\t899\t900\t7\n")
    (folder / "B.bedGraph").write_text("chr1\t2049\t2050\t2\nchr2\t0\t900\t0.25\n")
    (folder / "map.bedGraph").write_text("chr1\t100\t2000\t1\nchr2\t3\t4\t0.5\n")
    return folder


def make(raw, out, **more):
    return build(genome=raw / "g.fa", out=out, **more)


def codes(store, cell):
    return store.states.of(store.cell_number(cell)).tolist()


A = [1, 1, 255, 2, *[255] * 7, 1, *[255] * 4]
B = [255, 0, 0, *[255] * 6, 1, 1, 255, 255, 255, 0, 0]


def test_states_become_one_list_and_missing_bins_are_unknown(raw, tmp_path):
    store = make(raw, tmp_path / "s", states=raw / "states")
    assert store.cell_types == ("A", "B")
    assert store.states.names == ("1_Tss", "2_Tx", "10_Quies")  # by number, 10 after 2
    assert store.states.colours == ("", "0,128,0", "255,255,255")
    assert store.states.bin == 200
    assert codes(store, "A") == A
    assert codes(store, "B") == B
    assert store.states.codes.dtype == np.uint8
    assert store.info.states["bins"] == [4, 5, 1]
    assert store.info.states["bins_unknown"] == 22
    assert [entry["unknown"] for entry in store.info.states["sources"]] == [0.75, 0.625]
    assert [entry["track"] for entry in store.info.states["sources"]] == ["A", "B"]
    assert all(len(entry["sha256"]) == 64 for entry in store.info.states["sources"])
    assert store.n_regions == 0
    assert store.info.access == {"from": "none"}
    store.verify()


def test_two_builds_are_equal_byte_for_byte(raw, tmp_path):
    both = [
        make(raw, tmp_path / name, states=raw / "states", accessibility={"A": raw / "A.bedGraph"})
        for name in "ab"
    ]
    for path in both[0].path.rglob("*.*"):
        assert path.read_bytes() == (both[1].path / path.relative_to(both[0].path)).read_bytes(), (
            path.name
        )


def test_a_first_file_that_skips_every_second_border_does_not_fix_the_bins(raw, tmp_path):
    wide = bed(tmp_path / "C.bed", [("chr1", 400, 1200, "2_Tx"), ("chr2", 0, 900, "1_Tss")])
    store = make(raw, tmp_path / "s", states=[f"C={wide}", str(raw / "states")])
    assert store.states.bin == 200
    assert store.cell_types == ("C", "A", "B")
    assert codes(store, "C") == [255, 255, 1, 1, 1, 1, *[255] * 5, 0, 0, 0, 0, 0]
    assert codes(store, "A") == A
    assert codes(store, "B") == B
    again = make(raw, tmp_path / "t", states=[str(raw / "states"), f"C={wide}"])
    assert codes(again, "C") == codes(store, "C")
    assert {path.name for path in store.path.iterdir()} == {
        path.name for path in again.path.iterdir()
    }
    store.verify()


def test_a_width_can_be_given(raw, tmp_path):
    store = make(raw, tmp_path / "s", states=raw / "states", state_bin=50)
    assert store.states.bin == 50
    assert codes(store, "A")[:12] == [1] * 8 + [255] * 4
    assert len(codes(store, "A")) == 41 + 18


def test_bins_that_do_not_nest_are_refused(raw, tmp_path):
    odd = bed(tmp_path / "C.bed", [("chr1", 0, 150, "2_Tx"), ("chr1", 450, 600, "1_Tss")])
    with pytest.raises(
        InputError, match=r"C\.bed.*different width. Found 150 bp; expected 200 bp.*--state-bin 50"
    ):
        make(raw, tmp_path / "s", states=[str(raw / "states"), f"C={odd}"])
    assert not (tmp_path / "s").exists()
    store = make(raw, tmp_path / "s", states=[str(raw / "states"), f"C={odd}"], state_bin=50)
    assert codes(store, "C")[:13] == [1, 1, 1, *[255] * 6, 0, 0, 0, 255]


def test_a_table_of_ideas_gives_a_cell_type_a_column(raw, tmp_path):
    table = tmp_path / "run.state"
    table.write_text(
        "#ID CHR POSst POSed E1 E2 PosClass\n1 chr1 0 200 0 3 1\n2 chr1 200 400 3 3 1\n3 chr2 800"
        " 900 0 0 1\n"
    )
    store = make(raw, tmp_path / "s", states=table)
    assert store.cell_types == ("E1", "E2")
    assert store.states.names == ("0", "3")
    assert codes(store, "E1") == [0, 1, *[255] * 13, 0]
    assert codes(store, "E2") == [1, 1, *[255] * 13, 0]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub of two epigenomes, one bigBed each, as UCSC's browser reads it."""
    import pybigtools

    folder = tmp_path_factory.mktemp("hub")
    rows = {
        "E003": [
            ("chr1", 0, 400, "0_Quies"),
            ("chr1", 600, 800, "10_Tss"),
            ("chr2", 0, 200, "0_Quies"),
        ],
        "E123": [("chr1", 200, 600, "10_Tss"), ("chr2", 600, 900, "4_Enh")],
    }
    for n, (name, lines) in enumerate(rows.items()):
        writer = pybigtools.open(str(folder / f"test1.{n + 1}.bb"), "w")
        writer.write(
            SIZES,
            iter([(c, s, e, f"{state}\t1000\t.\t{s}\t{e}\t10,20,30") for c, s, e, state in lines]),
        )
        with open(folder / "trackDb_test.txt", "a") as handle:
            handle.write(
                f"track bigBed{n + 1}\nbigDataUrl test1.{n + 1}.bb\nshortLabel {name} some cells\n"
                f"longLabel {name}\ntype bigBed 9 .\nitemRgb on\n\n"
            )
    return folder


def check_hub(store):
    assert store.cell_types == ("E003", "K562")
    assert store.states.names == ("0_Quies", "4_Enh", "10_Tss")
    assert codes(store, "E003") == [0, 0, 255, 2, *[255] * 7, 0, *[255] * 4]
    assert codes(store, "K562") == [255, 2, 2, *[255] * 11, 1, 1]
    assert store.states.proxies == {}


def test_a_hub_in_a_folder_gives_its_epigenomes(raw, hub, tmp_path):
    for n, place in enumerate((hub, hub / "trackDb_test.txt")):
        check_hub(make(raw, tmp_path / f"s{n}", states=place, cell_map="K562=E123"))


def test_a_hub_in_one_file_gives_its_epigenomes(raw, hub, tmp_path):
    text = (hub / "trackDb_test.txt").read_text().replace("bigDataUrl ", f"bigDataUrl {hub}/")
    text = text.replace("type bigBed 9 .", "type\tbigBed\t9")
    one = write(
        tmp_path / "epimap.txt", f"hub x\nuseOneFile on\nemail a@b\n\ngenome hg19\n\n{text}"
    )
    check_hub(make(raw, tmp_path / "s", states=one, cell_map="K562=E123"))


def test_states_on_no_grid_take_the_majority_and_say_how_many_bins_it_decides(
    raw, tmp_path, capsys
):
    lifted = bed(
        tmp_path / "A.bed",
        [
            ("chr1", 130, 330, "1_Tss"),  # 70 bases of bin 0, 130 of bin 1
            ("chr1", 330, 530, "2_Tx"),  # 70 of bin 1, 130 of bin 2
            ("chr1", 530, 730, "1_Tss"),
            ("chr1", 760, 960, "2_Tx"),
            ("chr2", 7, 207, "1_Tss"),
        ],
    )
    words = ["--genome", raw / "g.fa", "--states", lifted, "--out", tmp_path / "s"]
    assert main(["build", *map(str, words)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "each bin of 200 bp has the state of most of its bases; 3 of 5 bins with a state" in said
    store = Store.open(tmp_path / "s")
    assert store.states.bin == 200
    assert codes(store, "A") == [255, 0, 1, 0, 1, *[255] * 6, 0, *[255] * 4]


TABLE = "chr1\t0\t200\tTss\tTx\tTx\nchr1\t200\t400\tTx\tTx\tTss\n"


@pytest.mark.parametrize(
    "text",
    [
        "chr1\t0\t200" + "\t1_A" * 10 + "\n",
        "#chrom\tstart\tend"
        + "".join(f"\tE{i:03}" for i in range(10))
        + "\nchr1\t0\t200"
        + "\t3" * 10
        + "\n",
        "#chrom\tstart\tend\tE001\tE002\nchr1\t0\t200\t1\t2\n",
        TABLE,
        TABLE.replace("\tTx\n", "\n").replace("\tTss\n", "\n"),
    ],
    ids=["ten", "ten numbers", "two numbers", "three", "two"],
)
def test_a_table_of_cell_types_is_not_read_as_one(raw, tmp_path, text, capsys):
    table = write(tmp_path / "matrix.tsv", text)
    words = ["--genome", raw / "g.fa", "--states", table, "--out", tmp_path / "s"]
    assert main(["build", *map(str, words)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "looks like a table of several cell types" in said
    assert "one file a cell type, for example: cut -f1-3,5" in said
    assert not (tmp_path / "s").exists()


def test_names_that_are_nearly_one_are_hinted_at(raw, tmp_path):
    store = make(
        raw,
        tmp_path / "s",
        states=[f"MCF-7={raw / 'states' / 'A.bed.gz'}", f"B={raw / 'states' / 'B.bed.gz'}"],
        accessibility={"MCF7": raw / "A.bedGraph"},
    )
    assert store.cell_types == ("MCF-7", "B", "MCF7")
    assert any("MCF-7 and MCF7 differ in case and punctuation" in n for n in store.info.notes)


def test_what_a_signal_has_beyond_the_genome_is_counted(raw, tmp_path, capsys):
    graph = write(
        tmp_path / "A.bedGraph",
        "chr1\t0\t10\t1\nchr1\t2040\t2060\t2\nchr1\t2060\t2065\t2\nchr2\t0\t900\t3\n"
        "chrUn_1\t0\t5\t1\nchrUn_1\t5\t9\t2\n",
    )
    words = ["--genome", raw / "g.fa", "--accessibility", graph, "--out", tmp_path / "s"]
    assert main(["build", *map(str, words), "--past-end", "cut"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "2 of 6 runs are on chromosomes the genome does not have (chrUn_1): left out" in said
    assert "15 bases are past the end of their chromosome in the genome given: cut" in said
    write_bigwig(
        tmp_path / "A.bw",
        {"chr1": 2080, "chr2": 900, "chrUn_1": 70},
        [("chr1", 0, 2070, 1.0), ("chrUn_1", 0, 9, 2.0)],
    )
    wig = make(raw, tmp_path / "w", accessibility=tmp_path / "A.bw", past_end="cut").info.notes
    assert any("values of 1 of 2 chromosomes are on chromosomes" in note for note in wig)
    assert any("A.bw: 30 bases are past the end" in note for note in wig)


@pytest.mark.parametrize(
    ("name", "magic", "option", "message"),
    [
        ("a.bw.gz", b"\x26\xfc\x8f\x88", "accessibility", "the bigWig file is packed with gzip"),
        ("a.bb.gz", b"\xeb\xf2\x89\x87", "states", "the bigBed file is packed with gzip"),
        ("a.bb", b"\xeb\xf2\x89\x87", "accessibility", "Found bigBed; expected a signal.*--states"),
        ("a.bed", b"\x26\xfc\x8f\x88", "states", "Found bigWig, .*--accessibility"),
    ],
)
def test_a_packed_or_exchanged_track_is_said(raw, tmp_path, name, magic, option, message):
    data = magic + bytes(60)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(InputError, match=message) as error:
        make(raw, tmp_path / "s", **{option: tmp_path / name})
    assert "gunzip" in str(error.value) or not name.endswith("gz")
    assert "BED or narrowPeak" not in str(error.value)


def test_a_hub_on_a_server_gives_its_epigenomes(raw, hub, tmp_path):
    handler = functools.partial(QuietHandler, directory=str(hub))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/trackDb_test.txt"
        store = make(raw, tmp_path / "s", states=url, cell_map=["K562=E123"])
        check_hub(store)
        first = store.info.states["sources"][0]
        assert (first["name"], first["url"]) == (
            "test1.1.bb",
            url.replace("trackDb_test.txt", "test1.1.bb"),
        )
        (hub / "gone.txt").write_text(
            (hub / "trackDb_test.txt").read_text().replace("test1.2", "test9.2")
        )
        with pytest.raises(InputError, match=r"test9\.2\.bb.*does not give the file.*404"):
            make(raw, tmp_path / "t", states=url.replace("trackDb_test", "gone"))
        server.shutdown()
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_what_is_wrong_in_a_file_of_a_server_is_said_of_its_url_and_stanza(raw, tmp_path):
    web = tmp_path / "web"
    web.mkdir()
    (web / "a.bb").write_bytes(b"%PDF-1.4")
    write(web / "trackDb.txt", "# a hub\n\ntrack a\nbigDataUrl a.bb\n")
    write(web / "run.state", "#ID CHR POSst POSed E1 PosClass\n1 chr1 0 200 x 1\n")
    write(web / "good.state", "#ID CHR POSst POSed E1 PosClass\n1 chr1 0 200 0 1\n")
    handler = functools.partial(QuietHandler, directory=str(web))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        cases = {
            f"{url}/trackDb.txt": (
                f"{url}/a.bb (named in {url}/trackDb.txt, line 3): wrong format. Found a PDF"
            ),
            f"E1={url}/a.bb": f"{url}/a.bb: wrong format. Found a PDF",
            f"E1={url}/run.state": f"{url}/run.state, line 2: ",
        }
        for given_, message in cases.items():
            with pytest.raises(InputError) as caught:
                make(raw, tmp_path / "s", states=given_)
            assert str(caught.value).startswith(message)
            assert "epilm-hub" not in str(caught.value)
        store = make(raw, tmp_path / "s", states=f"E1={url}/good.state")
        assert "good.state: no states on chr2: unknown there" in store.info.notes
        server.shutdown()


def test_a_hub_is_told_by_any_first_setting_or_by_its_name(raw, hub, tmp_path):
    text = (hub / "trackDb_test.txt").read_text()
    for n in (1, 2):
        text = text.replace(f"track bigBed{n}\n", f"type bigBed 9 .\ntrack bigBed{n}\n")
    (tmp_path / "hub").mkdir()
    for name in ("trackDb_x.txt", "tracks.txt"):
        write(tmp_path / "hub" / name, text.replace("bigDataUrl ", f"bigDataUrl {hub}/"))
        check_hub(make(raw, tmp_path / name, states=tmp_path / "hub" / name, cell_map="K562=E123"))
    # by the name alone: no file is named near the top
    write(tmp_path / "hub" / "trackDb.txt", "shortLabel x\nsuperTrack on\ntrack x\n")
    with pytest.raises(InputError, match="the hub has no track with a file"):
        make(raw, tmp_path / "s", states=tmp_path / "hub" / "trackDb.txt")
    # a browser's line over a BED makes no hub of it
    text = 'track name="bigDataUrl a.bb"\nchr1\t0\t200\t1_Tss\n'
    store = make(raw, tmp_path / "b", states=write(tmp_path / "A.bed", text))
    assert store.states.names == ("1_Tss",)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


# -- the cell map
# ------------------------------------------------------------------------------------


def test_a_proxy_is_kept_and_said(raw, tmp_path, capsys):
    store = make(
        raw, tmp_path / "s", states=raw / "states", cell_map={"K562": "A", "PC-3": "B", "B": "B"}
    )
    assert store.cell_types == ("A", "K562", "PC-3", "B")
    assert store.states.rows.tolist() == [0, 0, 1, 1]
    assert codes(store, "PC-3") == codes(store, "B") == B
    assert store.states.proxies == store.info.states["proxies"] == {"K562": "A", "PC-3": "B"}
    assert (
        "WARNING: PC-3 has no states of its own here and reads those of B (declared proxy)"
        in store.info.notes
    )
    assert "one track of states (B) serves PC-3, B" in store.info.notes
    print_store(inspect(store))
    said = capsys.readouterr().out
    assert "WARNING: PC-3 reads the states of B, a declared proxy" in said
    assert "3 of 200 bp in 4 cell types (2 tracks)" in said


def test_a_proxy_takes_no_states_away(raw, tmp_path):
    store = make(
        raw,
        tmp_path / "s",
        states=raw / "states",
        cell_map="PC-3=B",
        accessibility=[f"B={raw}/B.bedGraph"],
    )
    assert codes(store, "B") == codes(store, "PC-3") == B
    assert store.states.proxies == {"PC-3": "B"}
    assert not any(note.startswith("cell types without states") for note in store.info.notes)
    assert "one track of states (B) serves B, PC-3" in store.info.notes


@pytest.mark.parametrize(
    ("given", "cells"),
    [
        ({"PC-3": ("B", "proxy")}, {"A": "A", "B": "B", "PC-3": "B"}),
        ({"neuron": ("B", "same")}, {"A": "A", "neuron": "B"}),
        ({"neuron": ("B", "same"), "PC-3": ("B", "")}, {"A": "A", "neuron": "B", "PC-3": "B"}),
        # what another track is called is no longer this one's name
        ({"A": ("B", ""), "A.own": ("A", "")}, {"A.own": "A", "A": "B", "B": "B"}),
        ({"A": ("B", ""), "B": ("A", "")}, {"B": "A", "A": "B"}),
    ],
)
def test_a_track_named_by_proxies_alone_keeps_its_own_name(given, cells):
    assert serve(["A", "B"], given).cells == cells


def test_the_map_may_be_a_file_and_say_that_cells_are_the_same(raw, tmp_path):
    (tmp_path / "map.tsv").write_text("# cell\ttrack\nneuron\tA\tsame\nPC-3\tB\tproxy\n")
    store = make(raw, tmp_path / "s", states=raw / "states", cell_map=tmp_path / "map.tsv")
    assert store.cell_types == ("neuron", "B", "PC-3")
    assert store.states.proxies == {"PC-3": "B"}
    (tmp_path / "map.tsv").write_text("neuron\tA\nPC-3 B\n")
    with pytest.raises(InputError, match=r"map\.tsv, line 2: this is no line of a cell map"):
        make(raw, tmp_path / "t", states=raw / "states", cell_map=tmp_path / "map.tsv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PC-3=C1"], r"--cell-map, PC-3: there is no such track of states. Found C1.*Known: A, B"),
        (["PC-3"], "no entry of a cell map. Found PC-3; expected CELL=TRACK"),
        (["x=A", "x=B"], "names a cell type twice. Found x: A and B"),
        (["A=B"], r"two tracks of states would serve one cell type. Found A: A and B"),
    ],
)
def test_a_wrong_map_is_refused_before_anything_is_read(raw, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        make(raw, tmp_path / "s", states=raw / "states", cell_map=words)
    assert list(tmp_path.iterdir()) == []


# -- signals
# -----------------------------------------------------------------------------------------


def test_signals_are_kept_base_by_base_and_missing_is_0(raw, tmp_path):
    store = make(
        raw,
        tmp_path / "s",
        accessibility=[f"A={raw}/A.bedGraph", f"B={raw}/B.bedGraph"],
        mappability=raw / "map.bedGraph",
        signal=[f"H3K27ac:C={raw}/A.bedGraph"],
    )
    assert store.cell_types == ("A", "B", "C")
    assert list(store.signals) == ["accessibility", "mappability", "H3K27ac"]
    access = store.signals["accessibility"]
    assert access.windows([0], [0], [-2], 24)[0].tolist() == [0, 0] + [1.5] * 10 + [3] * 10 + [0, 0]
    assert access.windows([0, 1, 2], [1, 0, 0], [897, 2048, 5], 4).tolist() == [
        [0, 0, 7, 0],
        [0, 2, 0, 0],
        [0] * 4,
    ]
    mappability = store.signals["mappability"]
    assert mappability.rows is None
    assert mappability.windows([2], [0], [98], 4)[0].tolist() == [0, 0, 1, 1]
    assert store.signals["H3K27ac"].rows.tolist() == [-1, -1, 0]
    about = store.info.signals["accessibility"]
    assert about["resolution"], about["pooled"] == (1, "base")
    first = about["sources"][0]
    assert first["mean"] == pytest.approx(52 / 2950, rel=1e-5)
    assert (first["max"], first["missing"], first["cut"]) == (
        7,
        pytest.approx(1 - 21 / 2950, abs=1e-6),
        0,
    )
    assert "cell types without H3K27ac: A, B" in store.info.notes
    assert "cell types without accessibility: C" in store.info.notes
    store.verify()


def test_signals_of_another_depth_are_scaled_to_one_mean_and_it_is_said(raw, tmp_path):
    deep = [line.split("\t") for line in (raw / "A.bedGraph").read_text().splitlines()]
    deep = [f"{chrom}\t{a}\t{b}\t{4 * float(value):g}" for chrom, a, b, value in deep]
    deep_file = write(tmp_path / "deep.bedGraph", "\n".join(deep) + "\n")
    given = {
        "accessibility": [f"A={raw}/A.bedGraph", f"B={deep_file}"],
        "mappability": raw / "map.bedGraph",
    }
    plain = make(raw, tmp_path / "plain", **given)
    said = "accessibility: the mean of B is 4 times that of A"
    assert any(note.startswith(said) for note in plain.info.notes)

    scaled = make(raw, tmp_path / "scaled", signal_scale="depth", **given)
    assert not any("times that of" in note for note in scaled.info.notes)
    assert scaled.info.signals["accessibility"]["scale"] == "depth"
    assert "scale" not in scaled.info.signals["mappability"]  # one track: nothing to compare with
    means = [entry["mean"] for entry in scaled.info.signals["accessibility"]["sources"]]
    assert means == pytest.approx([1, 1], rel=1e-5)
    values = scaled.signals["accessibility"].values
    assert np.array_equal(values[0], values[1])
    expected = np.float32(plain.signals["accessibility"].values[0]) / (52 / 2950)
    np.testing.assert_allclose(np.float32(values[0]), expected, rtol=1e-3)
    same = plain.signals["mappability"].values
    assert np.array_equal(scaled.signals["mappability"].values, same)


def test_signals_can_be_pooled(raw, tmp_path):
    store = make(
        raw,
        tmp_path / "s",
        signal_resolution=7,
        accessibility=[f"A={raw}/A.bedGraph"],
        mappability=raw / "map.bedGraph",
        signal_pool=["mean", "mappability=min"],
    )
    access, mappability = store.signals["accessibility"], store.signals["mappability"]
    assert (access.pooled, mappability.pooled, access.resolution) == ("mean", "min", 7)
    assert access.values.shape == (1, 293 + 129)
    expected = np.float16([1.5, (3 * 1.5 + 4 * 3) / 7, 18 / 7, 0]).astype(np.float32)
    assert access.windows([0], [0], [0], 28)[0].tolist() == np.repeat(expected, 7).tolist()
    assert mappability.windows([0], [0], [98], 14)[0].tolist() == [0] * 7 + [1] * 7
    assert (
        access.windows([0], [1], [896], 8)[0].tolist() == [1.75] * 4 + [0] * 4
    )  # 7 / 4 over the last four bases


@given(
    st.lists(st.floats(-9, 9, width=16), min_size=1, max_size=60),
    st.integers(1, 9),
    st.sampled_from(["max", "mean", "min"]),
)
def test_pooling_is_that_of_each_step(values, resolution, how):
    steps = [values[i : i + resolution] for i in range(0, len(values), resolution)]
    plain = {"max": max, "min": min, "mean": lambda v: sum(v) / len(v)}[how]
    assert pooled(np.array(values), resolution, how).tolist() == pytest.approx(
        [plain(step) for step in steps]
    )


def test_values_too_large_for_the_store_are_cut_and_said(raw, tmp_path):
    (tmp_path / "A.bedGraph").write_text("chr1\t0\t3\t70000\nchr1\t3\t4\t65504\nchr2\t0\t9\t1\n")
    store = make(raw, tmp_path / "s", accessibility={"A": tmp_path / "A.bedGraph"})
    assert store.signals["accessibility"].windows([0], [0], [0], 4)[0].tolist() == [65504] * 4
    assert store.info.signals["accessibility"]["cut"] == 3
    assert any("3 values beyond 65504" in note for note in store.info.notes)


def test_negative_accessibility_is_counted_and_said(raw, tmp_path):
    ratio = write(
        tmp_path / "r.bedGraph", "chr1\t0\t1500\t-0.5\nchr1\t1500\t1501\t2\nchr2\t0\t9\t-1\n"
    )
    store = make(
        raw,
        tmp_path / "s",
        accessibility=[f"A={ratio}", f"B={raw}/B.bedGraph"],
        signal=f"ratio:A={ratio}",
    )
    assert [note for note in store.info.notes if "negative" in note] == [
        "accessibility of A: 1,509 negative values: read as 0"
    ]
    shared = make(raw, tmp_path / "t", signal=f"accessibility:{ratio}", signal_resolution=100)
    assert (
        "accessibility: 15 negative values: read as 0" in shared.info.notes
    )  # chr2's step holds zeros


def test_a_chromosome_the_signal_lacks_is_0_and_said(raw, tmp_path):
    (tmp_path / "A.bedGraph").write_text("chr1\t0\t3\t7\n")
    store = make(raw, tmp_path / "s", accessibility={"A": tmp_path / "A.bedGraph"})
    assert not store.signals["accessibility"].windows([0], [1], [0], 900).any()
    assert "A.bedGraph: no values on chr2: 0 there" in store.info.notes


# -- beside regions
# ----------------------------------------------------------------------------------


def test_cell_types_are_those_of_regions_then_states_then_signals(raw, tmp_path):
    write_bed(tmp_path / "B.bed", make_table(["chr1", "chr2"], [100, 200], [300, 400]))
    plain = make(raw, tmp_path / "p", peaks=f"B={tmp_path}/B.bed")
    store = make(
        raw,
        tmp_path / "s",
        peaks=f"B={tmp_path}/B.bed",
        states=raw / "states",
        accessibility={"C": raw / "A.bedGraph"},
    )
    assert store.cell_types == ("B", "A", "C")
    assert store.states.rows.tolist() == [1, 0, -1]
    assert codes(store, "B") == B
    assert store.accessible("B").all()
    assert not store.accessible("A").any()
    assert store.n_regions == 2
    assert store.fingerprint != plain.fingerprint
    assert "cell types without an accessible region: A, C" in store.info.notes
    assert "cell types without states: C" in store.info.notes
    alone = make(
        raw, tmp_path / "c", peaks=f"B={tmp_path}/B.bed", accessibility={"C": raw / "A.bedGraph"}
    )
    assert alone.fingerprint == plain.fingerprint  # signals change no meaning of a row


def test_a_genome_alone_is_a_store(raw, tmp_path):
    store = make(raw, tmp_path / "s")
    assert (store.n_regions, store.cell_types, store.states) == (0, (), None)
    assert inspect(store)["region_width"] == {}
    store.verify()


# -- the command line
# --------------------------------------------------------------------------------


def test_from_the_command_line(raw, tmp_path, capsys):

    words = [
        "build",
        "--genome",
        raw / "g.fa",
        "--out",
        tmp_path / "s",
        "--states",
        f"{raw}/states/*.bed.gz",
        "--cell-map",
        "PC-3=B",
        "--accessibility",
        f"A={raw}/A.bedGraph",
        "--accessibility",
        f"PC-3={raw}/B.bedGraph",
        "--mappability",
        raw / "map.bedGraph",
        "--signal",
        f"H3:A={raw}/A.bedGraph",
        "--signal-resolution",
        10,
        "--signal-pool",
        "max",
    ]
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr()
    assert "note: WARNING: PC-3 has no states of its own" in shown.err
    assert "accessibility (max of 10 bp, 2 cell types" in shown.out
    assert "62.5% unknown" in shown.out
    assert main(["inspect", str(tmp_path / "s"), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["states"]["names"] == ["1_Tss", "2_Tx", "10_Quies"]
    cells = {cell["name"]: cell for cell in about["cell_types"]}
    assert cells["PC-3"]["proxy"] == "B"
    assert cells["A"]["signals"] == ["accessibility", "mappability", "H3"]


MOTIFS = ">M1 one\nA [ 9 0 0 0 0 9 ]\nC [ 0 9 0 0 0 0 ]\nG [ 0 0 9 9 0 0 ]\nT [ 1 0 0 0 9 0 ]\n"


def test_a_store_of_states_keeps_motifs_and_their_cuts_without_regions(raw, tmp_path, capsys):
    (tmp_path / "pwms").mkdir()
    (tmp_path / "pwms" / "one.jaspar").write_text(MOTIFS)
    (tmp_path / "pwms" / "two.txt").write_text("Pos\tA\tC\tG\tT\n1\t0\t1\t0\t0\n2\t1\t0\t0\t0\n")
    given = ["--genome", str(raw / "g.fa"), "--motifs", str(tmp_path / "pwms"), "--p", "0.001"]
    states = ["--states", str(raw / "states"), "--out", str(tmp_path / "bare")]
    assert main(["build", *given, *states]) == 0
    bare = Store.open(tmp_path / "bare")
    bare.verify()
    assert [m["id"] for m in bare.motifs] == ["M1", "two"]
    assert (bare.n_regions, bare.n_factors, bare.info.n_factors, bare.factors) == (0, 0, 0, None)
    assert bare.statistics == ()
    roles = [(one["role"], one["name"]) for one in bare.info.sources if one["role"] == "motifs"]
    assert roles == [("motifs", "one.jaspar"), ("motifs", "two.txt")]
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "bare")]) == 0
    assert "2 motifs for motif sites" in capsys.readouterr().out
    peaks = bed(tmp_path / "p.bed", [("chr1", 100, 600, "x")])
    assert main(["build", *given, "--peaks", str(peaks), "--out", str(tmp_path / "full")]) == 0
    full = Store.open(tmp_path / "full")
    assert bare.motifs == full.motifs  # the cuts are those of a store with regions
    kept = {key: full.info.factors[key] for key in ("p", "pseudocount", "backgrounds", "short")}
    assert {key: bare.info.factors[key] for key in kept} == kept
    window = torch.from_numpy(np.array(bare.genome[:500]))[None]
    sites = [SiteFinder(store)(window, 1, 500) for store in (bare, full)]
    assert torch.equal(sites[0], sites[1])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"background": "gc_bins"}, "--background gc_bins is about accessible regions"),
        ({"more_statistics": ("count",)}, "--more-statistics is about accessible regions"),
    ],
)
def test_what_motifs_without_regions_cannot_have_is_refused(raw, tmp_path, more, words):
    (tmp_path / "m.jaspar").write_text(MOTIFS)
    with pytest.raises(InputError, match=words):
        make(raw, tmp_path / "s", motifs=tmp_path / "m.jaspar", **more)
    assert not (tmp_path / "s").exists()


# -- what is refused
# ---------------------------------------------------------------------------------

CASES = {
    "contacts": ({"contacts": "c.cool"}, "--contacts is about accessible regions, and there are"),
    "off the grid": (
        lambda raw, tmp: {
            "states": bed(
                tmp / "A.bed",
                [
                    *[("chr1", 200 * i, 200 * i + 200, f"{i % 2}_a") for i in range(9)],
                    ("chr1", 1850, 2050, "1_a"),
                ],
            )
        },
        r"A\.bed, line 10.*off the grid",
    ),
    "overlap": (
        lambda raw, tmp: {
            "states": bed(tmp / "A.bed", [("chr1", 0, 400, "1_a"), ("chr1", 200, 600, "2_b")])
        },
        "overlap",
    ),
    "assembly": (
        lambda raw, tmp: {
            "states": bed(tmp / "A.bed", [("chr1", 0, 200, "1_a"), ("chr1", 4000, 4200, "1_a")])
        },
        "past its chromosome",
    ),
    "two names": (
        lambda raw, tmp: {
            "states": [
                f"A={raw}/states/A.bed.gz",
                f"C={bed(tmp / 'C.bed', [('chr1', 0, 200, '2_Other')])}",
            ],
            "state_bin": 200,
        },
        r"C \(.*C\.bed\): one state number has two names.*as for A \(.*A\.bed\.gz\)",
    ),
    "cut short, the second of two": (
        lambda raw, tmp: {
            "states": [f"A={raw}/states/A.bed.gz", f"B={half(raw / 'states' / 'B.bed.gz', tmp)}"]
        },
        "truncated",
    ),
    "a stanza without a file": (
        lambda raw, tmp: {
            "states": write(tmp / "trackDb.txt", "track a\nshortLabel E001\ntype bigBed 9\n")
        },
        r"trackDb\.txt, line 1: the track has no file",
    ),
    "a stanza whose file is not there": (
        lambda raw, tmp: {
            "states": write(
                tmp / "trackDb.txt", "# x\ntrack a\ntype bigBed 9\nbigDataUrl none.bb\n"
            )
        },
        r"trackDb\.txt, line 2, track a: there is no such file\. Found .*none\.bb",
    ),
    "a stanza of an address that cannot be read": (
        lambda raw, tmp: {
            "states": write(
                tmp / "trackDb.txt", "track a\ntype bigBed 9\nbigDataUrl ftp://x/a.bb\n"
            )
        },
        r"trackDb\.txt, line 1, track a: the address cannot be fetched\. Found ftp://x/a\.bb",
    ),
    "an address that cannot be read": (
        {"states": "A=ftp://x/a.bb"},
        r"ftp://x/a\.bb: the address cannot be fetched\. Expected http, https or a path",
    ),
    "another such": (
        {"states": {"A": "s3://x/a.bb"}},
        r"s3://x/a\.bb: the address cannot be fetched",
    ),
    "map without states": ({"cell_map": "a=b"}, "a cell map needs states"),
    "no file": ({"states": "none/x.bed"}, "there is no such segmentation"),
    "one name": (
        lambda raw, tmp: {"states": [f"A={raw}/states/A.bed.gz", f"A={raw}/states/B.bed.gz"]},
        r"B\.bed\.gz: two tracks of states have one name\. Found A, which is also .*A\.bed\.gz;"
        r" expected one track a cell type\. Leave one of them out, or give it another name",
    ),
    "bin": (
        lambda raw, tmp: {"states": raw / "states", "state_bin": 0},
        "--state-bin: the value is out of range",
    ),
    "pool": (
        lambda raw, tmp: {"mappability": raw / "map.bedGraph", "signal_pool": "sum"},
        "--signal-pool: unknown value. Found sum",
    ),
    "pool of none": (
        lambda raw, tmp: {"mappability": raw / "map.bedGraph", "signal_pool": ["mapability=min"]},
        "no such signal. Found mapability. Did you mean mappability",
    ),
    "scale": (
        lambda raw, tmp: {"accessibility": f"A={raw}/A.bedGraph", "signal_scale": "mean"},
        "--signal-scale: unknown value. Found mean",
    ),
    "scale of one for all": (
        lambda raw, tmp: {"mappability": raw / "map.bedGraph", "signal_scale": "depth"},
        "--signal-scale: no signal has a track of each cell type. Found depth. Give",
    ),
    "scale of zeros": (
        lambda raw, tmp: {
            "accessibility": ["A=" + str(write(tmp / "zero.bedGraph", "chr1\t0\t9\t0\n"))],
            "signal_scale": "depth",
        },
        r"zero\.bedGraph: no value is above 0, so there is no mean to divide by",
    ),
    "signal word": ({"signal": "x"}, "this is no signal. Found x; expected NAME:CELL=FILE"),
    "signal name": (
        lambda raw, tmp: {"signal": f"a/b:A={raw}/A.bedGraph"},
        "this is no name of a signal",
    ),
    "signal names": (
        lambda raw, tmp: {"mappability": write(tmp / "m.bedGraph", "1\t0\t3\t1\n")},
        "named differently",
    ),
    "signal is a BED": (
        lambda raw, tmp: {"mappability": raw / "states" / "A.bed.gz"},
        r"A\.bed\.gz",
    ),
    "past end": (
        lambda raw, tmp: {"mappability": write(tmp / "m.bedGraph", "chr1\t0\t3000\t1\n")},
        "chr1.*3000.*2050",
    ),
}


def write(path, text):
    path.write_text(text)
    return path


def half(path, folder):
    data = path.read_bytes()
    (folder / path.name).write_bytes(data[: len(data) // 2])
    return folder / path.name


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_error_and_leaves_nothing(raw, tmp_path, case):
    change, message = CASES[case]
    (tmp_path / "in").mkdir()
    given_ = change(raw, tmp_path / "in") if callable(change) else change
    with pytest.raises(EpilmError, match=message):
        make(raw, tmp_path / "out" / "s", **given_)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_more_than_254_states_are_refused(raw, tmp_path):
    rows = [("chr2", 2 * i, 2 * i + 2, f"{i}_s") for i in range(255)]
    with pytest.raises(EpilmError, match="254"):
        make(raw, tmp_path / "s", states=f"A={bed(tmp_path / 'A.bed', rows)}", state_bin=2)
    fits = bed(tmp_path / "A.bed", rows[:254])
    store = make(raw, tmp_path / "s", states=f"A={fits}", state_bin=2)
    assert store.states.n_states == 254
    assert codes(store, "A")[1025 : 1025 + 255] == [*range(254), 255]


def test_past_the_end_can_be_cut(raw, tmp_path):
    longer = bed(
        tmp_path / "A.bed",
        [("chr1", 0, 200, "1_a"), ("chr1", 1800, 4200, "1_a"), ("chr1", 4400, 4600, "2_b")],
    )
    signal = write(tmp_path / "m.bedGraph", "chr1\t2048\t3000\t1\nchr2\t0\t1\t1\n")
    store = make(raw, tmp_path / "s", states=f"A={longer}", mappability=signal, past_end="cut")
    assert codes(store, "A")[:12] == [0, *[255] * 8, 0, 0, 255]
    assert store.signals["mappability"].windows([0], [0], [2046], 5)[0].tolist() == [0, 0, 1, 1, 0]


def test_real_segmentations_and_accessibility_build(real_data, tmp_path):
    store = build(
        genome=[
            real_data / "reference_hg19" / f"hg19_chr{c}.fa.gz"
            for c in ("20_to_11095000", "22_to_22000000")
        ],
        sizes=real_data / "reference_hg19" / "chrom.sizes",
        out=tmp_path / "s",
        states=str(real_data / "chromatin_states_hg19" / "chromhmm15_5kb_chr20_chr22.*.bed.gz"),
        accessibility=str(real_data / "signal_hg19" / "accessibility.*.chr22_slice.lifted.bw"),
        signal_resolution=50,
    )
    assert store.states.bin == 5000
    assert {"Gm12878", "K562"} <= set(store.cell_types)
    store.verify()
    assert Store.open(store.path).signals["accessibility"].n_tracks == 2
