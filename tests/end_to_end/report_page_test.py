#!/usr/bin/env python3
"""The page of `steerlm report` is well-formed, says what the files of the runs say, and shows texts as text.

    report_page_test.py PROGRAM FIXTURES

Trains, annotates and evaluates a small model, parses the page with Python's XML parser, and computes each figure again from metrics.jsonl,
evaluation.json, answers.jsonl and the annotated records.
"""

import json
import math
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

FAILURES = []
NAMES = ["quality", "humor", "length"]


def check(what, found, expected):
    if found != expected:
        FAILURES.append(f"{what}\n  found    {found!r}\n  expected {expected!r}")


def check_that(what, holds):
    check(what, bool(holds), True)


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def text_of(element):
    return "".join(element.itertext())


def shown(text):
    """What the page makes of a text, written from docs/contracts.md section 2."""
    made = ""
    for char in text:
        code = ord(char)
        if char in "\t\n":
            made += char
        elif code < 0x20 or code == 0x7F:
            made += chr(0x2421 if code == 0x7F else 0x2400 + code)
        elif 0x80 <= code < 0xA0 or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
            made += "\uFFFD"
        elif 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
            made += f"[U+{code:04X}]"
        else:
            made += char
    return made


class Runs:
    """A training, an annotation and an evaluation, in a folder of their own."""

    def __init__(self, program, fixtures, root):
        self.program, self.root = program, root
        settings = {"attributes": {"names": NAMES, "min": 1, "max": 5}, "template": {"system": "Be good."}}
        for fixture, name in (("untied", "model"), ("classifier", "predictor")):
            shutil.copytree(fixtures / "models" / fixture, root / name)
            (root / name / "steerlm.json").write_text(json.dumps(settings))
        records = []
        for i in range(12):
            label = f"quality:{1 + i % 5},humor:{1 + i % 3}" if i % 4 else None
            records.append({"conversations": [{"from": "User", "value": f"question {i}"},
                                              {"from": "Assistant", "value": "answer " * (1 + i % 3), "label": label}]})
        self.write("train.jsonl", records)
        labelled = [record for record in records if record["conversations"][1]["label"]]
        self.write("labelled.jsonl", labelled)
        self.write("prompts.jsonl", [{"prompt": "Say <b>&amp;</b> \"it\""}, {"prompt": "second"}, {"prompt": "third"}])
        data = {"train": [{"path": "labelled.jsonl"}], "validation": [{"path": "labelled.jsonl"}], "max_tokens": 256}
        self.recipe({"stage": "sft", "run_dir": "sft", "model": {"path": "model"}, "data": data, "attributes": settings["attributes"],
                     "optimizer": {"learning_rate": 1e-3}, "train": {"steps": 6, "batch_size": 4}, "evaluate": {"every_steps": 2}})
        self.recipe({"stage": "annotate", "run_dir": "annotate", "predictor": "predictor", "input": "train.jsonl", "output": "annotated.jsonl"})
        self.recipe({"stage": "evaluate", "run_dir": "evaluate", "model": {"path": "model"}, "predictor": "predictor",
                     "data": {"validation": [{"path": "labelled.jsonl"}], "max_tokens": 256},
                     "dials": {"prompts": [{"path": "prompts.jsonl"}], "attributes": ["humor", "length"], "judge": "predictor",
                               "perplexity_model": "model", "samples_per_prompt": 2, "sampling": {"temperature": 0.7, "top_k": 0, "max_new_tokens": 12}}})

        self.run("score", "--model", "predictor", "--input", "labelled.jsonl", "--output", "scores.jsonl")

    def write(self, name, objects):
        (self.root / name).write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")

    def recipe(self, recipe):
        name = recipe["run_dir"] + ".yaml"
        (self.root / name).write_text(json.dumps(recipe))
        self.run("run", name)

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], cwd=self.root, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def page(self, *runs):
        """The page as an XML tree; a page that is not well-formed ends the test."""
        text = self.run("report", *runs, "--out", "-").decode("utf-8")
        return ElementTree.fromstring(text), text


