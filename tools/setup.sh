#!/usr/bin/env bash
# Gets what the build needs and configures it: Debian packages, libtorch and sentencepiece (fetched by cmake, pinned), build/release. Where
# there is an NVIDIA card, also CUDA's libraries and a compiler for them; STEERLM_CUDA in the environment decides instead: on, off, or
# compile (the compiler alone, for a machine without a card that builds the program for one; docs/gpu.md).
# tools/quickstart.sh and tools/test.sh source it (more_packages: what they need besides); run by itself it does just that. Asks nothing; a
# second run takes a second.
set -euo pipefail
if [ "${BASH_SOURCE[0]}" = "$0" ] && [ $# -gt 0 ]; then
  echo "usage: tools/setup.sh" >&2
  exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
source tools/shared.sh

packages="g++ cmake ninja-build ccache python3 python3-jinja2 python3-pip pkg-config libspdlog-dev libfmt-dev nlohmann-json3-dev libyaml-cpp-dev
  libcli11-dev libgtest-dev libgmock-dev libssl-dev zlib1g-dev libzstd-dev libpcre2-dev libutf8proc-dev ${more_packages:-}"
fetched_mb=1500  # 545 MB of downloads, 460 MB unpacked, and room to unpack
build_mb=3800    # program and tests, 1,100 MB of Debian packages, the toy runs, two copies of libtorch: beside the program where the cache
                 # is on another file system, and for a moment in the test of `cmake --install`
# For a card: what cmake/cuda.cmake and cmake/cuda_runtime.cmake fetch and unpack, and the libraries' copies, as above.
compiler_mb=600   # 104 MB of downloads, 215 MB unpacked, and room to unpack
runtime_mb=4500   # 1,770 MB of downloads, which go once they are unpacked, and 2,350 MB
copies_mb=4800

has_card() {
  compgen -G '/dev/nvidia[0-9]*' >/dev/null || { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep '^GPU' >/dev/null; }
}

# Sets cuda to on, off or compile; empty: no card, and what build/release was configured for stays.
choose_cuda() {
  cuda=${STEERLM_CUDA:-}
  if [ -z "$cuda" ] && has_card; then cuda=on; fi
  case $cuda in
    on) say "CUDA: libraries and a compiler, 1,870 MB to fetch, 2,700 MB on disk (STEERLM_CUDA=off does without)" ;;
    compile) say "CUDA: a compiler, 104 MB to fetch, 330 MB on disk; without the libraries that a card needs" ;;
    off) say "CUDA: not built" ;;
    "") say "CUDA: no card found (STEERLM_CUDA=on builds for one all the same)" ;;
    *) give_up "STEERLM_CUDA is '$cuda': it is one of on, off, compile" ;;
  esac
}

check_disk() {
  local fetched=0 built=0
  mkdir -p build
  # What is there already needs no room again.
  [ -e "$STEERLM_CACHE/libtorch-2.11.0/complete" ] || fetched=$fetched_mb
  [ -e build/release/steerlm ] || built=$build_mb
  if [ "$cuda" = on ] || [ "$cuda" = compile ]; then
    [ -e "$STEERLM_CACHE/cuda-13.0.88/complete" ] || fetched=$((fetched + compiler_mb))
  fi
  if [ "$cuda" = on ]; then
    [ -e "$STEERLM_CACHE/libtorch-cuda-2.11.0/complete" ] || fetched=$((fetched + runtime_mb))
    [ -e build/release/lib/libtorch_cuda.so ] || built=$((built + copies_mb))
  fi
  [ "$fetched" = 0 ] || check_free "$STEERLM_CACHE" "$fetched" "what is fetched"
  [ "$built" = 0 ] || check_free "$PWD/build" "$built" "the build"
}

install_packages() {
  local package missing=() root=()
  command -v dpkg-query >/dev/null || { say "not a Debian system: install the equivalents of $(echo $packages)"; return; }
  for package in $packages; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || { say "Debian packages: all there"; return; }
  say "Debian packages to install: ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || give_up "installing needs root, or sudo without a password. As root: apt-get install ${missing[*]}"
    root=(sudo -n DEBIAN_FRONTEND=noninteractive)
  fi
  # ${root[@]+…}: an empty array is an unset one to older shells.
  ${root[@]+"${root[@]}"} apt-get update -qq
  ${root[@]+"${root[@]}"} apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${missing[@]}" </dev/null |
    awk '/^Unpacking/ {n++} END {printf "   %d packages installed, dependencies included\n", n}'
}

# Compilers take up to 1.5 GB each.
build_jobs() {
  local cores memory_mb jobs
  cores=$(nproc)
  memory_mb=$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
  jobs=$((memory_mb / 1500))
  [ "$jobs" -ge 1 ] || jobs=1
  [ "$jobs" -le "$cores" ] || jobs=$cores
  echo "$jobs"
}

configure() {
  say "configuring build/release"
  case $cuda in
    on) cmake --preset release -DSTEERLM_CUDA=ON -DSTEERLM_CUDA_RUNTIME=ON ;;
    compile) cmake --preset release -DSTEERLM_CUDA=ON -DSTEERLM_CUDA_RUNTIME=OFF ;;
    off) cmake --preset release -DSTEERLM_CUDA=OFF -DSTEERLM_CUDA_RUNTIME=OFF ;;
    *) cmake --preset release ;;
  esac
}

choose_cache
choose_cuda
check_disk
install_packages
configure
