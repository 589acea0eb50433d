#!/usr/bin/env bash
# driver_test.sh PROGRAM: each mistake of driver_findings.cpp is found, and the input is left that does it again.
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "driver_test: $*"; cat output; exit 1; }

FINDING=fine "$program" --executions 200 --seed 3 >output 2>&1 || fail "'fine' is no finding"
grep -q "seed 3, 200 executions in .* no finding" output || fail "the summary"
[ -z "$(ls ./*.input 2>/dev/null)" ] || fail "'fine' left an input"

# What each ends with, and what is said of it.
while IFS=: read -r word said; do
  rm -f ./*.input
  status=0
  FINDING=$word "$program" --executions 1 >output 2>&1 || status=$?
  [ "$status" = 1 ] || fail "$word: exit code $status"
  grep -qe "$said" output || fail "$word: not said: $said"
  grep -q "FINDING" output || fail "$word: no finding in the summary"
  [ "$(cat ./*.input)" = "$word" ] || fail "$word: not the input"
  case $word in
    memory | time) ;;  # by the input alone they are for a debugger: nobody ends them
    refusal) "$program" ./*.input | grep -q "refused: not taken" || fail "the input alone is refused" ;;
    *) if "$program" ./*.input >output 2>&1; then fail "$word: not found again"; fi ;;
  esac
done <<'END'
refusal:exception: no seed is taken
mistake:exception: .*a mistake of the program
exception:exception: another exception
over-read:heap-buffer-overflow
overflow:signed integer overflow
assertion:Assertion '__n < this->size()' failed
signal:ended by: Aborted
allocation:allocation-size-too-big
memory:more than 2 GiB of memory
time:one input took more than 10 s
leak:detected memory leaks
END

# The same seed makes the same inputs.
for run in 1 2; do FINDING=some-text-to-change "$program" --executions 300 --seed 5 | sed 's/in [0-9]* s, [0-9]* a second//' >"run$run"; done
cmp run1 run2 || fail "two runs of one seed differ"
