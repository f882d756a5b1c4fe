"""A headless Chromium of Debian's package, driven over a pipe: no driver, no port, no package.

It speaks the DevTools protocol: JSON, each message ended by a zero byte, in on descriptor 3, out
on 4. Asks of the network are counted by the browser itself.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program():
    """Where a Chromium is, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Tab:
    """One page."""

    def __init__(self, write, read):
        self._write, self._read, self._number, self._rest = write, read, 0, b""
        self.session, self.asked, self.said = None, [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for answer in self._messages(end):
                if answer.get("id") == self._number:
                    assert "error" not in answer, answer["error"]
                    return answer["result"]
        raise TimeoutError(method)

    def _messages(self, end):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            self._rest += os.read(self._read, 1 << 20)
        *whole, self._rest = self._rest.split(b"\0")
        for text in whole:
            message = json.loads(text)
            if message.get("method") == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith(("data:", "blob:")):  # in the page itself
                    self.asked.append(url)
            if message.get("method") == "Runtime.exceptionThrown":
                self.said.append(str(message["params"]["exceptionDetails"].get("text")))
            if message.get("method") == "Log.entryAdded":
                self.said.append(message["params"]["entry"]["text"])
            yield message

    def run(self, script):
        """The value of an expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, path):
        """Open a file and wait until its scripts are ready."""
        self.call("Page.navigate", url=f"file://{path}")
        self.until("(document.documentElement?.dataset.state ?? '').match(/ready|failed/)")
        assert self.run("document.documentElement.dataset.state") == "ready", self.said

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run(f"Boolean({condition})"):
                return
            time.sleep(0.05)
        raise TimeoutError(f"{condition}; said: {self.said}")

    def picture(self, path):
        """Keep what one sees."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def chromium(folder, size="1300,1200"):
    """A browser with a fresh profile in a folder; gone when one leaves."""
    # From, to: the browser's descriptors 3 and 4 are ours with the ends changed.
    its_in, write = os.pipe()
    read, its_out = os.pipe()
    options = (
        "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
        " --disable-background-networking --remote-debugging-pipe"
        f" --window-size={size} --user-data-dir={folder}"
    )
    shell = f'exec "$0" {options} 3<&{its_in} 4>&{its_out}'
    process = subprocess.Popen(
        ["bash", "-c", shell, program()],
        pass_fds=(its_in, its_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_in)
    os.close(its_out)
    try:
        yield Tab(write, read)
    finally:
        process.kill()
        process.wait()
        os.close(write)
        os.close(read)
