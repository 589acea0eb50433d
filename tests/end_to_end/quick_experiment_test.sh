#!/usr/bin/env bash
# The experiments that come with the program run with --quick on the data that docs/experiments.md says: the quickest one in full, every
# other pipeline as far as --dry-run opens it.
#
#   quick_experiment_test.sh PROGRAM
set -euo pipefail

program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"$program" data make-toy --output data/toy
"$program" experiment m1-dials m8-leave-one-out m10-pairs --out runs --quick --dry-run
test ! -e runs || { echo "--dry-run wrote something"; exit 1; }

"$program" experiment m3-denoising --out runs --quick --quiet
python3 - <<'PYTHON'
import json

table = json.load(open("runs/m3-denoising-quick.json"))
assert table["quick"] and table["seeds"] == 1, table
assert len(table["measures"]) == 24, len(table["measures"])
figures = {row["name"]: row["mean"] for row in table["measures"]}
assert all(isinstance(value, float) for value in figures.values()), figures
# A predictor that has learned nothing is off by more than 1 (docs/experiments.md: the mean label, by 1.16 to 1.34).
assert figures["toxicity error, held out"] < 1, figures["toxicity error, held out"]
PYTHON
