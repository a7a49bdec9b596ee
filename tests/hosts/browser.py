"""Headless Chromium, driven by its DevTools protocol over a pair of pipes."""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import attrs


@attrs.define
class Browser:
    """A running browser; each of its people has cookies of their own."""

    _sent: int
    _received: Any
    _numbers: Iterator[int] = attrs.field(factory=lambda: count(1))
    _seen: list[Mapping[str, Any]] = attrs.field(factory=list)

    def person(self, site: str) -> "Person":
        """Return a new person on a site."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        page = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        person = Person(self, site, attached["sessionId"])
        person.call("Page.enable")
        return person

    def call(self, method: str, *, session: str | None = None, **values: object) -> Any:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": values}
        if session is not None:
            message["sessionId"] = session
        os.write(self._sent, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self._seen.append(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait_for(self, event: str, session: str) -> None:
        """Wait for an event of a page that was not waited for before."""
        while True:
            for number, one in enumerate(self._seen):
                if (one.get("method"), one.get("sessionId")) == (event, session):
                    del self._seen[number]
                    return
            self._seen.append(self._next())

    def _next(self) -> Mapping[str, Any]:
        text = bytearray()
        while (byte := self._received.read(1)) != b"\0":
            if not byte:
                raise AssertionError("the browser ended")
            text += byte
        found: Mapping[str, Any] = json.loads(text)
        return found


@attrs.frozen
class Person:
    """Someone in front of a browser."""

    browser: Browser
    site: str
    session: str

    def call(self, method: str, **values: object) -> Any:
        """Call a method of the protocol on the person's page."""
        return self.browser.call(method, session=self.session, **values)

    def goes_to(self, path: str) -> None:
        """Open a page and wait until it is there."""
        self._forget()
        self.call("Page.navigate", url=f"{self.site}{path}")
        self.browser.wait_for("Page.loadEventFired", self.session)

    def clicks(self, selector: str) -> None:
        """Click on what leads to another page, and wait for that."""
        self._forget()
        self.sees(f"void document.querySelector({json.dumps(selector)}).click()")
        self.browser.wait_for("Page.loadEventFired", self.session)

    def types(self, selector: str, text: str) -> None:
        """Fill in a field."""
        where = f"document.querySelector({json.dumps(selector)})"
        self.sees(f"void ({where}.value = {json.dumps(text)})")

    def sees(self, expression: str) -> Any:
        """Return what an expression of JavaScript is on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def has_width(self, pixels: int) -> None:
        """Use a screen of that width."""
        height = 812 if pixels < 700 else 1_000
        values = {"width": pixels, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", **values, mobile=pixels < 700)

    def takes_picture(self, file: Path) -> None:
        """Store what is on the screen."""
        shot = self.call("Page.captureScreenshot", format="webp", quality=80)
        file.write_bytes(b64decode(shot["data"]))

    def _forget(self) -> None:
        seen = self.browser._seen
        seen[:] = [one for one in seen if one.get("sessionId") != self.session]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Run Chromium without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "tests/hosts/install.sh chromium installs it"
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += ["--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}"]
    options += ["--remote-debugging-pipe"]
    process = subprocess.Popen(
        # It reads from the descriptor 3 and writes to 4.
        ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", program, *options],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    with os.fdopen(ours_in, "rb") as received:
        try:
            yield Browser(ours_out, received)
        finally:
            process.terminate()
            process.wait(20)
            os.close(ours_out)
