"""One file from the network, whole or absent: resumed where it broke off, and checked.

What has come lies in NAME.part beside the target, with where it came from in NAME.part.json; the
name itself appears by one rename, after size and hash. HTTPS alone (and plain HTTP from this very
machine). What a server says of itself is not believed: bytes are counted, a range that is not the
one asked for starts the file anew, a web page in place of a file is refused. Standard library only.
"""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from epilm.atomic import cannot_write, size_of, write_json
from epilm.errors import EpilmError, InputError

TRIES = 5  # in a row without a new byte
TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 16
_SAID = 10.0  # seconds between lines of progress
_HERE = ("127.0.0.1", "localhost", "::1")

Say = Callable[[str], None]


class FetchError(EpilmError):
    """A file that could not be had, or is not what it should be."""


@dataclass(frozen=True)
class Wanted:
    """A file on the network.

    Attributes
    ----------
    name : str
        Of the file here.
    address : str
    size : int, optional
        Bytes, where published.
    sha256 : str, optional
        64 hexadecimal digits, where published.
    """

    name: str
    address: str
    size: int | None = None
    sha256: str | None = None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection, never to an address that is not asked by itself."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> Any:
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_address(address: str) -> None:
    """Refuse what is not HTTPS; plain HTTP is for this machine alone.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_address("https://example.org/a")
    >>> check_address("http://example.org/a")
    Traceback (most recent call last):
    epilm.errors.InputError: http://example.org/a: the address is not HTTPS. Fetch it by hand, where
    you trust the way it comes.
    """
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE):
        return
    raise InputError(
        "the address is not HTTPS",
        where=address,
        do="Fetch it by hand, where you trust the way it comes.",
    )


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def download(
    wanted: Wanted,
    folder: Path,
    say: Say,
    *,
    timeout: float = TIMEOUT,
    wait: Callable[[float], None] = time.sleep,
) -> str:
    """Get a file, or the rest of it.

    Parameters
    ----------
    wanted : Wanted
    folder : path
        Is there.
    say : callable
        Takes lines of progress.
    timeout : float
        Seconds without a byte after which it is asked again.
    wait : callable
        Waits so many seconds between tries.

    Returns
    -------
    str
        Its SHA-256.

    Raises
    ------
    InputError
        If the address is not HTTPS.
    FetchError
        If it cannot be had (what has come is kept), or is not what it should be (nothing is).
    """
    check_address(wanted.address)
    target, part = folder / wanted.name, folder / f"{wanted.name}.part"
    idle = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            total = _more(wanted, part, say, timeout)
            break
        except (OSError, http.client.HTTPException, _Cut) as error:
            if isinstance(error, OSError) and error.errno is not None and _of_disk(error):
                raise cannot_write(error, part) from None
            here = part.stat().st_size if part.is_file() else 0
            idle = 0 if here > before else idle + 1
            if idle >= TRIES:
                raise FetchError(
                    f"the file could not be had after {TRIES} tries without a new byte",
                    where=wanted.address,
                    found=_reason(error),
                    do=f"{size_of(here)} of it are kept: the same command goes on from there.",
                ) from None
            say(f"{wanted.name}: {_reason(error)}; going on at {size_of(here)}")
            wait(min(2.0**idle, 30.0))
    size, expected = part.stat().st_size, wanted.size if wanted.size is not None else total
    digest = digest_of(part)
    if expected is not None and size != expected:
        _forget(part)
        raise FetchError(
            "the file has another size than it should; it was thrown away",
            where=wanted.address,
            found=f"{size:,} bytes",
            expected=f"{expected:,}",
        )
    if wanted.sha256 is not None and digest != wanted.sha256:
        _forget(part)
        raise FetchError(
            "the file is another one than it should be (SHA-256); it was thrown away",
            where=wanted.address,
            found=digest,
            expected=wanted.sha256,
        )
    with open(part, "rb") as handle:
        os.fsync(handle.fileno())
    os.replace(part, target)
    _about(part).unlink(missing_ok=True)
    return digest


