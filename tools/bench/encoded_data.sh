#!/bin/bash
# What docs/data.md says of encoded training data: how long it takes to encode it, how long a later start takes, and how
# much memory both take, as the data grows. Needs GNU time and about 5 GB of disk.
#   tools/bench/encoded_data.sh PROGRAM [FOLDER]
set -euo pipefail
program=$(realpath "$1")
tokenizer=$(realpath "$(dirname "$0")/../../tests/fixtures/models/untied/tokenizer.model")
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"
export OMP_WAIT_POLICY=passive

# chats FILE CONVERSATIONS TURNS: short texts of random words, answers with two labels.
chats() {
  [ -e "$1" ] || python3 - "$@" <<'PY'
import random, sys
path, conversations, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(1)
words = ["".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.randint(2, 9))) for _ in range(4000)]
with open(path, "w") as file:
    for number in range(conversations):
        entries = []
        for turn in range(turns):
            text = " ".join(draw.choices(words, k=draw.randint(4, 16)))
            if turn % 2 == 0:
                entries.append('{"from":"User","value":"%d %s"}' % (number, text))
            else:
                label = "quality:%d,humor:%d" % (draw.randint(0, 4), draw.randint(0, 4))
                entries.append('{"from":"Assistant","value":"%s","label":"%s"}' % (text, label))
        file.write('{"conversations":[%s]}\n' % ",".join(entries))
PY
}

# start RUN FILE WHAT: a start that trains three steps of a tiny model, and what all of it took.
start() {
  cat >recipe.yaml <<YAML
stage: sft
run_dir: $1
model: {init: {hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2}, tokenizer: $tokenizer}
attributes: {names: [quality, humor], min: 0, max: 4}
data: {train: [{path: $2}], max_tokens: 1024, cache_dir: cache}
optimizer: {learning_rate: 1.0e-3}
train: {steps: 3, batch_size: 8}
YAML
  /usr/bin/time -f "%e s, %U + %S s of the processors, at most %M KiB" -o time.txt "$program" sft recipe.yaml 2>log.txt ||
    { cat log.txt; exit 1; }
  echo "  $3: $(cat time.txt); $(grep -oE 'encoded [0-9].*|is encoded already' log.txt || true)"
}

for size in "125000 4" "1000000 2" "1250000 4"; do
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
