#!/usr/bin/env bash
# The test command: gets what is missing, builds everything, checks format and sources, and runs every test. Ends with ctest's summary.
# `tools/lint.py` without --quick looks at every unit; that takes longer than the tests and is for before a release.
set -euo pipefail
more_packages="clang-format-14 clang-tidy-14"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

say "building the program and its tests"
cmake --build build/release -j "$(build_jobs)"

say "checking the format, and with clang-tidy the sources that know no libtorch"
lint=0
python3 tools/lint.py --quick || lint=$?

say "running the tests"
ctest --test-dir build/release -j2 --output-on-failure
exit "$lint"
