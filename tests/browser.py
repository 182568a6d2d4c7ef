"""A headless browser that shows pages of this package."""

import os
import re
import shutil
import subprocess

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

OWN_HOSTS = {"clients2.google.com", "update.googleapis.com", "accounts.google.com"}
"""Which Chromium asks for the time and for updates, whatever page it shows."""


def headless(profile):
    """What runs a headless browser on a file, and returns its standard output and error.

    Without a browser the test is skipped, or fails where NTK_THEORY_BROWSER=required.
    """
    if BROWSER is None:
        if os.environ.get("NTK_THEORY_BROWSER") == "required":
            pytest.fail("no Chromium or Chrome was found, and this run requires one")
        pytest.skip("no Chromium or Chrome on this machine")

    def run(file, *flags, fragment=""):
        command = [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-quic", f"--user-data-dir={profile}", "--enable-logging=stderr"),
            *flags,
            file.as_uri() + fragment,
        ]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", check=True, timeout=120
        )

    return run


def asked(browse, file, log):
    """Console output of a page, and the hosts that the browser asked while it showed it."""
    done = browse(file, "--dump-dom", f"--log-net-log={log}")
    hosts = re.findall(r'"url":"https?://(.*?)[/"]', log.read_text(encoding="utf-8"))
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], set(hosts) - OWN_HOSTS
