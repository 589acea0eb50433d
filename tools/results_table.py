#!/usr/bin/env python3
"""Puts the results of experiments into a page, as tables.

    results_table.py DIR… [--page FILE] [--check]

DIR is the --out of `steerlm experiment`: each DIR/NAME.json becomes a section, in the order of the names (m2 before m10). All figures stand
there, those too that met no expectation. Results of --quick are one seed after little training: they are left out, and said so.
What stands between the lines `<!-- results: begin -->` and `<!-- results: end -->` of the page (docs/papers.md) is replaced, but for the
sections of experiments that no DIR has. --check only compares, and exits 1 where the page says something else. Anything that is not as
expected exits 2.
"""

import argparse
import json
import re
import sys
import textwrap
from pathlib import Path

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
WIDTH = 140
KEYS = ("experiment", "mirrors", "question", "shows", "cannot_show", "version", "quick", "seeds", "measures", "thresholds")


class Fault(Exception):
    pass


def number(value):
    return "–" if value is None else f"{value:.3f}".replace("-0.000", "0.000")


def interval(low, high):
    return "–" if low is None or high is None else f"{number(low)} to {number(high)}"


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def prose(text):
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def expectations(result):
    """What is expected of each measure, and what came of it: the text of a threshold begins with the name of its measure."""
    of = {measure["name"]: [] for measure in result["measures"]}
    for threshold in result["thresholds"]:
        names = [name for name in of if threshold["expected"].startswith(name + " ")]
        if not names:
            raise Fault(f"{result['experiment']}: no measure has the expectation '{threshold['expected']}'")
        name = max(names, key=len)
        of[name].append((threshold["expected"][len(name) + 1:], threshold["outcome"]))
    return of


def section(result):
    of = expectations(result)
    rows = ["| measure | seeds | mean | 95 % interval | paper | expected | outcome |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for measure in result["measures"]:
        defined = sum(value is not None for value in measure["values"])
        cells = [measure["name"],
                 str(defined) if defined == result["seeds"] else f"{defined} of {result['seeds']}",
                 number(measure["mean"]),
                 interval(*measure["interval"]),
                 f"{measure['paper']:g}" if "paper" in measure else "",
                 "; ".join(expected for expected, _ in of[measure["name"]]),
                 "; ".join(outcome for _, outcome in of[measure["name"]])]
        rows.append("| " + " | ".join(map(cell, cells)) + " |")
    outcomes = [threshold["outcome"] for threshold in result["thresholds"]]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("reached", "missed", "open") if outcome in outcomes)
    return "\n\n".join([f"### {result['experiment']}",
                        prose(f"{result['question']} After {result['mirrors']}."),
                        "\n".join(rows),
                        prose(f"Expectations: {counts or 'none'}. Shows: {result['shows']}. Cannot show: {result['cannot_show']}.")])


def natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def read_results(folders):
    """The results of all DIRs, and the names of those of --quick."""
    results, quick, paths = {}, [], []
    for folder in folders:
        if not folder.is_dir():
            raise Fault(f"{folder}: no such folder")
        paths += sorted(folder.glob("*.json"))
    for path in paths:
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Fault(f"{path}: no JSON: {error}") from error
        if not isinstance(result, dict) or "experiment" not in result:
            continue  # the folder's own files
        missing = [key for key in KEYS if key not in result]
        if missing:
            raise Fault(f"{path}: no result of this version: without {', '.join(missing)}")
        if result["quick"]:
            quick.append(result["experiment"])
        elif result["experiment"] in results:
            raise Fault(f"{path}: a second result of {result['experiment']}")
        else:
            results[result["experiment"]] = result
    if not results:
        raise Fault(f"{' '.join(map(str, folders))}: no result of `steerlm experiment` but those of --quick")
    return [results[name] for name in sorted(results, key=natural)], sorted(quick, key=natural)


def sections_of(page):
    """The sections that stand there, by experiment."""
    parts = re.split(r"^### (.+)$", page, flags=re.MULTILINE)
    return {name: f"### {name}{text}".strip() for name, text in zip(parts[1::2], parts[2::2])}


def tables(folders, before):
    results, quick = read_results(folders)
    versions = sorted({result["version"] for result in results})
    intro = (f"Made by `tools/results_table.py` from what `steerlm experiment` of version {', '.join(versions)} wrote. The interval is Student's, "
             "over the seeds; the column paper has the paper's figure on its own scale, which is compared with nothing here; an expectation was "
             "written down before the runs, is of the mean or, with above, of the differences seed by seed, and its miss is a result.")
    if quick:
        intro += f" Quick runs are no results and stand nowhere here ({', '.join(quick)})."
    sections = sections_of(before) | {result["experiment"]: section(result) for result in results}
    return "\n\n".join([prose(intro)] + [sections[name] for name in sorted(sections, key=natural)])


def replaced(page, folders, name):
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise Fault(f"{name}: needs one line {BEGIN} and after it one line {END}")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:begin] + "\n" + tables(folders, page[begin:end]) + "\n" + page[end:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="+", help="--out of steerlm experiment")
    parser.add_argument("--page", type=Path, default=Path(__file__).resolve().parent.parent / "docs/papers.md", help="docs/papers.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page differs")
    arguments = parser.parse_args()
    try:
        if not arguments.page.is_file():
            raise Fault(f"{arguments.page}: no such page")
        page = arguments.page.read_text(encoding="utf-8")
        made = replaced(page, arguments.folders, arguments.page)
    except Fault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    named = " ".join(map(str, arguments.folders))
    if made == page:
        print(f"{arguments.page}: the tables are those of {named}")
        return 0
    if arguments.check:
        print(f"{arguments.page}: the tables are not those of {named}; run results_table.py {named}", file=sys.stderr)
        return 1
    arguments.page.write_text(made, encoding="utf-8")
    print(f"{arguments.page}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
