"""Hubs in a folder and on a server of our own that fails as told."""

import http.server
import threading
from collections import Counter

import pybigtools
import pytest

from epilm.errors import InputError
from epilm.genome.segmentation import read_states
from epilm.genome.trackhub import check_places, fetch, read_trackdb, state_tracks

HUB = """# Roadmap, 20 states
track bb114
type bigBed 9 .
shortLabel E116 GM12878
longLabel IDEAS 20 states, GM12878 Lymphoblastoid
bigDataUrl test1.114.bb
itemRgb on

track group
superTrack on show
shortLabel all of them

    track liver_states
    parent group
    shortLabel liver
    type bigBed 9
    bigDataUrl /data/liver.bb

track sig
type bigWig 0 10
shortLabel E1234 is no epigenome
bigDataUrl https://elsewhere.org/sig.bw
"""


@pytest.fixture
def server(tmp_path):
    """A server of tmp_path/web; `plan[path]` is a list of what it does first, `asked` counts."""
    root = tmp_path / "web"
    root.mkdir()
    plan: dict[str, list] = {}
    asked: Counter = Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked[self.path] += 1
            todo = plan.get(self.path, [])
            act = todo.pop(0) if todo else "serve"
            file = root / self.path.lstrip("/")
            if isinstance(act, int):
                self.send_error(act)
            elif not file.exists():
                self.send_error(404)
            else:
                data = file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if act == "half" else data)

        def log_message(self, *args):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_address[1]}", root, plan, asked
    web.shutdown()
    web.server_close()
    thread.join()


def test_a_hub_in_a_folder(tmp_path):
    (tmp_path / "trackDb.txt").write_text(HUB)
    for source in (tmp_path, tmp_path / "trackDb.txt"):
        tracks = read_trackdb(source)
        assert [track.track for track in tracks] == ["bb114", "liver_states", "sig"]
        assert [track.cell for track in tracks] == ["E116", "liver", "E1234 is no epigenome"]
        assert [track.kind for track in tracks] == ["bigBed", "bigBed", "bigWig"]
        assert [track.url for track in tracks] == [
            str(tmp_path / "test1.114.bb"),
            "/data/liver.bb",
            "https://elsewhere.org/sig.bw",
        ]
        assert tracks[0].short_label == "E116 GM12878"
        assert tracks[0].long_label == "IDEAS 20 states, GM12878 Lymphoblastoid"
        assert tracks[1].long_label == "liver"
        assert tracks[1].place == f"{tmp_path / 'trackDb.txt'}, line 13"
        assert list(state_tracks(tracks)) == ["E116", "liver"]


