#!/usr/bin/env python3
"""Holds the pages and the comments to what is there.

    check_docs.py [ROOT]      prints FILE:LINE: what is wrong; exit 1 if anything is

A page or comment that names a page of docs/, a section of the contracts ("contracts.md section 5") or, in backquotes,
a path of the tree (`configs/toy/pipeline.yaml`) names one that exists; each section of the contracts is named by a test;
a line of prose in a page is at most 170 characters long.
"""

import re
import sys
from pathlib import Path

FOLDERS = ("src", "include", "tests", "tools", "cmake", "docs", "configs", "data")
ENDINGS = (".h", ".cpp", ".py", ".sh", ".md", ".yaml", ".cmake", ".txt")
NOT_HERE = ("data/toy", "data/dummy_conversation.json")  # made by the program; of another project
LONGEST = 170


def lines_of(path):
    return enumerate(path.read_text(encoding="utf-8").split("\n"), 1)


def check(root):
    faults = []
    sections = set(re.findall(r"^## (\d+)\.", (root / "docs/contracts.md").read_text(encoding="utf-8"), re.MULTILINE))
    cited = set()
    files = [*root.glob("*.md")]
    for folder in FOLDERS:
        files += [path for path in (root / folder).rglob("*")
                  if path.suffix in ENDINGS and path.is_file() and "fixtures" not in path.parts and "toy" not in path.parts[-2:-1]]
    for path in files:
        name = path.relative_to(root)
        if name == Path("tools/check_docs.py"):
            continue
        fenced = False
        for number, line in lines_of(path):
            def fault(what):
                faults.append(f"{name}:{number}: {what}")
            for page in re.findall(r"\bdocs/[\w-]+\.md\b", line):
                if not (root / page).exists():
                    fault(f"no page {page}")
            for numbers in re.findall(r"contracts\.md (?:section|sections) ((?:\d+(?:, | and )?)+)", line):
                for section in re.findall(r"\d+", numbers):
                    if section not in sections:
                        fault(f"contracts.md has no section {section}")
                    elif name.parts[0] == "tests":
                        cited.add(section)
            if path.suffix != ".md":
                continue
            if line.startswith("```"):
                fenced = not fenced
            if not fenced and not line.startswith("|") and len(line) > LONGEST:
                fault(f"longer than {LONGEST} characters")
            for text in re.findall(r"`([\w./-]+)`", line):
                first = text.split("/")[0]
                if "/" not in text or first not in FOLDERS or text.startswith(NOT_HERE):
                    continue
                if not (root / text).exists() and not (root / "src" / f"{text}.cpp").exists():
                    fault(f"no file {text}")
    for section in sorted(sections - cited):
        faults.append(f"docs/contracts.md: no test names section {section}")
    return faults


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent).resolve()
    faults = check(root)
    for fault in faults:
        print(fault)
    print(f"check_docs: {len(faults)} faults" if faults else "check_docs: no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
