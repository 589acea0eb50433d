#!/usr/bin/env bash
# The test command: gets what is missing, builds everything and runs every test. Ends with ctest's summary.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

say "building the program and its tests"
cmake --build build/release -j "$(build_jobs)"

say "running the tests"
exec ctest --test-dir build/release -j2 --output-on-failure