def test_continued_lines_includes_and_stanzas_without_blank_lines(tmp_path):
    (tmp_path / "trackDb.txt").write_text(
        "track a\\\n_1\nbigDataUrl a.bb\ntrack b\nbigDataUrl b.bb\n\ninclude more/c.txt\n"
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.txt").write_text("bigDataUrl c.bb\ntrack c\n")
    tracks = read_trackdb(tmp_path)
    assert [(track.track, track.url) for track in tracks] == [
        ("a_1", str(tmp_path / "a.bb")),
        ("b", str(tmp_path / "b.bb")),
        ("c", str(tmp_path / "more" / "c.bb")),
    ]
    assert list(state_tracks(tracks)) == [
        "a_1",
        "b",
        "c",
    ]  # told by the file's name where no type is said


def test_a_whole_hub_is_followed_to_its_tracks(tmp_path):
    (tmp_path / "hub.txt").write_text("hub x\nshortLabel x\ngenomesFile genomes.txt\nemail a@b\n")
    (tmp_path / "genomes.txt").write_text("genome hg19\ntrackDb hg19/trackDb.txt\n")
    (tmp_path / "hg19").mkdir()
    (tmp_path / "hg19" / "trackDb.txt").write_text(HUB)
    assert read_trackdb(tmp_path)[0].url == str(tmp_path / "hg19" / "test1.114.bb")
    (tmp_path / "genomes.txt").write_text(
        "genome hg19\ntrackDb hg19/trackDb.txt\n\ngenome hg38\ntrackDb hg38/trackDb.txt\n"
    )
    with pytest.raises(
        InputError, match=r"the hub has several genomes. Found hg19, hg38; expected one genome"
    ):
        read_trackdb(tmp_path / "hub.txt")


ONE_FILE = """hub x
shortLabel x
longLabel x
useOneFile on
email a@b.c

genome hg19

track group
superTrack on

track a
type\tbigBed\t9
shortLabel E116 GM12878
bigDataUrl a.bb

track b
type bigWig 0 10
bigDataUrl b.bw
"""


def test_a_hub_in_one_file(tmp_path):
    (tmp_path / "hub.txt").write_text(ONE_FILE)
    for place in (tmp_path, tmp_path / "hub.txt"):
        tracks = read_trackdb(place)
        assert [(one.track, one.cell, one.kind) for one in tracks] == [
            ("a", "E116", "bigBed"),  # its type is written with tabs
            ("b", "b", "bigWig"),
        ]
        assert tracks[0].url == str(tmp_path / "a.bb")
    for text, message in [
        (
            ONE_FILE.replace("genome hg19", "genome hg19\n\ngenome hg38"),
            "several genomes. Found hg19, hg38",
        ),
        (ONE_FILE.replace("genome hg19\n", ""), "the hub names no genome"),
        (ONE_FILE[: ONE_FILE.index("track group")], "no track with a file"),
    ]:
        (tmp_path / "hub.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            read_trackdb(tmp_path / "hub.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "track a\nbigDataUrl a.bb\n\ntrack b\nshortLabel B\n",
            "trackDb.txt, line 4: the track has no file. Found track b without bigDataUrl",
        ),
        (
            "track a\nbigDataUrl a.bb\n\nshortLabel B\nbigDataUrl b.bb\n",
            "trackDb.txt, line 4: the stanza names no track. Found shortLabel B",
        ),
        (
            "track a\nbigDataUrl a.bb\n\ntrack a\nbigDataUrl b.bb\n",
            "trackDb.txt, line 4: the track occurs twice. Found a",
        ),
        ("# nothing\n", "trackDb.txt: the file holds no stanza"),
        ("track a\nsuperTrack on\n", "the hub has no track with a file"),
        ("<html><body>moved</body></html>", "wrong format. Found a web page"),
    ],
)
def test_bad_hubs_are_one_message_with_the_line(tmp_path, text, message):
    (tmp_path / "trackDb.txt").write_text(text)
    with pytest.raises(InputError) as caught:
        read_trackdb(tmp_path)
    assert message in str(caught.value)


def test_folders_without_one_hub(tmp_path):
    (tmp_path / "a.bed").write_text("x")
    with pytest.raises(
        InputError, match=r"the folder holds no hub. Found a.bed; expected hub.txt or trackDb.txt"
    ):
        read_trackdb(tmp_path)
    (tmp_path / "trackDb_1.txt").write_text(HUB)
    (tmp_path / "trackDb_2.txt").write_text(HUB)
    with pytest.raises(
        InputError, match=r"the folder holds several hubs. Found trackDb_1.txt, trackDb_2.txt"
    ):
        read_trackdb(tmp_path)


def test_one_segmentation_a_cell_type(tmp_path):
    (tmp_path / "trackDb.txt").write_text(HUB.replace("shortLabel liver", "shortLabel E116 too"))
    with pytest.raises(
        InputError,
        match=(
            r"line 13: the cell type has two segmentations. Found liver_states and bb114 for E116"
        ),
    ):
        state_tracks(read_trackdb(tmp_path))
    (tmp_path / "trackDb.txt").write_text("track a\ntype bigWig\nbigDataUrl a.bw\n")
    with pytest.raises(
        InputError, match=r"the hub has no segmentation. Found a \(bigWig\); expected bigBed tracks"
    ):
        state_tracks(read_trackdb(tmp_path))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "none.bb",
            (
                "line 4, track b: there is no such file. Found {folder}/none.bb; expected the file"
                " of a track. Check the name; {folder} holds a.bb, empty.bb, trackDb.txt"
            ),
        ),
        ("empty.bb", "line 4, track b: the file is empty. Found {folder}/empty.bb, 0 bytes"),
        (
            "ftp://x/a.bb",
            (
                "line 4, track b: the address cannot be fetched. Found ftp://x/a.bb; expected http,"
                " https or a path"
            ),
        ),
        ("s3://x/a.bb", "line 4, track b: the address cannot be fetched. Found s3://x/a.bb"),
    ],
)
def test_a_file_that_cannot_be_there_is_said_with_its_stanza(tmp_path, url, message):
    (tmp_path / "a.bb").write_bytes(b"1")
    (tmp_path / "empty.bb").write_bytes(b"")
    (tmp_path / "trackDb.txt").write_text(
        f"track a\nbigDataUrl a.bb\n\ntrack b\nbigDataUrl {url}\n"
    )
    with pytest.raises(InputError) as caught:
        check_places(read_trackdb(tmp_path))
    assert f"{tmp_path}/trackDb.txt, {message.format(folder=tmp_path)}" in str(caught.value)
    (tmp_path / "trackDb.txt").write_text(
        "track a\nbigDataUrl a.bb\n\ntrack b\nbigDataUrl http://nowhere/a.bb\n\ntrack"
        f" c\nbigDataUrl file://{tmp_path}/a.bb\n"
    )
    check_places(read_trackdb(tmp_path))  # a server is not asked


