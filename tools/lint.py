#!/usr/bin/env python3
"""Format and clang-tidy over the tree; prints what is wrong, exit 1 if anything is.

    lint.py                everything: format of all C++ files, clang-tidy of every unit of src/ and tests/
    lint.py --quick        format, and clang-tidy of the units of src/ that know no libtorch (what tools/test.sh runs)
    lint.py FILE…          clang-tidy of these units

.clang-format and .clang-tidy say what holds. Needs build/release, built (its compile commands and header lists); units
that were clean and have not changed since are not looked at again (build/lint).
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
CLEAN = ROOT / "build" / "lint"  # an empty file for each state of a unit that was clean
VERSION = "14"  # other versions format otherwise and know other checks


def output_of(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def badly_formatted():
    files = [str(path.relative_to(ROOT)) for folder in ("include", "src", "tests")
             for ending in ("*.h", "*.cpp", "*.cu", "*.cuh") for path in (ROOT / folder).rglob(ending)]
    report = subprocess.run([f"clang-format-{VERSION}", "--dry-run", *files], cwd=ROOT, capture_output=True, text=True)
    return sorted(set(re.findall(r"^(.*?):\d+:\d+: warning", report.stderr, re.MULTILINE)))


def headers_of_units():
    """{object file: files that it was compiled from}, as ninja noted them."""
    headers, current = {}, None
    for line in output_of("ninja", "-C", str(BUILD), "-t", "deps").split("\n"):
        if line.startswith("    "):
            current.append(line.strip())
        elif ": #deps" in line:
            current = headers.setdefault(line.split(": #deps")[0], [])
    return headers


class Linter:
    def __init__(self):
        self.headers = headers_of_units()
        self.units = {}
        for entry in json.loads((BUILD / "compile_commands.json").read_text()):
            path = Path(entry["file"])
            if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "build"):
                self.units[str(path.relative_to(ROOT))] = entry
        self.common = output_of(f"clang-tidy-{VERSION}", "--version") + (ROOT / ".clang-tidy").read_text()

    def quick_units(self):
        return [unit for unit, entry in self.units.items()
                if unit.startswith("src/") and "libtorch" not in entry["command"]]

    def state(self, unit):
        """A hash of all that the result for this unit comes from; system headers are left out."""
        entry = self.units[unit]
        digest = hashlib.sha256((self.common + entry["command"]).encode())
        object_file = re.search(r" -o (\S+)", entry["command"]).group(1)
        for name in sorted(set(self.headers.get(object_file, [])) | {str(ROOT / unit)}):
            path = BUILD / name  # an absolute name stays as it is
            if path.is_relative_to(ROOT):
                digest.update(name.encode() + path.read_bytes())
        return digest.hexdigest()

    def check(self, unit):
        mark = CLEAN / self.state(unit)
        if mark.exists():
            return ""
        report = subprocess.run([f"clang-tidy-{VERSION}", "--quiet", "-p", str(BUILD), str(ROOT / unit)],
                                cwd=ROOT, capture_output=True, text=True)
        if report.returncode == 0:
            mark.touch()
            return ""
        return report.stdout or report.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the units of src/ that know no libtorch")
    parser.add_argument("files", nargs="*", help="units; default all")
    arguments = parser.parse_args()
    for tool in (f"clang-format-{VERSION}", f"clang-tidy-{VERSION}", "ninja"):
        if not shutil.which(tool):
            sys.exit(f"lint: {tool} is not installed")
    CLEAN.mkdir(parents=True, exist_ok=True)
    failed = False
    if not arguments.files:
        for name in badly_formatted():
            failed = True
            print(f"{name}: not formatted; run clang-format-{VERSION} -i {name}")
    linter = Linter()
    units = arguments.files or (linter.quick_units() if arguments.quick else list(linter.units))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for report in pool.map(linter.check, units):
            if report:
                failed = True
                print(report, flush=True)
    print(f"lint: {len(units)} units, {'faults' if failed else 'no fault'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
