#!/usr/bin/env python3
"""Writes tests/eval/reward_bench_numbers.h: figures of RewardBench 1 and 2 that their own code computed.

  python3 tools/make_reward_bench_fixtures.py REWARD_BENCH > tests/eval/reward_bench_numbers.h

REWARD_BENCH is a checkout of allenai/reward-bench. The functions are taken out of rewardbench/utils.py, so that what the
rest of that file imports is not needed; numpy, pandas and datasets are. The release 0.1.4 on PyPI computes the Ties
subset otherwise where all right answers of a prompt have the same score: it says 0 where the repository divides by 0.
"""

import ast
import collections
import pathlib
import subprocess
import sys
import typing
import warnings

import datasets
import numpy
import pandas


def functions_of(root):
    names = {"calculate_scores_per_section", "reroll_and_score_dataset", "_compute_prompt_stats", "process_single_model"}
    tree = ast.parse((root / "rewardbench/utils.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    space = {"np": numpy, "pd": pandas, "Dataset": datasets.Dataset, "List": typing.List, "Dict": typing.Dict,
             "Tuple": typing.Tuple, "defaultdict": collections.defaultdict}
    exec(compile(tree, "utils.py", "exec"), space)
    exec((root / "rewardbench/constants.py").read_text(), space)
    return space


def numbers(values):
    return "{" + ", ".join(f"{value:.17g}" for value in values) + "}"


def sections(theirs, random):
    """One case with every subset, one without a section and with a foreign subset."""
    every = {name: round(random.random(), 3) for name in theirs["EXAMPLE_COUNTS"]}
    some = {name: value for name, value in list(every.items())[:9] if not name.startswith("mt-bench")}
    cases = []
    for accuracies in every, {**some, "another": 0.5}:
        scores = theirs["calculate_scores_per_section"](theirs["EXAMPLE_COUNTS"], theirs["SUBSET_MAPPING"], accuracies)
        pairs = ", ".join(f'{{"{name}", {value:.17g}}}' for name, value in accuracies.items())
        cases.append("{{" + pairs + "}, " + numbers(scores[name] for name in theirs["SUBSET_MAPPING"]) + "}")
    return cases


def best_of(theirs, random):
    """Scores of four answers, the right one first; small whole numbers, so that there are ties."""
    rows = random.integers(0, 3, size=(40, 4)).astype(float)
    table = {"text": [""] * rows.size, "scores": rows.flatten().tolist()}
    credit = theirs["reroll_and_score_dataset"](datasets.Dataset.from_dict(table), [4] * len(rows))["results"]
    return [numbers([*row, value]) for row, value in zip(rows, credit)]


def ties(theirs, random):
    cases = []
    for case in range(4):
        rows = []
        for number in range(12):
            for kind, right in ("ref", 1), ("tied", int(random.integers(2, 5))):
                if case > 0 and random.random() < 0.15:
                    continue  # a prompt without its companion
                shift = 2.0 if random.random() < 0.7 else 0.0
                # Whole numbers in two cases: spreads of 0, margins of 0.
                draw = (lambda n: random.integers(0, 3, size=n).astype(float)) if case % 2 else random.random
                scores = numpy.concatenate([draw(right) + shift, draw(3)]).round(3).tolist()
                rows.append({"id": f"{kind}:{number}", "scores": scores, "num_correct": right})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # divisions by 0
            score = theirs["process_single_model"](datasets.Dataset.from_list(rows))[1]
        prompts = ", ".join(
            f"{{{'true' if row['id'].startswith('tied') else 'false'}, {row['id'].split(':')[1]}, "
            f"{numbers(row['scores'][:row['num_correct']])}, {numbers(row['scores'][row['num_correct']:])}}}"
            for row in rows)
        cases.append("{{" + prompts + f"}}, {score:.17g}}}")
    return cases


def main():
    root = pathlib.Path(sys.argv[1])
    commit = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    theirs = functions_of(root)
    random = numpy.random.default_rng(5)
    print("// Made by tools/make_reward_bench_fixtures.py with allenai/reward-bench at")
    print(f"// {commit.stdout.strip()}, Python {sys.version.split()[0]}, numpy {numpy.__version__}.")
    print("#pragma once\n\n#include <array>\n#include <map>\n#include <string>\n#include <vector>\n")
    print('#include "steerlm/eval/reward_bench.h"\n\nnamespace steerlm {\n')
    print("// accuracies of subsets; and Chat, Chat Hard, Safety, Reasoning")
    print("struct SectionCase {\n  std::map<std::string, double> subset_accuracy;\n  std::array<double, 4> scores;\n};")
    print("inline const std::vector<SectionCase> section_cases{" + ", ".join(sections(theirs, random)) + "};\n")
    print("// scores of four answers, the right one first; and what the row counts")
    print("inline const std::vector<std::array<double, 5>> best_of_four{" + ", ".join(best_of(theirs, random)) + "};\n")
    print("struct TiesCase {\n  std::vector<TiesPrompt> prompts;\n  double score;\n};")
    print("inline const std::vector<TiesCase> ties_cases{" + ", ".join(ties(theirs, random)) + "};\n")
    print("}  // namespace steerlm")


if __name__ == "__main__":
    main()
