#!/usr/bin/env bash
# The one check on a card, in one call of at most six minutes: GPU tests, kernel bench, training, decoding and scoring beside
# Transformers, Liger and PEFT, and the toy pipeline while there is time. Compiles nothing: takes build/release/steerlm and
# build/release/tests (--build says where else they are). PYTHON has torch, transformers and peft (python3). tools/gpu_check.sh --help says more;
# tools/bench/gpu/check.py is what runs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}

# Liger, where its wheel was carried along: into a folder of its own, gone at the end.
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G "$root/.whl/*.whl" >/dev/null; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$root"/.whl/*.whl ||
    echo "gpu_check: the wheels of .whl cannot be installed; Liger is left out" >&2
fi
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
if "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("liger_kernel") is None)'; then export STEERLM_LIGER=1; fi
status=0
"$python" "$root/tools/bench/gpu/check.py" "$@" || status=$?
exit "$status"
