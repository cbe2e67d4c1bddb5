# shellcheck shell=bash
# Shared by the scripts in deploy/: messages, root, and the place of the cache.
# Sourced, never run. Knows nothing of what is installed or built.

HS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HS_ROOT

say() { printf '%s\n' "$*" >&2; }

die()
{
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# The cache folder of this system: deploy/cmake/HsDeps.cmake computes the same one.
hs_cache_dir()
{
    local root=${HTTPSHARD_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/httpshard}
    local id=linux version=0
    if [ -r /etc/os-release ]; then
        # shellcheck disable=SC1091
        id=$(. /etc/os-release && printf '%s' "${ID:-linux}")
        # shellcheck disable=SC1091
        version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-0}")
    fi
    printf '%s/%s-%s-%s' "$root" "$id" "$version" "$(uname -m)"
}

# Runs a command as root, itself or through sudo.
as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root to run '$*': run as root, or install sudo"
    fi
}

# Cores that this process may use, for build jobs.
hs_jobs() { nproc; }

# Fails with one line on a kernel that the server cannot run on.
check_kernel()
{
    local release major minor
    [ "$(uname -s)" = Linux ] || die "needs Linux, this is $(uname -s)"
    release=$(uname -r)
    major=${release%%.*}
    minor=${release#*.}
    minor=${minor%%[!0-9]*}
    if [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 1 ]; }; then
        die "needs Linux 6.1 or newer, this is $release"
    fi
}

# Configures and builds a preset, all of it or the targets named. Its output goes to build/logs; of
# a failure the end is shown. Ninja rebuilds only what changed.
build_preset()
{
    local preset=$1 log=$HS_ROOT/build/logs/build-$1.log
    shift
    mkdir -p "$HS_ROOT/build/logs"
    (
        cd "$HS_ROOT"
        cmake --preset "$preset" ${HS_CMAKE_ARGS:+"$HS_CMAKE_ARGS"} || exit 1
        cmake --build "build/$preset" -j "$(hs_jobs)" ${1:+--target "$@"}
    ) >"$log" 2>&1 && return 0
    tail -n 40 "$log" >&2
    say "preset $preset does not build (whole log: $log)"
    return 1
}
