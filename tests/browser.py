"""A headless Chromium that a test drives over a pipe: one process, many pages, every complaint recorded."""

from __future__ import annotations

import base64
import io
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
_PATIENCE = 40.0  # seconds for one answer


class Browser:
    """Talks the DevTools protocol; `complaints` holds console errors, exceptions and violated policies."""

    def __init__(self, write: int, read: int, folder: Path) -> None:
        self.write, self.read, self.folder = write, read, folder
        self.buffer = b""
        self.count = 0
        self.session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of one command; what happens meanwhile is noted."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.count:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self.read, 1 << 20)
            assert piece, "the browser has ended"
            self.buffer += piece
        text, _, self.buffer = self.buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """The inside of the window in CSS pixels; a phone has a touch screen and no mouse."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=2)

    def look(self, width: int, height: int) -> None:
        """Another size of the window, laid out; upright and narrow or low ones are phones."""
        self.size(width, height, phone=min(width, height) < 400)
        self.settle()

    def prefer(self, **features: str) -> None:
        """Media features such as `prefers_color_scheme="dark"`; without any, the usual ones."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=named)

    def open(self, text: str, fragment: str = "", ready: str = "[data-ready]") -> None:
        """Shows the page `text` from a file; returns once `ready` is there and painted."""
        self.call("Page.navigate", url="about:blank")
        self.complaints.clear()
        self.requests.clear()
        page = self.folder / "page.html"
        page.write_text(text, encoding="utf-8")
        self.call("Page.navigate", url=page.as_uri() + fragment)
        self.wait(f"!!document.querySelector({json.dumps(ready)})")

    def go(self, fragment: str) -> None:
        """Another address of the page that is open."""
        self.run(f"location.replace({json.dumps(fragment)})")
        self.settle()

    def wait(self, condition: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self.run(condition):
            assert time.monotonic() < deadline, f"{condition} never came true; {self.complaints}"
            time.sleep(0.05)
        self.settle()

    def settle(self) -> None:
        """Lets what was changed be laid out and painted."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => "
                 "requestAnimationFrame(done))))")  # fmt: skip

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the first such element, in CSS pixels."""
        place = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        left, top, right, bottom = self.run(f"(b => [b.left, b.top, b.right, b.bottom])({place})")
        return left, top, right, bottom

    def press(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {}))
        self.settle()

    def click(self, selector: str) -> None:
        """A mouse click in the middle of an element."""
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{ block: 'nearest' }})")
        left, top, right, bottom = self.box(selector)
        x, y = (left + right) / 2, (top + bottom) / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def swipe(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """One finger over the screen."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": start[0], "y": start[1]}])
        for share in (0.25, 0.5, 0.75, 1.0):
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            self.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def picture(self, save: Path | None = None) -> NDArray[np.float64]:
        """What the window shows: RGB in 0..1, `[height, width, 3]`."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if save is not None:
            save.write_bytes(data)
        return np.asarray(matplotlib.image.imread(io.BytesIO(data)), dtype=np.float64)[:, :, :3]


@contextmanager
def started(folder: Path) -> Iterator[Browser]:
    """A browser with a profile under `folder`; skips the test where the machine has none."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: the page was not looked at")
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    def connect() -> None:  # Chromium reads commands from 3 and answers on 4
        commands, answers = os.dup(to_read), os.dup(from_write)
        os.dup2(commands, 3)
        os.dup2(answers, 4)

    command = [program, f"--user-data-dir={folder / 'profile'}", *_FLAGS]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=connect
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield Browser(to_write, from_read, folder)
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(to_write)
        os.close(from_read)
