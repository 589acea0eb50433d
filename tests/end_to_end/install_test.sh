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
[[ $libraries == *"libtorch_cpu.so => $place/moved/"* ]] || fail "libtorch comes from elsewhere: $libraries"

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