def check_form(tree, text):
    """What every page keeps to, whatever is in it."""
    check("language", tree.get("lang"), "en")
    tags = {element.tag for element in tree.iter()}
    check("no script, link, image or frame", tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}, set())
    for element in tree.iter():
        handlers = [name for name in element.attrib if name.startswith("on") or name in ("src", "srcdoc", "xlink:href")]
        check(f"no handler or source in {element.tag}", handlers, [])
        if element.tag == "a":
            check_that(f"link {element.get('href')} leads into the page", element.get("href").startswith("#"))
        if element.tag == "th":
            check_that("a header cell says what it heads", element.get("scope") in ("row", "col"))
        if element.tag == "table":
            check_that("a table has a caption", element.find("caption") is not None)
            widths = {len(row) for row in element.iter("tr")}
            check(f"rows of '{text_of(element.find('caption'))}' are equally long", len(widths), 1)
        if element.tag == "svg" and element.get("aria-hidden") is None:
            check("a plot is a picture with a name and a description",
                  (element.get("role"), bool(text_of(element.find("title"))), bool(text_of(element.find("desc")))), ("img", True, True))
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    check("ids are there once", len(ids), len(set(ids)))
    targets = {element.get("href")[1:] for element in tree.iter("a")}
    check("links lead somewhere", targets - set(ids), set())
    check("one h1", len(list(tree.iter("h1"))), 1)
    level = 0
    for element in tree.iter():
        if re.fullmatch("h[1-6]", element.tag):
            check_that(f"heading '{text_of(element)}' leaves no level out", int(element.tag[1]) <= level + 1)
            level = int(element.tag[1])
    check("nothing is fetched", re.findall(r"@import|url\(|https?://", text), [])


def tables(tree):
    return {text_of(table.find("caption")): [[text_of(cell) for cell in row] for row in table.iter("tr")] for table in tree.iter("table")}


def plot(tree, title):
    found = [svg for svg in tree.iter("svg") if svg.find("title") is not None and text_of(svg.find("title")) == title]
    check(f"plots named {title}", len(found), 1)
    return found[0]


def number(text):
    return float(text.replace(",", ""))


def scale(svg, anchor, coordinate):
    """The line through the ticks of an axis: (value at 0 pixels, value of a pixel)."""
    ticks = [(float(text.get(coordinate)), number(text.text)) for text in svg.iter("text")
             if text.get("text-anchor") == anchor and text.get("class") is None]
    if coordinate == "y":
        ticks = [(place - 4, value) for place, value in ticks]  # text stands below its line
    (a, low), (b, high) = ticks[0], ticks[-1]
    return low - a * (high - low) / (b - a), (high - low) / (b - a)


def points(svg):
    """The points of the series, in the numbers of the axes."""
    x0, dx = scale(svg, "middle", "x")
    y0, dy = scale(svg, "end", "y")
    path = next(path for path in svg.iter("path") if path.get("class") == "series")
    pairs = re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path.get("d"))
    return [(x0 + dx * float(x), y0 + dy * float(y)) for x, y in pairs], abs(dx), abs(dy)


def check_curve(tree, title, lines, key):
    expected = [(line["step"], line[key]) for line in lines if key in line]
    found, pixel_x, pixel_y = points(plot(tree, title))
    check(f"{title}: points", len(found), len(expected))
    for (x, y), (step, value) in zip(found, expected):
        check_that(f"{title}: step {step} is at {x}", abs(x - step) < 0.1 * pixel_x)
        check_that(f"{title}: {value} is drawn as {y}", abs(y - value) < 0.1 * pixel_y)


def check_training(tree, run):
    lines = read_lines(run / "metrics.jsonl")
    for title, key in (("Training loss", "train/loss"), ("Validation loss", "validation/loss"), ("Learning rate", "train/learning_rate"),
                       ("Speed", "train/tokens_per_second")):
        check_curve(tree, title, lines, key)
    row = next(row for row in tables(tree)["Runs"] if row[0] == "sft")
    last = [line for line in lines if "train/loss" in line][-1]
    validated = [line for line in lines if "validation/loss" in line][-1]
    check("summary", row[1:3] + row[4:8], ["sft", "finished", "6", f"{last['train/loss']:.4f}", f"{validated['validation/loss']:.4f}",
                                           f"{validated['validation/perplexity']:.3f}"])
    speeds = [line["train/tokens_per_second"] for line in lines if "train/tokens_per_second" in line]
    check("median speed", row[8], f"{math.floor(statistics.median(speeds) + 0.5):,}")


