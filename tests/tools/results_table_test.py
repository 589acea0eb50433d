#!/usr/bin/env python3
"""tools/results_table.py: the tables that it makes of experiments' results, and what it refuses.

    results_table_test.py SCRIPT
"""

import json
import pathlib
import subprocess
import sys
import tempfile

FAILURES = []
PAGE = "# Page\n\nbefore\n\n<!-- results: begin -->\nold\n<!-- results: end -->\n\nafter\n"
FIRST = {
    "experiment": "m10-pairs", "mirrors": "table 9", "question": "Which one?", "shows": "this", "cannot_show": "that", "version": "0.2.0",
    "quick": False, "seeds": 2,
    "measures": [
        {"name": "slope", "values": [0.5, 0.75], "mean": 0.625, "interval": [-0.96328, 2.21328]},
        {"name": "slope a|b", "values": [None, 1.0], "mean": None, "interval": [None, None], "paper": 94.1},
        {"name": "null", "values": [-0.0001, 0.0], "mean": -0.00005, "interval": [-0.0007, 0.0006], "paper": 0.5}],
    "thresholds": [
        {"expected": "slope a|b at least 0.9", "outcome": "reached"},
        {"expected": "slope at least 0.1, at most 0.9", "outcome": "reached"},
        {"expected": "slope above null", "outcome": "missed"}],
}
ROWS = """\
| measure | seeds | mean | 95 % interval | paper | expected | outcome |
| --- | --- | --- | --- | --- | --- | --- |
| slope | 2 | 0.625 | -0.963 to 2.213 |  | at least 0.1, at most 0.9; above null | reached; missed |
| slope a\\|b | 1 of 2 | – | – | 94.1 | at least 0.9 | reached |
| null | 2 | 0.000 | -0.001 to 0.001 | 0.5 |  |  |
"""


def check(what, found, expected):
    if found != expected:
        FAILURES.append(f"{what}\n  found    {found!r}\n  expected {expected!r}")


def main():
    script = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        page, out = folder / "page.md", folder / "out"

        def run(*options):
            return subprocess.run([sys.executable, script, str(out), *options, "--page", str(page)], capture_output=True, text=True, check=False)

        def write(results):
            out.mkdir(exist_ok=True)
            for old in out.iterdir():
                old.unlink()
            for path, result in results.items():
                (out / path).write_text(result if isinstance(result, str) else json.dumps(result), encoding="utf-8")

        def refused(what, message):
            before = page.read_text(encoding="utf-8")
            result = run()
            check(f"{what}: exit", result.returncode, 2)
            check(f"{what}: message in {result.stderr!r}", message in result.stderr, True)
            check(f"{what}: page", page.read_text(encoding="utf-8"), before)

        page.write_text(PAGE, encoding="utf-8")
        refused("no folder", "no such folder")
        second = dict(FIRST, experiment="m9-other", thresholds=[], measures=FIRST["measures"][:1])
        write({"m10-pairs.json": FIRST, "m9-other.json": second, "m1-quick.json": dict(FIRST, experiment="m1", quick=True),
               "manifest.json": {"files": {}}, "m10-pairs.txt": "no JSON"})
        check("check before", run("--check").returncode, 1)
        check("check writes nothing", page.read_text(encoding="utf-8"), PAGE)
        check("exit", run().returncode, 0)
        text = page.read_text(encoding="utf-8")
        check("the page around", (text.startswith(PAGE[:PAGE.index("old")]), text.endswith(PAGE[PAGE.index("old") + 4:])), (True, True))
        check("the old text is gone", "old" in text, False)
        check("rows", ROWS in text, True)
        check("natural order", 0 < text.index("### m9-other") < text.index("### m10-pairs"), True)
        check("question", "Which one? After table 9." in text, True)
        check("outcomes", "Expectations: 2 reached, 1 missed. Shows: this. Cannot show: that." in text, True)
        check("no expectation", "Expectations: none. Shows" in text, True)
        check("quick runs are named and not shown", ("(m1)" in text, "### m1\n" in text), (True, False))
        check("long lines", [line for line in text.split("\n") if len(line) > 140 and not line.startswith("|")], [])
        check("check after", run("--check").returncode, 0)
        check("again", (run().returncode, page.read_text(encoding="utf-8")), (0, text))

        # Results of another folder are added; the section of an experiment that it does not have stays.
        write({"m2-new.json": dict(second, experiment="m2-new")})
        check("added", run().returncode, 0)
        added = page.read_text(encoding="utf-8")
        check("all sections", [line for line in added.split("\n") if line.startswith("### ")], ["### m2-new", "### m9-other", "### m10-pairs"])
        check("kept rows", ROWS in added, True)
        other = folder / "other"
        other.mkdir()
        (other / "m2-new.json").write_text((out / "m2-new.json").read_text(encoding="utf-8"), encoding="utf-8")
        twice = run(str(other))
        check("one experiment twice", (twice.returncode, "a second result of m2-new" in twice.stderr), (2, True))

        write({"a.json": dict(FIRST, thresholds=[{"expected": "other at least 1", "outcome": "missed"}])})
        refused("foreign expectation", "no measure has the expectation 'other at least 1'")
        write({"a.json": {"experiment": "a", "measures": []}})
        refused("incomplete", "without mirrors")
        write({"a.json": "{"})
        refused("damaged", "no JSON")
        write({"a.json": dict(FIRST, quick=True)})
        refused("quick alone", "but those of --quick")
        write({"a.json": FIRST})
        page.write_text("no markers\n", encoding="utf-8")
        refused("no markers", "needs one line <!-- results: begin -->")
    for failure in FAILURES:
        print(failure)
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
