#!/usr/bin/env bash
# The test command: gets what is missing, builds everything, checks format and sources, and runs every test. Ends with ctest's summary.
# `tools/lint.py` without --quick looks at every unit; that takes longer than the tests and is for before a release.
#   --sanitize    instead: the tests of the modules under the address and undefined-behaviour sanitizers, each fuzz target of tests/fuzz for
#                 60 s (FUZZ_SECONDS), and the tests with threads under the thread sanitizer. Builds build/asan and build/tsan; takes hours
#                 the first time. docs/reliability.md has what was found.
set -euo pipefail
case "$*" in
  "" | --sanitize) ;;
  *) echo "usage: tools/test.sh [--sanitize]" >&2; exit 2 ;;
esac
more_packages="clang-format-14 clang-tidy-14"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# Of tests/<module>; end_to_end starts the program hundreds of times, which is what it would measure.
module_tests() {
  local folder
  for folder in tests/*/; do
    folder=$(basename "$folder")
    [ "$folder" = end_to_end ] || ! compgen -G "tests/$folder/*_test.cpp" >/dev/null || echo "${folder}_test"
  done
}

sanitize() {
  local failed=0 target
  say "building with the address and undefined-behaviour sanitizers"
  cmake --preset asan
  cmake --build build/asan -j "$(build_jobs)" --target steerlm fuzz $(module_tests)

  say "running the program, whose other half is loaded with dlopen"
  # The sanitizer's dlopen does not look where the program's RUNPATH says.
  LD_LIBRARY_PATH=build/asan/lib build/asan/steerlm doctor || failed=1

  say "running the tests of the modules"
  ctest --test-dir build/asan -j2 --output-on-failure -E '^(end_to_end|tools)/' || failed=1

  for target in build/asan/tests/fuzz/*_fuzz; do
    target=tests/fuzz/$(basename "$target")
    say "fuzzing: $target"
    (cd build/asan && "$target" --seconds "${FUZZ_SECONDS:-60}") || failed=1
  done

  # libgomp is not instrumented, so that every OpenMP loop would look like a race: the modules without one.
  say "building and running the tests with threads under the thread sanitizer"
  cmake --preset tsan
  cmake --build build/tsan -j "$(build_jobs)" --target core_test text_test data_test report_test
  ctest --test-dir build/tsan -j2 --output-on-failure -R '^(core|text|data|report)/' || failed=1

  [ "$failed" = 0 ] || give_up "the sanitizers or the fuzz targets found something"
  say "no finding"
}

if [ "${1:-}" = --sanitize ]; then
  sanitize
  exit 0
fi

say "building the program and its tests"
cmake --build build/release -j "$(build_jobs)"

say "checking the format, and with clang-tidy the sources that know no libtorch"
lint=0
python3 tools/lint.py --quick || lint=$?

say "running the tests"
ctest --test-dir build/release -j2 --output-on-failure
exit "$lint"
