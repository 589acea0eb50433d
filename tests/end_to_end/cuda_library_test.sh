#!/usr/bin/env bash
# libsteerlm_cuda.so exports one function, depends on CUDA's runtime library alone, and wants nothing that libtorch does not have.
# cuda_library_test.sh LIBRARY_FOLDER
set -euo pipefail
folder=$1
library=$folder/libsteerlm_cuda.so
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

exported=$(nm -D --defined-only "$library" | awk '$2 == "T" {print $3}')
[[ $exported == steerlm_cuda_table ]] || fail "it exports: $exported"

needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libstdc\+\+|libm|libgcc_s|libc)\.so|^ld-linux' || true)
[[ $needed == libcudart.so.13 ]] || fail "it needs: $needed"

# Where libtorch_cuda.so lies beside it every symbol must be there; elsewhere what is left must at least be libtorch's by its name.
if [ -e "$folder/libtorch_cuda.so" ]; then
  missing=$(LD_PRELOAD="$folder/libtorch_cuda.so" ldd -r "$library" 2>&1 | grep -E 'undefined symbol|not found' || true)
else
  missing=$(ldd -r "$library" 2>&1 | grep -E 'undefined symbol|not found' | grep -vE 'symbol: _Z[A-Z]*(2at|3c10|5torch)' || true)
fi
[[ -z $missing ]] || fail "$missing"
