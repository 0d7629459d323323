"""Open the explorer in a headless Chromium, move its sliders, and see what comes of it and when.

    python tests/explorer_moves.py --picture docs/figures/explorer.png --table docs/explorer_moves.md

prints milliseconds from a move to the new picture, and keeps pictures of the page at 390 and 1200 pixels.
"""

import argparse
import contextlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from browser import CHROMIUM, MISSING, launched

ROOT = Path(__file__).parents[1]
APP = ROOT / "sde_sgd" / "explorer" / "_app.py"
# which sliders are moved, counted from the first: η, tilt and momentum of wells; η and momentum of digits
PLACES = {"wells": (1, 0, 4), "digits": (0, 2)}
KINDS = {"wells": "WellNumbers", "digits": "DigitsNumbers"}
WIDTHS = (390, 1200)
SOURCE = 'document.querySelector(\'img[alt^="WellNumbers"], img[alt^="DigitsNumbers"]\')?.src'
# from the press of a key to the frame in which the new picture stands, in the page's own clock
WATCH = """() => {
  window.pressed = null; window.waits = [];
  const seen = () => document.querySelector('img[alt^="WellNumbers"], img[alt^="DigitsNumbers"]');
  let last = seen() ? seen().src : null;
  window.addEventListener('keydown', () => { window.pressed = performance.now(); }, true);
  new MutationObserver(() => {
    const now = seen();
    if (!now || now.src === last) return;
    last = now.src;
    now.decode().then(() => requestAnimationFrame(() => {
      if (window.pressed === null) return;
      window.waits.push(performance.now() - window.pressed);
      window.pressed = null;
    }));
  }).observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
}"""


@dataclass
class Seen:
    """What was seen.

    Attributes:
        waits: milliseconds from a move to the new picture, by tab.
        errors: of the page.
        beyond: by how many pixels it is wider than the window, by tab and width.
    """

    waits: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    beyond: dict[tuple[str, int], int] = field(default_factory=dict)


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The address of the explorer, as `python -m sde_sgd explore` serves it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = f"from sde_sgd import explorer; explorer.start(port={port}, headless=True)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MARIMO_SKIP_UPDATE_CHECK": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
                break
            time.sleep(0.1)
        yield address
    finally:
        # it and the server that it has started
        os.killpg(server.pid, 15)
        server.wait(20)


def look(moves: int, folder: Path) -> Seen:
    """Move sliders in both tabs, and keep pictures of the page in both widths."""
    from playwright.sync_api import sync_playwright

    seen = Seen()
    with served() as address, sync_playwright() as player:
        browser = launched(player)
        page = browser.new_page(viewport={"width": WIDTHS[-1], "height": 1000}, device_scale_factor=1.5)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.goto(address)
        for tab, count in (("wells", moves - moves // 5), ("digits", moves // 5)):
            page.get_by_role("radio", name=tab).click()
            page.wait_for_selector(f'img[alt^="{KINDS[tab]}"]', timeout=120_000)
            _move(page, tab, 3)  # the first moves may compile what no picture before them needed
            page.evaluate(WATCH)
            _move(page, tab, count)
            seen.waits[tab] = page.evaluate("window.waits")
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 1000})
                page.wait_for_timeout(400)
                wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                seen.beyond[tab, width] = max(0, wide, _beyond(page))
                page.screenshot(path=folder / f"{tab}_{width}.png", full_page=True)
        _portrait(page, address, folder / "explorer.png")
        browser.close()
    return seen


def _portrait(page: Any, address: str, path: Path) -> None:
    """The wells as they begin, tilted a little."""
    page.set_viewport_size({"width": WIDTHS[-1], "height": 1000})
    page.goto(address)
    page.wait_for_selector(f'img[alt^="{KINDS["wells"]}"]', timeout=60_000)
    before = page.evaluate(SOURCE)
    page.get_by_role("slider").nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"before => {SOURCE} !== before", arg=before, timeout=60_000)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(500)
    page.locator("#explorer").screenshot(path=path)


def _beyond(page: Any) -> int:
    """How far an element of the page stands out to the right."""
    parts = "img, table, p, marimo-slider, marimo-dropdown"
    found: int = page.evaluate(
        "parts => Math.ceil(Math.max(...[...document.querySelectorAll(parts)]"
        ".map(one => one.getBoundingClientRect().right)) - window.innerWidth)",
        parts,
    )
    return found


def _move(page: Any, tab: str, count: int) -> None:
    """One key at a time, forth and back, and after each the picture that comes of it."""
    sliders = [page.get_by_role("slider").nth(place) for place in PLACES[tab]]
    for number in range(count):
        slider = sliders[number % len(sliders)]
        before = page.evaluate(SOURCE)
        slider.focus()
        # three to the right, then three to the left, for each of the sliders
        page.keyboard.press("ArrowRight" if (number // len(sliders)) % 6 < 3 else "ArrowLeft")
        page.wait_for_function(f"before => {SOURCE} !== before", arg=before, timeout=60_000)
        page.wait_for_timeout(60)


def report(seen: Seen) -> str:
    """The table of the docs."""
    lines = ["| tab | moves | median, ms | worst, ms |", "|---|---|---|---|"]
    for tab, waits in seen.waits.items():
        lines.append(f"| {tab} | {len(waits)} | {np.median(waits):.0f} | {max(waits):.0f} |")
    every = [wait for waits in seen.waits.values() for wait in waits]
    lines.append(f"| both | {len(every)} | {np.median(every):.0f} | {max(every):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Look, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=50)
    parser.add_argument(
        "--folder", type=Path, default=Path("figures/explorer"), help="of pictures of the page"
    )
    parser.add_argument("--picture", type=Path, help="where the picture of the docs goes")
    parser.add_argument("--table", type=Path, help="where their table goes")
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit(MISSING)
    options.folder.mkdir(parents=True, exist_ok=True)
    seen = look(options.moves, options.folder)
    print(report(seen))  # noqa: T201
    print("errors:", seen.errors or "none", "pixels too wide:", seen.beyond)  # noqa: T201
    if options.picture:
        shutil.copy(options.folder / "explorer.png", options.picture)
    if options.table:
        options.table.write_text(TEXT.format(table=report(seen), device=device()))


TEXT = """# Moves of the explorer

From the press of a key on a slider to the frame in which the new picture stands, in headless Chromium, server
and browser on one machine ({device}), with nothing else running.
Sliders of η, tilt and momentum; a new B, number of chains, sampling, noise law or well is compiled once,
which takes seconds.

{table}

Written by `python tests/explorer_moves.py --table docs/explorer_moves.md`.
"""


def device() -> str:
    """The processor and its cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