def fixed(value, decimals):
    text = f"{value:.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def check_dials(tree, run):
    evaluation = json.loads((run / "evaluation.json").read_text())
    answers = read_lines(run / "answers.jsonl")
    table = tables(tree)["Dials of evaluate"]
    check("dial table", table[0], ["dial", "measure", "at 1", "at 2", "at 3", "at 4", "at 5", "Spearman", "slope", "95 % of slope", "side effect"])
    for row in table[1:]:
        dial = evaluation["dials"][row[0]]
        check("a dial is drawn by its own attribute", row[1], row[0])
        for level in dial["levels"]:
            values = [a["scores"][row[0]] for a in answers if a["dial"] == row[0] and a["level"] == level["level"]]
            half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
            check(f"{row[0]} at {level['level']}", row[1 + level["level"]], f"{fixed(level[row[0]], 2)} ± {fixed(half, 2)}")
        low, high = dial["own_slope_interval"]
        share = fixed(100 * dial["side_share"], 0) + " %" if low > 0 or high < 0 else "–"
        check(f"{row[0]}: slope", row[7:], [fixed(dial["spearman"][row[0]], 3), fixed(dial["slope"][row[0]], 3),
                                            f"{fixed(low, 2)} to {fixed(high, 2)}", share])
        found, _, pixel = points(plot(tree, f"Dial {row[0]}"))
        for (x, y), level in zip(found, dial["levels"]):
            check_that(f"{row[0]}: {level[row[0]]} is drawn as {y}", abs(y - level[row[0]]) < 0.1 * pixel and abs(x - level["level"]) < 0.1)


def signed(value):
    return ("+" if value > 0 else "") + fixed(value, 2)


def check_steerability(tree, run):
    evaluation = json.loads((run / "evaluation.json").read_text())
    figures = evaluation["steerability"]
    matrix = tables(tree)["Effect of each dial on each measure, evaluate"]
    check("measures", matrix[0], ["dial", *NAMES, "characters", "words", "grade"])
    for row in matrix[1:]:
        for name, cell in zip(matrix[0][1:], row[1:]):
            known = figures["matrix"][row[0]][name]
            low, high = known["interval"]
            check_that(f"the effect of {row[0]} on {name} is its slope over four levels",
                       abs(known["effect"] - 4 * evaluation["dials"][row[0]]["slope"][name]) < 1e-9)
            check(f"effect of {row[0]} on {name}", cell, f"{signed(known['effect'])}{signed(low)} to {signed(high)}")
    check("framed cells", sum("own" in (cell.get("class") or "") for cell in tree.iter("td")), 2)
    shades = [cell.get("style") for cell in tree.iter("td") if cell.get("style") is not None]
    for spread, shade in zip([cell["effect_in_spreads"] for row in figures["matrix"].values() for cell in row.values()], shades, strict=True):
        parts = (11, 95, 165) if spread >= 0 else (217, 95, 2)
        colour = [math.floor(255.5 + 0.5 * min(1, abs(spread) / 3) * (part - 255)) for part in parts]
        check(f"shade of {spread} standard deviations", shade, f"background:rgb({colour[0]},{colour[1]},{colour[2]})")
    steering = tables(tree)["Steering errors of evaluate"]
    rows = {**{dial: figures["steering"]["dials"][dial] for dial in ("humor", "length")}, "all": figures["steering"]}
    for row, (dial, known) in zip(steering[1:], rows.items(), strict=True):
        cells = [f"{fixed(known[key]['median'], 3)} ({fixed(known[key]['lower_quartile'], 3)} to {fixed(known[key]['upper_quartile'], 3)})"
                 for key in ("error", "miscalibration", "side_effect")]
        check(f"steering errors of {dial}", row, [dial, str(known["requests"]), *cells])
    levels = tables(tree)["Answers of each level, evaluate"]
    check("levels", levels[0][2:], ["answers", "spread over prompts", "distinct-1", "distinct-2", "repeated", "nats a token", "perplexity"])
    known = [(dial, level) for dial, rows in figures["levels"].items() for level in rows]
    for row, (dial, level) in zip(levels[1:], known, strict=True):
        check(f"{dial} at {level['level']}", row,
              [dial, str(level["level"]), str(level["answers"]), fixed(level["spread"][dial], 2), fixed(level["distinct_1"], 3),
               fixed(level["distinct_2"], 3), fixed(100 * level["repeated"], 0) + " %", fixed(level["negative_log_likelihood"], 3),
               fixed(level["perplexity"], 2)])
    check_that("the model of the perplexity is named", any("under model, with the template plain" in text_of(p) for p in tree.iter("p")))


