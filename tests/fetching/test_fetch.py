"""The papers' public inputs: what is shipped is sound, and a folder is filled file by file."""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from epilm.cli import main
from epilm.errors import InputError, UsageError
from epilm.fetching.download import FetchError, check_address
from epilm.fetching.fetch import PAPERS, fetch, read_inputs


@pytest.mark.parametrize("paper", PAPERS)
def test_what_is_shipped_is_sound(paper, capsys):
    entries = read_inputs(paper)
    assert len({entry.file for entry in entries if entry.file}) == sum(
        entry.file is not None for entry in entries
    )
    for entry in entries:
        assert entry.by_hand or entry.file
        if entry.address:
            check_address(entry.address)
            assert Path(entry.address).name.endswith(Path(str(entry.file)).name[-8:])
    assert main(["fetch", paper, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "wants a login: " in said
    assert said.count("address never tried by us") == sum(
        entry.address is not None and not entry.tried for entry in entries
    )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def remote(tmp_path):
    """A server's folder, and a file of inputs that lie there."""
    home = tmp_path / "remote"
    home.mkdir()
    (home / "a.bed").write_bytes(b"chr1\t1\t2\n")
    (home / "b.bin").write_bytes(b"motif")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(home)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    there = f"http://127.0.0.1:{server.server_port}"
    sha = hashlib.sha256(b"motif").hexdigest()
    inputs = [
        {"name": "peaks", "what": "peaks", "file": "a.bed", "address": f"{there}/a.bed"},
        {"name": "more", "what": "more", "file": "b.bin", "address": f"{there}/b.bin"}
        | {"size": 5, "sha256": sha, "tried": "today"},
        {"name": "people", "what": "genotypes", "login": "ask the authors"},
    ]
    (tmp_path / "mine.json").write_text(json.dumps({"inputs": inputs}))
    yield tmp_path
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_folder_is_filled_and_what_is_whole_is_left_alone(remote, capsys):
    words = ["fetch", str(remote / "mine.json"), "--out", str(remote / "in")]
    assert main(words) == 0
    said = capsys.readouterr()
    assert f"peaks\t{remote / 'in/a.bed'}" in said.out
    assert "/a.bed was never tried by us" in said.err
    assert "kept to tell a later change; none is published" in said.err
    assert "(as published)" in said.err
    assert "people: not fetched: wants a login: ask the authors" in said.err
    assert main(words) == 0
    assert capsys.readouterr().err.count("there already") == 2
    (remote / "in/a.bed").write_text("changed here")
    assert main(words) == 1
    assert "the file is there and is not what was fetched" in capsys.readouterr().err
    assert (remote / "in/a.bed").read_text() == "changed here"


def test_one_that_cannot_be_had_does_not_keep_the_others_away(remote):
    (remote / "remote/a.bed").unlink()
    said: list[str] = []
    with pytest.raises(FetchError, match="the server refuses it. Found 404"):
        fetch(remote / "mine.json", remote / "in", say=said.append)
    assert (remote / "in/b.bin").read_bytes() == b"motif"
    assert fetch(remote / "mine.json", remote / "in", only=["more"], say=said.append) == {
        "more": remote / "in/b.bin"
    }


def test_a_file_that_lay_there_before_is_not_taken_for_the_papers(remote):
    (remote / "in").mkdir()
    (remote / "in/a.bed").write_text("mine")
    with pytest.raises(InputError, match="the file is there, and from where is not known"):
        fetch(remote / "mine.json", remote / "in", only=["peaks"], say=print)


def test_wrong_words(tmp_path):
    with pytest.raises(UsageError, match="unknown inputs. Found genbert. Did you mean genebert"):
        fetch("genbert", tmp_path / "x")
    with pytest.raises(UsageError, match="--only: unknown input. Found hg18. Did you mean hg19"):
        fetch("ebert", tmp_path / "x", only=["hg18"])
    with pytest.raises(InputError, match="dream_labels: the input has to be got by hand.*Synapse"):
        fetch("ebert", tmp_path / "x", only=["dream_labels"])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"name": "a"}, "input 1: the key what is missing"),
        ({"name": "a", "what": "b", "sise": 3}, "unknown key. Found sise. Did you mean size"),
        ({"name": "a", "what": "b", "size": "3"}, "wrong type. Found size: '3'"),
        ({"name": "a", "what": "b", "file": "../x"}, "not the name of a file. Found ../x"),
    ],
)
def test_a_wrong_file_of_inputs_is_named(tmp_path, row, message):
    (tmp_path / "mine.json").write_text(json.dumps({"inputs": [row]}))
    with pytest.raises(InputError, match=message):
        read_inputs(tmp_path / "mine.json")
