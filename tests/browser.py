"""The browser that tests open pages in: a Chromium of the machine, driven by playwright."""

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "there is no chromium on this machine: apt-get install chromium"
# without them it asks the network for things of its own
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launched(player):
    """A browser without a window; `player` is that of `sync_playwright`."""
    return player.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