def check_predictor(tree, run):
    figures = json.loads((run / "evaluation.json").read_text())["predictor"]
    for row in tables(tree)["Predictors"][1:]:
        keys = ["mae", "mean_mae", "rmse", "mean_rmse", "pearson", "exact", "within_one", "kappa"]
        values = [*(figures[row[1]][key] for key in keys), figures[row[1]]["calibration"]["expected_error"]]
        check(f"predictor of {row[1]}", row[2:], ["evaluation", str(figures[row[1]]["count"])] +
              ["–" if value is None else fixed(value, 3) for value in values])


def check_reliability(tree, run):
    """The bins of `evaluate`, counted again from the scores that `score` gives the same records."""
    lines = read_lines(run.parent / "scores.jsonl")
    records = read_lines(run.parent / "labelled.jsonl")
    table, figures = iter(tables(tree)["Reliability"][1:]), json.loads((run / "evaluation.json").read_text())["predictor"]
    for name in ("quality", "humor"):
        bins = {}
        for line in lines:
            label = ratings(records[line["record"]]["conversations"][line["turn"]].get("label"))
            if name in label:
                bins.setdefault(round(line["scores"][name]), []).append((line["scores"][name], label[name]))
        n = sum(len(members) for members in bins.values())
        error = sum(abs(sum(s - g for s, g in members)) for members in bins.values()) / n
        check_that(f"calibration error of {name}", abs(figures[name]["calibration"]["expected_error"] - error) < 1e-6)
        found, _, pixel = points(plot(tree, f"Reliability of {name}"))
        for (x, y), (_, members) in zip(found, sorted(bins.items()), strict=True):
            score, label = statistics.mean(s for s, _ in members), statistics.mean(g for _, g in members)
            check_that(f"reliability of {name}: {score}, {label} is drawn at {x}, {y}", abs(x - score) < 0.1 and abs(y - label) < 0.1 * pixel + 1e-9)
            half = 1.96 * statistics.stdev(g for _, g in members) / math.sqrt(len(members)) if len(members) > 1 else None
            interval = "–" if half is None else f"{fixed(label - half, 2)} to {fixed(label + half, 2)}"
            check(f"reliability of {name}", next(table), ["evaluate", name, str(len(members)), fixed(score, 2), fixed(label, 2), interval])


def ratings(label):
    return {name: int(value) for name, value in (pair.split(":") for pair in (label or "").split(",") if pair)}


