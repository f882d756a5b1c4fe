"""Processes of one run notice at once that one of them is gone, and say which.

Each holds a line of its own to the first process. The system closes the line of a process that is
killed; of a machine that goes away it is given up after 25 seconds. The first process passes the
word on. A collective operation would wait for the lost one, for minutes or for ever: so a process
that does not come out of it by itself is ended by the thread that listens. What was saved is whole,
however it ends. Needs the standard library; the process group tells port and token.
"""

import os
import secrets
import selectors
import socket
import sys
import threading
import time

import torch

from epilm.errors import TrainingError
from epilm.training.ranks import Ranks

# Seconds: for a process to come out of its collective by itself, for another's word to arrive, and
# for all to meet at the start.
GRACE, WORD, MEETING = 10.0, 8.0, 120.0
_BYE = b"bye\n"


def lost_process(who: str) -> TrainingError:
    """Say that a process is lost, and what to do.

    Examples
    --------
    >>> print(lost_process("process 1 of 2 (node7, pid 4711)"))
    a process of the run is lost. Found process 1 of 2 (node7, pid 4711) gone without a word to the
        others. What it said last stands in its own output; killed without a word, its machine ran
        out of memory or went away. All checkpoints are whole: the same command goes on from the
        newest, also with fewer processes (of a pre-training: --set train.devices=N).
    """
    return TrainingError(
        "a process of the run is lost",
        found=f"{who} gone without a word to the others",
        do=(
            "What it said last stands in its own output; killed without a word, its machine ran out"
            " of memory or went away. All checkpoints are whole: the same command goes on from the"
            " newest, also with fewer processes (of a pre-training: --set train.devices=N)."
        ),
    )


class Lifeline:
    """The lines of one process; with one process there are none.

    Parameters
    ----------
    ranks : Ranks
    device : torch.device
        Of the process group's messages.
    """

    def __init__(self, ranks: Ranks, device: torch.device) -> None:
        self.ranks = ranks
        self.lost: str | None = None
        self._word = threading.Event()
        self._closed = threading.Event()
        self._lines: dict[socket.socket, str] = {}
        if ranks.world == 1:
            return
        if ranks.first:
            server = _listening()
            token = secrets.randbits(62)
            ranks.from_first(server.getsockname()[1], device)
            ranks.from_first(token, device)
            self._lines = _met(server, token, ranks.world)
        else:
            port, token = ranks.from_first(0, device), ranks.from_first(0, device)
            first = os.environ.get("MASTER_ADDR", "127.0.0.1")
            line = _reached(first, port)
            here = f"{token} {ranks.rank} {os.getpid()} {socket.gethostname()}\n"
            line.sendall(here.encode())
            self._lines = {line: f"process 0 of {ranks.world} ({first})"}
        ranks.wait()  # nobody trains before all are on the line
        threading.Thread(target=self._listen, daemon=True, name="lifeline").start()

    def _listen(self) -> None:
        """Until closed: note whose line breaks, and what the first process says."""
        with selectors.DefaultSelector() as selector:
            for line, other in list(self._lines.items()):
                line.setblocking(True)
                selector.register(line, selectors.EVENT_READ, data=(line, other))
            while selector.get_map() and not self._closed.is_set():
                for key, _ in selector.select(timeout=0.5):
                    line, other = key.data
                    said = _received(line)
                    if said != _BYE:
                        self._note(said.decode(errors="replace").strip() or other)
                    if not said or said == _BYE:
                        selector.unregister(line)

    def _note(self, who: str) -> None:
        if self._closed.is_set() or self.lost is not None:
            return
        self.lost = who
        # Before this process may know: it closes its lines then, and would be the one that is lost.
        if self.ranks.first:
            _tell(list(self._lines), f"{who}\n".encode())
        self._word.set()
        threading.Thread(target=self._end_unless_closed, daemon=True).start()

    def _end_unless_closed(self) -> None:
        """End this process where it hangs in a message to the lost one."""
        if self._closed.wait(GRACE):
            return
        assert self.lost is not None
        error = lost_process(self.lost)
        print(f"epilm: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)

    def explained(self, error: Exception) -> Exception:
        """Give the loss of a process as the reason of an error, where it is; else the error."""
        if self._lines and self._word.wait(WORD):
            assert self.lost is not None
            return lost_process(self.lost)
        return error

    def close(self, done: bool) -> None:
        """Let go of the lines; `done`: the others need not worry."""
        if done:
            _tell(list(self._lines), _BYE)
        self._closed.set()
        for line in self._lines:
            line.close()
        self._lines = {}


def _listening() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _met(server: socket.socket, token: int, world: int) -> dict[socket.socket, str]:
    """Wait for the line of each other process; who does not know the token is hung up on."""
    lines: dict[socket.socket, str] = {}
    until = time.monotonic() + MEETING
    with server:
        while len(lines) < world - 1:
            server.settimeout(max(until - time.monotonic(), 0.01))
            try:
                line, _ = server.accept()
            except TimeoutError:
                raise _apart(f"{len(lines) + 1} of {world} processes") from None
            line.settimeout(10)
            words = _received(line).decode(errors="replace").split()
            if len(words) != 4 or words[0] != str(token):
                line.close()
                continue
            _keep_alive(line)
            lines[line] = f"process {words[1]} of {world} ({words[3]}, pid {words[2]})"
    return lines


def _reached(host: str, port: int) -> socket.socket:
    try:
        line = socket.create_connection((host, port), timeout=MEETING)
    except OSError as error:
        raise _apart(f"{host}, port {port}: {error}") from None
    _keep_alive(line)
    return line


def _apart(seen: str) -> TrainingError:
    return TrainingError(
        "the processes of the run do not reach each other",
        found=seen,
        do="Let the machines of a job open any port of each other, and MASTER_ADDR be the first's.",
    )


def _keep_alive(line: socket.socket) -> None:
    """A machine that went away says nothing: ask it after ten seconds, give up after 25."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _received(line: socket.socket) -> bytes:
    """What was said; empty where the line is broken."""
    try:
        return line.recv(1024)
    except OSError:
        return b""


def _tell(lines: list[socket.socket], what: bytes) -> None:
    for line in lines:
        try:
            line.sendall(what)
        except OSError:
            continue  # gone itself
