# What tools/setup.sh and tools/get_smollm2.sh have in common; they source it.

say() { printf '== %s\n' "$*"; }
give_up() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; exit 1; }

# What is fetched is kept in the user's cache folder; where there is none to write to, beside the build.
choose_cache() {
  local base=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
  export STEERLM_CACHE=${STEERLM_CACHE:-${base:+$base/steerlm}}
  if [ -z "$STEERLM_CACHE" ] || ! mkdir -p "$STEERLM_CACHE" 2>/dev/null || [ ! -w "$STEERLM_CACHE" ]; then
    STEERLM_CACHE=$PWD/build/cache
    mkdir -p "$STEERLM_CACHE"
  fi
}

# check_free FOLDER MB WHAT
check_free() {
  local free_mb
  free_mb=$(df -Pm "$1" | awk 'NR == 2 {print $4}')
  say "disk: $3 takes up to $2 MB, $free_mb MB are free in $1"
  [ "$free_mb" -ge "$2" ] || give_up "not enough disk space in $1: $free_mb MB free, $2 MB needed"
}