class _Cut(Exception):
    """An answer that ended before its end."""


def _more(wanted: Wanted, part: Path, say: Say, timeout: float) -> int | None:
    """Ask for what is missing and write it behind what is there; gives the whole size, if said."""
    there, about = (part.stat().st_size if part.is_file() else 0), _kept(part)
    if about.get("address") != wanted.address or not about.get("version"):
        there = 0  # of another file, or of one that cannot be told from another
    request = urllib.request.Request(wanted.address, headers={"User-Agent": "epilm"})
    if there:
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", about["version"])
    opener = urllib.request.build_opener(_Redirects)
    try:
        answer = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and there:  # nothing is missing, or it has become shorter
                total = _total(error.headers.get("Content-Range"))
                if total == there:
                    return total
                _forget(part)
                raise _Cut("it has changed there; starting anew") from None
            if error.code in (408, 429) or error.code >= 500:
                raise _Cut(f"the server answered {error.code}") from None
            cure = "It may have moved, or want a login." if error.code in (401, 403, 404) else None
            raise FetchError(
                "the server refuses it", where=wanted.address, found=error.code, do=cure
            ) from None
    with answer:
        kind = answer.headers.get_content_type()
        if kind == "text/html" and not wanted.name.endswith((".html", ".htm")):
            raise FetchError(
                "a web page came in place of the file",
                where=wanted.address,
                found=kind,
                do="It may have moved, or want a login: open the address in a browser.",
            )
        length = answer.headers.get("Content-Length")
        total = None if length is None else int(length)
        if answer.status == 206:
            begin = _begin(answer.headers.get("Content-Range"))
            if begin != there:
                _forget(part)
                raise _Cut("it sent another part than was asked for; starting anew")
            total = _total(answer.headers.get("Content-Range"))
        elif there:
            say(f"{wanted.name}: the server begins again")
            there = 0
        _room(wanted, part, wanted.size or total, there)
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if version.startswith("W/"):  # a weak one does not say that the bytes are the same
            version = answer.headers.get("Last-Modified") or ""
        write_json(_about(part), {"address": wanted.address, "version": version})
        with open(part, "r+b" if there else "wb") as out:
            out.seek(there)
            _copy(answer, out, wanted, there, wanted.size or total, say)
            here = out.tell()
        if total is not None and here < total:
            raise _Cut(f"it broke off at {size_of(here)} of {size_of(total)}")
        return total


def _copy(answer: Any, out: Any, wanted: Wanted, there: int, total: int | None, say: Say) -> None:
    began = said = time.monotonic()
    here = there
    of = "" if total is None else f" of {size_of(total)}"
    while block := answer.read1(_BLOCK):
        out.write(block)
        here += len(block)
        if wanted.size is not None and here > wanted.size:
            return  # more than it should be: refused by its size
        if (now := time.monotonic()) - said >= _SAID:
            said = now
            speed = size_of((here - there) / max(now - began, 1e-9))
            say(f"{wanted.name}: {size_of(here)}{of}, {speed}/s")


def _room(wanted: Wanted, part: Path, total: int | None, there: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - there > free:
        raise FetchError(
            "there is no room for the file",
            where=str(part.parent),
            found=f"{size_of(free)} free",
            expected=f"{size_of(total - there)} for {wanted.name}",
        )


def _about(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _kept(part: Path) -> dict[str, Any]:
    try:
        kept = json.loads(_about(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _forget(part: Path) -> None:
    for path in (part, _about(part)):
        with contextlib.suppress(OSError):
            path.unlink()


def _begin(text: str | None) -> int | None:
    """First byte of "bytes 5-9/10"."""
    first = (text or "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _total(text: str | None) -> int | None:
    """Whole size of "bytes 5-9/10" or "bytes */10"."""
    last = (text or "").rpartition("/")[2]
    return int(last) if last.isdigit() else None


def _of_disk(error: OSError) -> bool:
    """Whether an error is of writing here, not of the network."""
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None)
    return str(inner or error) or type(error).__name__
