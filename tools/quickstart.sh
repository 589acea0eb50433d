#!/usr/bin/env bash
# From a fresh clone to a steered model: builds the program, makes the toy language's data and runs all four stages on it.
# Run again, it goes on where it stopped.
set -euo pipefail
[ $# = 0 ] || { echo "usage: tools/quickstart.sh" >&2; exit 2; }
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

say "building the program"
cmake --build build/release --target steerlm -j "$(build_jobs)"

if [ ! -e data/toy/train.jsonl ]; then  # the file that is written last
  say "making the toy data"
  build/release/steerlm data make-toy --output data/toy
fi

say "the four stages: configs/toy/pipeline.yaml"
build/release/steerlm pipeline configs/toy/pipeline.yaml
