"""Downloads from a server that breaks off, is slow and lies: a file comes whole or not at all."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from epilm.errors import InputError
from epilm.fetching.download import TRIES, FetchError, Wanted, download

BODY = bytes(range(256)) * 40  # 10,240 bytes
SHA = hashlib.sha256(BODY).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Sends BODY as `plan` says, a word an answer; asked ranges are kept in `asked`."""

    protocol_version = "HTTP/1.1"
    plan: ClassVar[list] = []
    asked: ClassVar[list] = []

    def log_message(self, *words):
        pass

    def do_GET(self):
        how = self.plan.pop(0) if self.plan else "well"
        start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        self.asked.append((int(start), self.headers.get("If-Range")))
        begin = int(start) if how not in ("whole", "other version") else 0
        kind = "application/octet-stream"
        if how.isdigit():
            self.send_response(int(how))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if how == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://example.org/file")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = BODY[begin:]
        said = f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}"
        if how == "page":
            body, kind = b"<html>please log in</html>", "text/html; charset=utf-8"
        if how == "other bytes":
            body = bytes(len(body))
        if how == "wrong part":
            said = f"bytes {begin + 7}-{len(BODY) - 1}/{len(BODY)}"
        self.send_response(206 if begin or how == "wrong part" else 200)
        self.send_header("Content-Type", kind)
        self.send_header("ETag", '"other"' if how == "other version" else '"one"')
        if how != "no length":
            self.send_header("Content-Length", str(len(body)))
        if begin or how == "wrong part":
            self.send_header("Content-Range", said)
        if how in ("cut", "slow", "no length"):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if how == "cut":
            self.wfile.write(body[:4000])
            return
        if how == "nothing":
            self.close_connection = True
            return
        if how == "slow":
            self.wfile.write(body[:3000])
            self.wfile.flush()
            self.server.wake.wait(5)
            return
        self.wfile.write(body)


@pytest.fixture
def server():
    Server.plan[:], Server.asked[:] = [], []
    made = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    made.wake = threading.Event()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.wake.set()
    made.shutdown()
    made.server_close()
    thread.join()


def get(server, folder, *plan, timeout=5.0, **known):
    Server.plan[:] = plan
    said: list[str] = []
    address = f"http://127.0.0.1:{server.server_port}/file"
    wanted = Wanted("file.bin", address, **known)
    digest = download(wanted, folder, said.append, timeout=timeout, wait=lambda seconds: None)
    assert (folder / "file.bin").read_bytes() == BODY
    assert [path.name for path in folder.iterdir()] == ["file.bin"]
    assert digest == SHA
    return said


def test_a_file_comes_whole(server, tmp_path):
    assert get(server, tmp_path, size=len(BODY), sha256=SHA) == []
    assert Server.asked == [(0, None)]


def test_what_broke_off_is_gone_on_with(server, tmp_path):
    said = get(server, tmp_path, "cut", "cut", sha256=SHA)
    assert Server.asked == [(0, None), (4000, '"one"'), (8000, '"one"')]
    assert said[0] == "file.bin: it broke off at 4.0 kB of 10.2 kB; going on at 4.0 kB"


def test_a_server_that_stalls_is_asked_again(server, tmp_path):
    said = get(server, tmp_path, "slow", timeout=0.2)
    assert Server.asked[1][0] == 3000
    assert "timed out" in said[0]


@pytest.mark.parametrize("how", ["whole", "other version"])
def test_a_server_that_begins_again_is_believed_about_the_bytes_alone(server, tmp_path, how):
    said = get(server, tmp_path, "cut", how, sha256=SHA)
    assert said[1] == "file.bin: the server begins again"


def test_another_part_than_was_asked_for_starts_the_file_anew(server, tmp_path):
    said = get(server, tmp_path, "cut", "wrong part", sha256=SHA)
    assert "it sent another part than was asked for; starting anew" in said[1]
    assert [start for start, _ in Server.asked] == [0, 4000, 0]


def test_an_overloaded_server_is_asked_again_and_an_answer_without_a_length_is_read(
    server, tmp_path
):
    said = get(server, tmp_path, "503", "no length", sha256=SHA)
    assert said[0].startswith("file.bin: the server answered 503; going on at 0 bytes")


@pytest.mark.parametrize(
    ("plan", "known", "message"),
    [
        (["other bytes"], {"sha256": SHA}, "is another one than it should be .SHA-256.*thrown"),
        (["well"], {"size": 10_000}, "has another size than it should; it was thrown away"),
        (["well"], {"size": 99_999}, "has another size than it should. it was.*expected 99,999"),
        (["page"], {}, "a web page came in place of the file. Found text/html"),
        (["404"], {}, "the server refuses it. Found 404. It may have moved, or want a login"),
        (["elsewhere"], {}, "http://example.org/file: the address is not HTTPS"),
        (["nothing"] * 9, {}, f"could not be had after {TRIES} tries without a new byte"),
    ],
)
def test_what_is_no_such_file_leaves_nothing(server, tmp_path, plan, known, message):
    with pytest.raises((FetchError, InputError), match=message):
        get(server, tmp_path, *plan, **known)
    assert not (tmp_path / "file.bin").exists()
    assert not any(path.stat().st_size for path in tmp_path.glob("*.part"))


def test_what_came_before_the_server_went_is_kept_for_the_next_call(server, tmp_path):
    with pytest.raises(FetchError, match=r"4.0 kB of it are kept: the same command goes on"):
        get(server, tmp_path, "cut", *["nothing"] * TRIES, sha256=SHA)
    assert (tmp_path / "file.bin.part").stat().st_size == 4000
    get(server, tmp_path, sha256=SHA)
    assert Server.asked[-1] == (4000, '"one"')


def test_what_was_kept_of_another_address_is_not_gone_on_with(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"other")
    (tmp_path / "file.bin.part.json").write_text('{"address": "https://x", "version": "1"}')
    get(server, tmp_path, sha256=SHA)
    assert Server.asked == [(0, None)]


def test_plain_http_is_refused_before_anything_is_asked(tmp_path):
    with pytest.raises(InputError, match="the address is not HTTPS"):
        download(Wanted("f", "http://example.org/f"), tmp_path, print)
    assert list(tmp_path.iterdir()) == []