def check_annotated(tree, path):
    turns = [turn for record in read_lines(path) for turn in record["conversations"] if "scores" in turn]
    counts = tables(tree)["Label counts, annotate"]
    values = [int(text[3:]) for text in counts[0][4:]]
    for row in counts[1:]:
        labels = [ratings(turn.get("label" if row[1] == "annotation" else "gt_label")) for turn in turns]
        found = [label[row[0]] for label in labels if row[0] in label]
        check(f"labels of {row[0]}, {row[1]}", row[2:], [str(len(found)), fixed(statistics.mean(found), 2)] +
              [str(found.count(value)) for value in values])
    agreement = tables(tree)["Agreement on the annotated turns"]
    check("attributes with labels before", [row[1] for row in agreement[1:]], ["quality", "humor"])
    for row in agreement[1:]:
        pairs = [(turn["scores"][row[1]], ratings(turn.get("gt_label"))[row[1]]) for turn in turns if turn.get("gt_label")]
        n, mean = len(pairs), statistics.mean(given for _, given in pairs)
        bins = {}
        for score, given in pairs:
            bins.setdefault(round(score), []).append((score, given))
        error = sum(abs(sum(s - g for s, g in members)) for members in bins.values()) / n
        check(f"agreement of {row[1]}", row[2:], [str(n), fixed(statistics.mean(s for s, _ in pairs), 2), fixed(mean, 2),
                                                  fixed(sum(abs(s - g) for s, g in pairs) / n, 3),
                                                  fixed(sum(abs(g - mean) for _, g in pairs) / n, 3), fixed(error, 3)])
        found, _, pixel = points(plot(tree, f"Calibration of {row[1]}"))
        expected = [(statistics.mean(s for s, _ in members), statistics.mean(g for _, g in members)) for _, members in sorted(bins.items())]
        for (x, y), (score, given) in zip(found, expected, strict=True):
            check_that(f"calibration of {row[1]}: {score}, {given} is drawn at {x}, {y}", abs(x - score) < 0.1 and abs(y - given) < 0.1 * pixel + 1e-9)


def sample_cells(tree, dial):
    """{(row, level): the cell's sample text} of each table of texts of the dial, with the prompts above."""
    found = []
    for table in tree.iter("table"):
        if text_of(table.find("caption")) == f"Answers over the dial {dial}":
            found.append([["".join(cell.find("bdi").itertext()) if cell.find("bdi") is not None else text_of(cell) for cell in row]
                          for row in table.iter("tr")])
    return found


def check_answers(tree, run):
    answers = read_lines(run / "answers.jsonl")
    lengths = sorted(len(answer["response"]) for answer in answers)
    row = tables(tree)["Lengths in characters"][1]
    check("lengths", row, ["evaluate", str(len(answers)), "0", fixed(statistics.mean(lengths), 1), fixed(statistics.median(lengths), 1),
                           str(lengths[-1])])
    found, _, _ = points(plot(tree, "Length of the answers"))
    bins = [(a[0], b[0], a[1]) for a, b in zip(found[1:-1:2], found[2:-1:2])]
    check_that("the bins hold all answers", abs(sum(share for _, _, share in bins) - 100) < 1)
    for i, (low, high, share) in enumerate(bins):
        members = [length for length in lengths if round(low) <= length and (length < round(high) or i == len(bins) - 1)]
        check_that(f"{len(members)} answers of {low:.2f} to {high:.2f} characters are {share} %", abs(share - 100 * len(members) / len(lengths)) < 0.5)
    for dial in ("humor", "length"):
        grids = sample_cells(tree, dial)
        check(f"prompts shown of {dial}", len(grids), 2)
        for grid, prompt in zip(grids, ("Say <b>&amp;</b> \"it\"", "second")):
            expected = [next(a["response"] for a in answers if (a["dial"], a["level"], a["prompt"], a["sample"]) == (dial, level, prompt, 0))
                        for level in range(1, 6)]
            check(f"texts of {dial}", grid[1][1:], [shown(text) for text in expected])
    check_that("prompts are text", any("Say <b>&amp;</b> \"it\"" in text_of(p) for p in tree.iter("p")))


