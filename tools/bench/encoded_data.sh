#!/bin/bash
# What docs/data.md says of encoded training data: how fast it is encoded, how long a second start takes, and how much
# memory both take, as the data grows. Needs GNU time and about 4 GB of disk.
#   tools/bench/encoded_data.sh PROGRAM [FOLDER]
set -euo pipefail
program=$(realpath "$1")
model=$(realpath "$(dirname "$0")/../../tests/fixtures/models/untied")
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"
export OMP_WAIT_POLICY=passive

# chats FILE CONVERSATIONS TURNS: short texts of random words; the answers have no labels.
chats() {
  [ -e "$1" ] || python3 - "$@" <<'PY'
import random, sys
path, conversations, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(1)
words = ["".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.randint(2, 9))) for _ in range(4000)]
with open(path, "w") as file:
    for number in range(conversations):
        texts = [" ".join(draw.choices(words, k=draw.randint(4, 16))) for _ in range(turns)]
        entries = ",".join('{"from":"%s","value":"%d %s"}' % ("Assistant" if turn % 2 else "User", number, text)
                           for turn, text in enumerate(texts))
        file.write('{"conversations":[%s]}\n' % entries)
PY
}

# start RUN FILE WHAT: a start that trains three steps, and what all of it took.
start() {
  cat >recipe.yaml <<YAML
stage: sft
run_dir: $1
model: {path: $model}
data: {train: [{path: $2}], max_tokens: 256, cache_dir: cache}
optimizer: {learning_rate: 1.0e-3}
train: {steps: 3, batch_size: 8}
YAML
  /usr/bin/time -f "%e s, at most %M KiB" -o time.txt "$program" sft recipe.yaml 2>log.txt || { cat log.txt; exit 1; }
  echo "  $3: $(cat time.txt); $(grep -oE 'encoded [0-9].*|is encoded already' log.txt || true)"
}

for size in "100000 2" "1000000 2" "125000 4" "1250000 4"; do
  read -r conversations turns <<<"$size"
  file=chats-$conversations-$turns.jsonl
  chats "$file" "$conversations" "$turns"
  sleep 3  # a file that was written just now is hashed again at the next start
  rm -rf first second cache
  echo "$conversations conversations of $turns turns, $(stat -c %s "$file") bytes"
  start first "$file" "first start"
  echo "  cache: $(stat -c %s cache/examples-*.bin) bytes"
  start second "$file" "second start"
done
