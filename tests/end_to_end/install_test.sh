#!/usr/bin/env bash
# `cmake --install` gives a tree that runs wherever it is moved to, as any user and without HOME; so does the build folder.
# install_test.sh BUILD_FOLDER
set -euo pipefail
build=$1
place=$(mktemp -d "$build/install_test.XXXXXX")
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

cmake --install "$build" --prefix "$place/first" >"$place/log"
mv "$place/first" "$place/moved"
for program in "$build/steerlm" "$place/moved/bin/steerlm"; do
  path=$(readelf -d "$program" | sed -n 's/.*R\(UN\)\?PATH.*\[\(.*\)\]/\2/p')
  for entry in $(tr ':' ' ' <<<"$path"); do
    [[ $entry == '$ORIGIN'/* ]] || fail "$program loads libraries from '$entry'"
  done
  [[ :$path: != *::* ]] || fail "$program loads libraries from the current directory: '$path'"
done
program=$place/moved/bin/steerlm
libraries=$(ldd "$program")
[[ $libraries != *"not found"* ]] || fail "a library of the installed program is missing: $libraries"
[[ $libraries != *libtorch* ]] || fail "the program loads libtorch before it knows its command: $libraries"
libraries=$(ldd "$place/moved/lib/steerlm/libsteerlm_compute.so")
[[ $libraries != *"not found"* ]] || fail "a library of libsteerlm_compute.so is missing: $libraries"
[[ $libraries == *"libtorch_cpu.so => $place/moved/"* ]] || fail "libtorch comes from elsewhere: $libraries"

# Threads that wait sleep, unless the user says otherwise.
[[ $(env -i OMP_DISPLAY_ENV=true "$program" --version 2>&1) == *"OMP_WAIT_POLICY = 'PASSIVE'"* ]] || fail "waiting threads spin"
[[ $(env -i OMP_DISPLAY_ENV=verbose "$program" --version 2>&1) == *"GOMP_SPINCOUNT = '600'"* ]] || fail "waiting threads sleep at once"
[[ $(env -i OMP_DISPLAY_ENV=true OMP_WAIT_POLICY=active "$program" --version 2>&1) == *"OMP_WAIT_POLICY = 'ACTIVE'"* ]] ||
  fail "OMP_WAIT_POLICY of the user is not obeyed"
[[ $(env -i OMP_DISPLAY_ENV=verbose GOMP_SPINCOUNT=12345 "$program" --version 2>&1) == *"GOMP_SPINCOUNT = '12345'"* ]] ||
  fail "GOMP_SPINCOUNT of the user is not obeyed"

# The program without its libraries: what needs none of them works, the rest says what is missing.
mkdir "$place/alone"
cp "$program" "$place/alone/steerlm"
env -i "$place/alone/steerlm" sft --help >/dev/null || fail "--help needs the libraries"
code=0
message=$(env -i "$place/alone/steerlm" --version 2>&1) || code=$?
[[ $code == 5 && $message == *libsteerlm_compute.so* ]] || fail "without its libraries: exit $code, $message"

if [ -e "$build/lib/libsteerlm_cuda.so" ]; then
  [ -e "$place/moved/lib/steerlm/libsteerlm_cuda.so" ] || fail "the CUDA library is not installed"
fi
if [ -e "$build/lib/libtorch_cuda.so" ]; then
  libraries=$(ldd "$place/moved/lib/steerlm/libtorch_cuda.so")
  [[ $libraries != *"not found"* ]] || fail "a library of libtorch_cuda.so is missing: $libraries"
  [[ $libraries == *"libcublas.so.13 => $place/moved/"* ]] || fail "CUDA's libraries come from elsewhere: $libraries"
fi

cd /
[[ $(env -i "$program" --version) == "steerlm "* ]] || fail "--version"
[[ $(env -i "$program" recipe list "$place/moved/share/steerlm/configs") == *pipeline.yaml* ]] || fail "the recipes are not installed"
for program in "$build/steerlm" "$place/moved/bin/steerlm"; do
  [[ $(env -i "$program" recipe list) == *papers/steerlm-13b.yaml* ]] || fail "$program does not find its recipes"
  cmp <(env -i "$program" recipe copy toy/pipeline -) "$place/moved/share/steerlm/configs/toy/pipeline.yaml" || fail "recipe copy of $program"
done
program=$place/moved/bin/steerlm
for file in LICENSE README.md recipes.md; do
  [ -s "$place/moved/share/doc/steerlm/$file" ] || fail "$file is not installed"
done

# Another user, where the build folder is one that he may enter.
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env -i)
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && "${as_nobody[@]}" test -x "$place"; then
  for program in "$build/steerlm" "$place/moved/bin/steerlm"; do
    [[ $("${as_nobody[@]}" "$program" --version) == "steerlm "* ]] || fail "$program as another user"
  done
fi