def check_hostile(runs):
    """Texts that would be markup, end the page or turn it around."""
    hostile = ["<script>alert(1)</script>", "</td></table><h1>'\"", "]]> --> <![CDATA[ &lt; &#60; <!--", "\u202Eevil\u202C \u2066x\u2069\u200F",
               "\x00\x07\x1B[31m\r\n\x7F\x85\uFFFE\uFFFF\uFDD0", "a" * 599 + "日本", ""]
    shutil.copytree(runs.root / "evaluate", runs.root / "hostile")
    path = runs.root / "hostile" / "answers.jsonl"
    answers = read_lines(path)
    for i, text in enumerate(hostile[:5]):
        for answer in answers:
            if answer["dial"] == "humor" and answer["level"] == i + 1 and answer["prompt"] == "second":
                answer["response"] = text
            if answer["dial"] == "length" and answer["level"] == i + 1 and answer["prompt"] == "second":
                answer["response"] = hostile[5 + i % 2]
    lines = [json.dumps(answer).encode() for answer in answers]
    lines.append(lines[-1].replace(b'"response":', b'"response": "\xFF\xFE", "old":'))  # no UTF-8
    path.write_bytes(b"\n".join(lines) + b"\n")
    recipe = runs.root / "hostile" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "# <script>\u202E]]></pre>\n", encoding="utf-8")
    tree, text = runs.page("hostile")
    check_form(tree, text)
    check("hostile texts", sample_cells(tree, "humor")[1][1][1:], [shown(each) for each in hostile[:5]])
    cut = sample_cells(tree, "length")[1][1]
    check("a long text is cut between characters, an empty one is empty", cut[1:3], ["a" * 599 + "日", ""])
    check_that("the cut is said", "… cut after 600 of 601 characters" in text)
    check_that("an empty answer is said", "(an empty answer)" in text)
    check_that("the recipe is text", "# <script>[U+202E]]]></pre>" in text_of(next(tree.iter("pre"))))
    check_that("a damaged line is said", f"1 damaged lines are left out, the first is line {len(lines)}" in text)


def check_damaged(runs):
    """What is missing or damaged is said, and the rest is shown."""
    for name in ("sft", "evaluate", "annotate"):
        shutil.copytree(runs.root / name, runs.root / ("bad-" + name))
    bad = runs.root / "bad-sft"
    whole = (bad / "metrics.jsonl").read_text()
    (bad / "metrics.jsonl").write_text("[1]\n" + whole.replace('"train/loss":', '"train/lost":', 1) + '{"step":7,"time"')
    (bad / "done.json").unlink()
    (bad / "environment.json").write_text("[1]")
    (runs.root / "bad-evaluate" / "evaluation.json").write_text("{\"predictor\": {\"quality\": 3}, \"dials\": {\"humor\": []}}")
    (runs.root / "bad-evaluate" / "recipe.yaml").unlink()
    (runs.root / "bad-evaluate" / "answers.jsonl").unlink()
    (runs.root / "bad-annotate" / "recipe.yaml").write_text("stage: annotate\nrun_dir: r\noutput: elsewhere/none.jsonl\npredictor: p\ninput: i\n")
    tree, text = runs.page("bad-sft", "bad-evaluate", "bad-annotate")
    check_form(tree, text)
    rows = {row[0]: row for row in tables(tree)["Runs"]}
    check("state", rows["bad-sft"][2], "not finished, parts are missing here")
    check("steps that are left", len(points(plot(tree, "Training loss"))[0]), 5)
    for said in ("2 damaged lines are left out, the first is line 1<", "holds no JSON object", "bad-evaluate/recipe.yaml", "elsewhere/none.jsonl: the output of the annotation",
                 "answers.jsonl is missing or damaged"):
        check_that(f"the page says: {said}", said in text)