def test_a_hub_on_a_server_that_fails_twice(server, tmp_path):
    address, root, plan, asked = server
    (root / "hub").mkdir()
    (root / "hub" / "trackDb.txt").write_text(
        "track a\ntype bigBed 4\nshortLabel E123 K562\nbigDataUrl a%20b.bb\n"
    )
    pybigtools.open(str(root / "hub" / "a%20b.bb"), "w").write(
        {"chr1": 600}, iter([("chr1", 0, 400, "1_TssA")])
    )
    plan["/hub/trackDb.txt"] = [503, 503]
    plan["/hub/a%20b.bb"] = ["half", 500]
    slept: list[float] = []
    track = state_tracks(read_trackdb(f"{address}/hub/trackDb.txt", wait=1.0, sleep=slept.append))[
        "E123"
    ]
    assert track.url == f"{address}/hub/a%20b.bb"
    path = fetch(track.url, tmp_path / "cache", wait=1.0, sleep=slept.append)
    assert slept == [1.0, 2.0, 1.0, 2.0]
    assert path.name.endswith("_a b.bb")
    assert path.read_bytes() == (root / "hub" / "a%20b.bb").read_bytes()
    assert read_states(path, {"chr1": 600}, bin_bp=200).codes["chr1"].tolist() == [0, 0, 255]
    assert fetch(track.url, tmp_path / "cache") == path  # not again
    assert asked["/hub/a%20b.bb"] == 3


def test_a_server_that_never_works_leaves_nothing(server, tmp_path):
    address, root, plan, _ = server
    (root / "a.bb").write_bytes(b"x" * 1000)
    plan["/a.bb"] = [500, "half", 503]
    slept: list[float] = []
    with pytest.raises(
        InputError, match=r"a.bb: the server cannot be reached \(tried 3 times\). Found HTTP 503"
    ):
        fetch(f"{address}/a.bb", tmp_path / "cache", wait=0.5, sleep=slept.append)
    assert slept == [0.5, 1.0]
    assert list((tmp_path / "cache").iterdir()) == []
    plan["/a.bb"] = ["half"]
    with pytest.raises(
        InputError, match=r"\(tried 1 time\). Found the connection broke off after 500 "
    ):
        fetch(f"{address}/a.bb", tmp_path / "cache", tries=1)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_server_at_all(tmp_path):
    with pytest.raises(
        InputError, match=r"the server cannot be reached \(tried 2 times\). Found .*refused"
    ):
        fetch("http://127.0.0.1:9/a.bb", tmp_path, tries=2, wait=0.0)
    with pytest.raises(InputError, match=r"the server cannot be reached \(tried 2 times\)"):
        read_trackdb("http://127.0.0.1:9/trackDb.txt", tries=2, wait=0.0)


def test_a_file_that_is_not_there_is_said_at_once(server, tmp_path):
    address, _, _, asked = server
    with pytest.raises(InputError, match=r"the server does not give the file. Found HTTP 404"):
        fetch(f"{address}/none.bb", tmp_path / "cache")
    assert asked["/none.bb"] == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_local_paths_are_given_back_and_other_addresses_refused(tmp_path):
    (tmp_path / "a.bb").write_bytes(b"1")
    assert fetch(str(tmp_path / "a.bb"), tmp_path / "cache") == tmp_path / "a.bb"
    with pytest.raises(InputError, match=r"there is no such file"):
        fetch(str(tmp_path / "b.bb"), tmp_path / "cache")
    with pytest.raises(InputError, match=r"ftp://host/a.bb: the address cannot be fetched"):
        fetch("ftp://host/a.bb", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
