"""How long the report's page takes to write and to open, and how large it is: 50 recipes x 6 targets x 5 devices.

The ledger is written by tests/synthetic_ledger.py. The page is written by the command, in a process of its own. It is interactive
when all plots and tables are drawn and the controls work; headless Chromium counts from the start of the navigation.

python benchmarks/page.py writes benchmarks/page.md; about a minute. It needs Debian's chromium: make lab-deps.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from edgekit.ledger import Ledger

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.synthetic_ledger import TARGETS, Spec, write  # noqa: E402

SPEC = Spec(
    recipes=50,
    targets=(*TARGETS, "coreml/-/fp16", "tflite/gpu/fp16"),
    devices=5,
    samples=200,
    interfered=0.03,
    failures=0.04,
    seed=7,
)
TIMES = 5
WINDOWS = {"1280 x 900": (1280, 900), "390 x 844": (390, 844)}


def written(url: str, file: Path) -> float:
    """Write the page and return the seconds that the command took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "edgekit", "report", "--ledger", url, "--html", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def interactive(browser: Browser, file: Path, size: tuple[int, int]) -> float:
    """Open the page offline in a fresh profile and return the seconds until it is interactive."""
    context = browser.new_context(offline=True, viewport={"width": size[0], "height": size[1]})
    tab = context.new_page()
    tab.goto(f"file://{file}")
    tab.wait_for_selector("html[data-ready]")
    milliseconds = float(tab.evaluate("document.documentElement.dataset.ready"))
    context.close()
    return milliseconds / 1000


def slider(browser: Browser, file: Path) -> float:
    """Return the seconds from a new budget to the redrawn plot, the median of 20."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.goto(f"file://{file}")
    tab.wait_for_selector("html[data-ready]")
    found = tab.evaluate(
        """async () => {
            const slider = document.getElementById("budget"), times = [];
            for (let place = 0; place < 1000; place += 50) {
                const started = performance.now();
                slider.value = place;
                slider.dispatchEvent(new Event("input"));
                await views.get("accuracy-plot").runAsync();
                times.push(performance.now() - started);
            }
            return times;
        }"""
    )
    context.close()
    return statistics.median(found) / 1000


def line(name: str, values: list[float], goal: str) -> str:
    return f"| {name} | {statistics.median(values):.2f} s | {max(values):.2f} s | {goal} |"


def main() -> None:
    program = shutil.which("chromium")
    if not program:
        sys.exit("chromium is not there: run `make lab-deps`.")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        url, file = f"sqlite:///{folder}/ledger.sqlite", Path(folder) / "page.html"
        with Ledger.open(url) as ledger:
            measured = len(write(ledger, SPEC).measured)
        seconds = [written(url, file) for _ in range(TIMES)]
        megabytes = file.stat().st_size / 1e6
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            opened = {name: [interactive(browser, file, size) for _ in range(TIMES)] for name, size in WINDOWS.items()}
            moved, version = slider(browser, file), browser.version
            browser.close()
    failed = SPEC.recipes * len(SPEC.targets) * SPEC.devices - measured
    each = f"{SPEC.sessions} sessions with {SPEC.samples} samples each"
    lines = [
        "# The report's page",
        "",
        f"50 recipes x 6 targets x 5 devices: {measured} measurements of {each}, {failed} failures.",
        f"Made by `python benchmarks/page.py` on {platform.machine()} with {os.cpu_count()} CPUs, headless Chromium {version}; "
        f"{TIMES} times each. Load average {load:.1f} at the start: other work slows the figures down.",
        "",
        "| what | median | worst | goal |",
        "| --- | --- | --- | --- |",
        line("write the page (`edgekit report --html`)", seconds, "10 s"),
        *(line(f"interactive, {name}", values, "2 s") for name, values in opened.items()),
        f"| redraw after a new budget | {moved:.3f} s | | |",
        "",
        f"Size: {megabytes:.2f} MB (goal: 3 MB), of which 0.90 MB are Vega, Vega-Lite and Vega-Embed.",
    ]
    (ROOT / "benchmarks" / "page.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