def check_large(runs):
    """A long run makes no long page: the line is thinned and keeps its extremes."""
    shutil.copytree(runs.root / "sft", runs.root / "large")
    lines = [{"step": step, "time": step, "train/loss": 100.0 if step == 31_415 else 2 + math.sin(step)} for step in range(1, 50_001)]
    (runs.root / "large" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tree, text = runs.page("large")
    check_form(tree, text)
    check_that(f"a page of {len(text)} bytes is small", len(text) < 100_000)
    found, pixel, _ = points(plot(tree, "Training loss"))
    highest = max(found, key=lambda point: point[1])
    check_that(f"the highest point is kept at {highest}", abs(highest[0] - 31_415) < pixel and abs(highest[1] - 100) < 0.5)


def check_earlier(runs):
    """An evaluation of before these figures is shown without them, and that is said."""
    shutil.copytree(runs.root / "evaluate", runs.root / "earlier")
    path = runs.root / "earlier" / "evaluation.json"
    evaluation = json.loads(path.read_text())
    del evaluation["steerability"]
    for figures in evaluation["predictor"].values():
        del figures["calibration"]
    path.write_text(json.dumps(evaluation))
    tree, text = runs.page("earlier")
    check_that("dials are shown", "Dials of earlier" in tables(tree))
    check("what is said to be missing", re.findall("evaluation.json has no (.*?):", text)[:2], ["steerability matrix", "reliability curve"])


def check_experiments(runs):
    """Tables of `steerlm experiment`, with a paper's figures in their own column, and texts as texts."""
    hostile = "<script>alert('&')</script>"
    step = {"name": "measure", "stage": "evaluate", "predictor": "predictor", "data": {"validation": [{"path": "labelled.jsonl"}]}}
    (runs.root / "pipeline.yaml").write_text(json.dumps({"stage": "pipeline", "run_dir": "unused", "steps": [step]}))
    measures = [{"name": "MAE of quality", "step": "measure", "at": "/predictor/quality/mae", "paper": 0.75},
                {"name": hostile, "step": "measure", "at": "/predictor/humor/mae"}]
    thresholds = [{"measure": "MAE of quality", "at_least": 1000}, {"measure": hostile, "at_least": 0}]
    (runs.root / "table.yaml").write_text(json.dumps(
        {"mirrors": "table 9", "question": "Is " + hostile + " text?", "shows": "that it is", "cannot_show": "more", "pipeline": "pipeline.yaml",
         "seeds": 2, "measures": measures, "thresholds": thresholds}))
    runs.run("experiment", "table.yaml", "--out", "experiments")
    (runs.root / "experiments" / "notes.json").write_text("{}")  # somebody else's
    result = json.loads((runs.root / "experiments" / "table.json").read_text())
    tree, text = runs.page("experiments")
    check_form(tree, text)
    expected = [["figure", "seed 1", "seed 2", "mean", "95 % interval", "paper"]]
    for row, paper in zip(result["measures"], ("0.75", "")):
        expected.append([row["name"], *(fixed(value, 3) for value in row["values"]), fixed(row["mean"], 3),
                         " to ".join(fixed(end, 3) for end in row["interval"]), paper])
    check("figures of the experiment", tables(tree)["Figures of table"], expected)
    check_that("a file of somebody else is no table", "What is missing or damaged" not in text)
    check("thresholds", tables(tree)["Thresholds of table"],
          [["expected before it was run", "outcome"], ["MAE of quality at least 1000", "missed"], [hostile + " at least 0", "reached"]])
    check_that("the question is text", any(f"Is {hostile} text? After table 9." == text_of(p) for p in tree.iter("p")))
    table = runs.root / "experiments" / "table.json"
    table.write_text(table.read_text().replace('"seeds": 2', '"seeds": "two"'))
    tree, text = runs.page("experiments")
    check_that("a damaged table is said, and not shown",
               "a file of the run holds a value of another type" in text and "Figures of table" not in tables(tree))


def main():
    program, fixtures = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(program, fixtures, pathlib.Path(folder))
        tree, text = runs.page("sft", "annotate", "evaluate")
        check_form(tree, text)
        check("the same files give the same bytes", runs.page("sft", "annotate", "evaluate")[1], text)
        check_training(tree, runs.root / "sft")
        check_dials(tree, runs.root / "evaluate")
        check_steerability(tree, runs.root / "evaluate")
        check_predictor(tree, runs.root / "evaluate")
        check_reliability(tree, runs.root / "evaluate")
        check_annotated(tree, runs.root / "annotated.jsonl")
        check_answers(tree, runs.root / "evaluate")
        recipes = [text_of(pre) for pre in tree.iter("pre")]
        check("recipes", recipes, [(runs.root / name / "recipe.yaml").read_text() for name in ("sft", "annotate", "evaluate")])
        environment = json.loads((runs.root / "sft" / "environment.json").read_text())
        table = dict(tables(tree)["Environment of sft, annotate, evaluate"][1:])
        check("environment", [table[key] for key in ("steerlm", "libtorch", "device", "threads")],
              [environment["steerlm"], environment["libtorch"], environment["device"], str(environment["threads"])])
        check_hostile(runs)
        check_damaged(runs)
        check_large(runs)
        check_earlier(runs)
        check_experiments(runs)
    for failure in FAILURES:
        print(failure)
    print(f"report page: {len(FAILURES)} failures" if FAILURES else "report page: no failure")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
