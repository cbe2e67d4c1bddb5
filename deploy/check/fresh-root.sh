#!/usr/bin/env bash
# Proves the README's promise: makes a fresh Debian root, clones this tree's HEAD into it, and runs
# ./deploy/setup, ./deploy/serve (asked with curl) and ./deploy/test there, and tells the outcome.
# Usage: deploy/check/fresh-root.sh [--build-only] [--keep] bookworm|trixie     (as root)
#   --build-only   set-up and release build, neither server nor tests
#   --keep         leave the root where it is, and say where
# Needs debootstrap, git and curl. Mounts live in a namespace of their own and end with it.
set -euo pipefail
# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=deploy/sources.sh
. "$HS_ROOT/deploy/sources.sh"

tree=/home/httpshard

# The way to the network that this machine's apt has, and no more of its configuration.
copy_network()
{
    cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
    apt-config dump | grep -E '^Acquire::https?::(Proxy|CaInfo)' \
        >"$root/etc/apt/apt.conf.d/99network" || true
    if [ -d /usr/local/share/ca-certificates ]; then
        mkdir -p "$root/usr/local/share/ca-certificates"
        cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    fi
}

make_root()
{
    local mirrors base security
    mirrors=$(apt_mirrors)
    base=$(awk '$2 !~ /-/ { print $1; exit }' <<<"$mirrors")
    security=$(awk '$2 ~ /-security$/ { print $1; exit }' <<<"$mirrors")
    [ -n "$base" ] || die "apt knows no Debian archive here: run apt-get update"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$base" || return 1
    {
        printf 'deb %s %s main\n' "$base" "$suite" "$base" "$suite-updates"
        [ -z "$security" ] || printf 'deb %s %s-security main\n' "$security" "$suite"
    } >"$root/etc/apt/sources.list"
    copy_network
    # It is thrown away: no need to see each package safe on the disk.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    git clone -q "$HS_ROOT" "$root$tree"
}

# Runs a command in the root, in the tree, with a bare environment. The array is for whoever needs
# the command's own process id.
set_enter()
{
    # shellcheck disable=SC2016 # the inner shell expands it
    enter=(chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"}
        ${no_proxy:+no_proxy="$no_proxy"} bash -c 'cd "$0" && exec "$@"' "$tree")
}

in_root() { "${enter[@]}" "$@"; }

failed=0

# step NAME COMMAND...: runs it with its output to a log, and tells how it went.
step()
{
    local name=$1 start=$SECONDS result=ok
    shift
    "$@" >"$logs/$name.log" 2>&1 || result=FAILED
    printf '%-9s %-14s %5d s  %s\n' "$suite" "$name" "$((SECONDS - start))" "$result"
    if [ $result = FAILED ]; then
        failed=1
        tail -n 40 "$logs/$name.log" | sed 's/^/    /'
        return 1
    fi
}

ask_server()
{
    local out=$logs/server.out address='' answer pid status=0
    "${enter[@]}" ./deploy/serve --listen 127.0.0.1:0 >"$out" 2>&1 &
    pid=$!
    for _ in $(seq 6000); do
        address=$(grep -oE '127\.0\.0\.1:[1-9][0-9]*' "$out" | head -n 1) || true
        [ -z "$address" ] || break
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    cat "$out"
    [ -n "$address" ] || { say "the server does not listen"; return 1; }
    answer=$(curl -sS --max-time 300 "http://$address/plaintext") || return 1
    printf 'answer: %s\n' "$answer"
    kill -TERM $pid
    wait $pid || status=$?
    [ $status = 0 ] || { say "the server ended with $status after SIGTERM"; return 1; }
    [ "$answer" = 'Hello, World!' ]
}

quick_the_second_time()
{
    local start=$SECONDS
    in_root ./deploy/setup || return 1
    [ $((SECONDS - start)) -le 5 ] || { say "took $((SECONDS - start)) s"; return 1; }
}

run_steps()
{
    step debootstrap make_root || return 0
    set_enter
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    step setup in_root ./deploy/setup || return 0
    step setup-again quick_the_second_time || true
    if [ "$build_only" = yes ]; then
        step configure in_root cmake --preset release || return 0
        step build in_root cmake --build build/release || return 0
        return 0
    fi
    step serve ask_server || true
    step test in_root ./deploy/test || true
    grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$logs/test.log" || true
    cp -r "$root$tree/build/logs" "$logs/build-logs" || true
}

# Second call, in a mount and process namespace of its own: what is mounted or runs ends with it.
if [ "${1-}" = --inside ]; then
    suite=$2 root=$3 logs=$4 build_only=$5
    run_steps
    exit $failed
fi

build_only=no keep=no
while [ $# -gt 1 ]; do
    case $1 in
        --build-only) build_only=yes ;;
        --keep) keep=yes ;;
        *) die "unknown argument '$1'" ;;
    esac
    shift
done
suite=${1-}
case $suite in
    bookworm | trixie) ;;
    *) die "say which suite: bookworm or trixie" ;;
esac
[ "$(id -u)" = 0 ] || die "needs root, to make and enter a root"
for tool in debootstrap git curl unshare chroot; do
    command -v "$tool" >/dev/null || die "needs $tool"
done

logs=$HS_ROOT/build/logs/fresh-$suite
rm -rf "$logs"
mkdir -p "$logs"
root=$(mktemp -d "${TMPDIR:-/var/tmp}/httpshard-$suite.XXXXXX")
chmod 755 "$root"
[ $keep = yes ] || trap 'rm -rf --one-file-system "$root"' EXIT
unshare --mount --propagation private --pid --fork --kill-child \
    "$HS_ROOT/deploy/check/fresh-root.sh" --inside "$suite" "$root" "$logs" "$build_only" ||
    failed=1
[ $keep = no ] || say "the root is $root"
[ $failed = 0 ] || die "$suite: failed (logs: $logs)"
printf '%s: all well\n' "$suite"
