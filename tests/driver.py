"""For tests: a JupyterLab of its own, and chromium to drive it."""

import importlib.util
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posebook.cli.student import PROMPT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
FOLDERS = (
    "JUPYTER_CONFIG_DIR JUPYTER_DATA_DIR JUPYTER_RUNTIME_DIR IPYTHONDIR "
    "JUPYTERLAB_SETTINGS_DIR JUPYTERLAB_WORKSPACES_DIR"
)
SETTINGS = {
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


@contextmanager
def chromium() -> Iterator:
    """A browser; the test is skipped where something is missing, but not in continuous integration."""
    missing = [name for name in ("playwright", "axe_playwright_python") if importlib.util.find_spec(name) is None]
    missing += [] if CHROMIUM else ["chromium"]
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("not installed: " + ", ".join(missing))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        try:
            yield browser
        finally:
            browser.close()


class Lab:
    """A JupyterLab started in a folder, with settings and log in another; ends with the ``with`` block."""

    def __init__(self, root: Path, browser, served: Path):
        self.root, self.browser, self.token, self.served = root, browser, secrets.token_hex(16), served
        env = dict(os.environ)
        for name in FOLDERS.split():
            env[name] = str(root / name.lower())
        for name, values in SETTINGS.items():
            path = Path(env["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        options = [
            "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.url.split(':')[-1]}",
            "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True", PROMPT,
        ]  # fmt: skip
        with open(root / "log.txt", "w") as log:
            command = [sys.executable, "-m", "jupyterlab", *options]
            self.server = subprocess.Popen(command, cwd=served, env=env, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self) -> "Lab":
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log(self) -> str:
        return (self.root / "log.txt").read_text()

    def wait(self, seconds: float = 600) -> None:
        """Until the server answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                return urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=seconds).close()
            except OSError:
                if self.server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"JupyterLab did not start:\n{self.log()}") from None
                time.sleep(0.1)

    def stop(self) -> None:
        self.server.terminate()  # it ends its kernels
        try:
            self.server.wait(120)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()

    def open(self, path: str = ""):
        """JupyterLab's page, loaded; ``page.asked`` (addresses), ``page.hosts`` and ``page.complaints`` keep growing.
        """
        page = self.browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(600_000)
        page.asked, page.hosts, page.complaints = [], set(), []
        page.on("request", lambda r: page.asked.append(r.url))
        page.on("request", lambda r: page.hosts.update(re.findall(r"^(?:https?|wss?)://([^/:]+)", r.url)))
        page.on("websocket", lambda w: page.hosts.update(re.findall(r"^wss?://([^/:]+)", w.url)))
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.goto(f"{self.url}/lab/workspaces/ci{path}?reset&token={self.token}")
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        return page
