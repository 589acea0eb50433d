#!/usr/bin/env python3
"""Draws the dials of one or more evaluations into one SVG: a panel a dial, a line an evaluation.

    dials_picture.py --output docs/dials.svg "with labels=RUN/dials/evaluation.json" "without=RUN/dials-without-labels/evaluation.json"

Each point is the mean of what the judge measures of the answers at the level that was asked for, with its 95 % interval. The first
evaluation says which dials there are; one that another lacks is an error.
"""
import argparse
import json
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 380, 280  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 40, 44
COLOURS = ("#1f6fb4", "#7a7a7a", "#c8671b", "#2d8a57")
UNITS = {"flesch_kincaid": "Flesch-Kincaid grades", "mtld": "MTLD"}
DASHES = ("", "5 4", "2 3", "8 3 2 3")


def fail(message):
    sys.exit(f"dials_picture: {message}")


def read(argument):
    name, separator, path = argument.partition("=")
    if not separator:
        fail(f"'{argument}': expected NAME=evaluation.json")
    with open(path, encoding="utf-8") as file:
        evaluation = json.load(file)
    if "dials" not in evaluation or "measures" not in evaluation:
        fail(f"{path}: no dials that the text judges (`judge: text`)")
    return name, evaluation


def points(evaluation, dial, name):
    if dial not in evaluation["dials"]:
        fail(f"'{name}' has no dial '{dial}'")
    rows = evaluation["dials"][dial]["levels"]
    return [(row["level"], row[dial], *row["own_interval"]) for row in rows]


def ticks(high):
    for step in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        if high / step <= 6:
            break
    return [step * i for i in range(int(high / step) + 1)]


def panel(dial, measure, lines, offset):
    high = 1.05 * max(upper for _, rows in lines for _, _, _, upper in rows)
    low_level = min(row[0] for _, rows in lines for row in rows)
    high_level = max(row[0] for _, rows in lines for row in rows)

    def x(level):
        return offset + LEFT + (level - low_level) / (high_level - low_level) * (WIDTH - LEFT - RIGHT)

    def y(value):
        return HEIGHT - BOTTOM - max(value, 0) / high * (HEIGHT - TOP - BOTTOM)

    out = [f'<text x="{offset + LEFT}" y="22" font-weight="bold">{escape(dial)}, measured in {escape(measure)}</text>']
    for tick in ticks(high):
        out.append(f'<line x1="{offset + LEFT}" x2="{offset + WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#e2e2e2"/>')
        out.append(f'<text x="{offset + LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for level in sorted({row[0] for _, rows in lines for row in rows}):
        out.append(f'<text x="{x(level):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{level}</text>')
    out.append(f'<text x="{offset + (LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 34}" text-anchor="middle">level asked for</text>')
    for i, (_, rows) in enumerate(lines):
        colour, shift = COLOURS[i], 3 * i
        path = " ".join(f"{x(row[0]) + shift:.1f},{y(row[1]):.1f}" for row in rows)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{DASHES[i]}"/>')
        for level, mean, lower, upper in rows:
            at = x(level) + shift
            out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(lower):.1f}" y2="{y(upper):.1f}" stroke="{colour}"/>')
            out.append(f'<circle cx="{at:.1f}" cy="{y(mean):.1f}" r="3" fill="{colour}"/>')
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True)
    parser.add_argument("evaluations", nargs="+", metavar="NAME=evaluation.json")
    arguments = parser.parse_args()
    evaluations = [read(argument) for argument in arguments.evaluations]
    if len(evaluations) > len(COLOURS):
        fail(f"at most {len(COLOURS)} evaluations")
    first = evaluations[0][1]
    dials = list(first["dials"])
    width, height = WIDTH * len(dials), HEIGHT + 26
    title = "Dials: what was measured of the answers at each level that was asked for"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
           f'font-family="sans-serif" font-size="12" fill="#222222">', f"<title>{title}</title>",
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    for i, dial in enumerate(dials):
        lines = [(name, points(evaluation, dial, name)) for name, evaluation in evaluations]
        out += panel(dial, UNITS.get(first["measures"][dial]["measure"], first["measures"][dial]["measure"].replace("_", " ")), lines, i * WIDTH)
    at = LEFT
    for i, (name, _) in enumerate(evaluations):
        out.append(f'<line x1="{at}" x2="{at + 26}" y1="{HEIGHT + 8}" y2="{HEIGHT + 8}" stroke="{COLOURS[i]}" stroke-width="2" '
                   f'stroke-dasharray="{DASHES[i]}"/>')
        out.append(f'<text x="{at + 32}" y="{HEIGHT + 12}">{escape(name)}</text>')
        at += 60 + 7 * len(name)
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n</svg>\n")


if __name__ == "__main__":
    main()
