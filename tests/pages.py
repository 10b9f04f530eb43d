"""Pages of docs/ that show a whole package: its files, its installation, its commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


class Page:
    """A page whose code blocks are files where a line before says ```NAME`:``, and whose last block is commands."""

    def __init__(self, name):
        text = (DOCS / name).read_text()
        self.files = dict(re.findall(r"^`([\w./-]+)`:.*?```\w+\n(.*?)```", text, flags=re.MULTILINE | re.DOTALL))
        self.commands = re.search(r"```sh\n(.*?)```", text, flags=re.DOTALL)[1].splitlines()

    def install(self, folder):
        """Write the files into a folder and install the package beside edgekit; return the environment that finds it."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            folder / "installed",
            folder,
        ]
        subprocess.run(list(map(str, command)), check=True)
        return {"PYTHONPATH": os.pathsep.join([str(folder / "installed"), os.environ.get("PYTHONPATH", "")])}
