#!/usr/bin/env bash
# The package as a user has it: installs the build to a prefix of its own, builds the example
# hello.c against what was installed, five ways, and asks each program with curl until SIGTERM
# ends it. What reads JSON is built two ways.
# Usage: package_test.sh SOURCE_DIR BUILD_DIR
set -euo pipefail

source_dir=$1
build_dir=$2
example=$source_dir/app/examples/hello.c
work=$(mktemp -d)
pid=
trap 'status=$?; [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$work"; exit $status' EXIT

fail()
{
    printf 'FAILED: %s\n' "$*"
    [ ! -f "$work/out" ] || sed 's/^/    /' "$work/out"
    exit 1
}

# Runs program $1 on a port of the kernel's choice, asks it once, and has it end.
try_program()
{
    local name=$1 program=$2 address='' answer
    "$program" --listen 127.0.0.1:0 --timeout 300 >"$work/out" 2>&1 &
    pid=$!
    for _ in $(seq 3000); do
        address=$(grep -oE '127\.0\.0\.1:[1-9][0-9]*' "$work/out" | head -n 1) || true
        [ -z "$address" ] || break
        kill -0 "$pid" 2>/dev/null || fail "$name: ended at its start"
        sleep 0.1
    done
    [ -n "$address" ] || fail "$name: does not tell where it listens"
    answer=$(curl -sS --max-time 300 "http://$address/hello") || fail "$name: no answer"
    [ "$answer" = 'Hello, World!' ] || fail "$name: answers '$answer'"
    kill -TERM "$pid"
    for _ in $(seq 3000); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    ! kill -0 "$pid" 2>/dev/null || fail "$name: does not end within 5 minutes of SIGTERM"
    local status=0
    wait "$pid" || status=$?
    pid=
    [ "$status" = 0 ] || fail "$name: ended with $status after SIGTERM"
    printf 'ok: %s\n' "$name"
}

prefix=$work/prefix
cmake --install "$build_dir" --prefix "$prefix" >"$work/out" || fail "cmake --install"
libdir=$(dirname "$(find "$prefix" -name libhttpshard.a)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir

# What is installed shows nothing of ours that is private, and nothing of what we stand on.
headers=$prefix/include/httpshard
[ -f "$headers/hs_app.h" ] || fail "hs_app.h is not installed"
# yyjson's is there for whoever reads a document of hs_json.h.
if find "$headers" -type f ! -name 'hs_*.h' ! -name yyjson.h | grep .; then
    fail "a private header is installed"
fi
if grep -nE "^ *# *include.*(liburing|hwloc|wolfssl|idn2|zlib|brotli|zstd|psl|<ares|yyjson)" \
    "$headers"/hs_*.h; then
    fail "a header shows a library"
fi
if nm -D --defined-only "$libdir/libhttpshard.so" | awk '{ print $NF }' | grep -v '^hs_'; then
    fail "libhttpshard.so exports what does not begin with hs_"
fi
dynamic=$(readelf -d "$libdir/libhttpshard.so")
[[ $dynamic =~ SONAME.*libhttpshard\.so\.[0-9]+\.[0-9]+\] ]] ||
    fail "libhttpshard.so has no SONAME by version"
"$prefix/bin/httpshard" --version >"$work/out" 2>&1 || fail "httpshard --version"

# pkg-config; warnings are errors, since the headers are the user's code too.
for kind in httpshard httpshard-static; do
    # shellcheck disable=SC2046 # the flags are words
    gcc -std=c17 -Wall -Wextra -Werror -o "$work/$kind" "$example" \
        $(pkg-config --cflags --libs "$kind") >"$work/out" 2>&1 || fail "pkg-config $kind"
    try_program "pkg-config $kind" "$work/$kind"
done
# To a variable first: `grep -q` would end the pipe under the writer.
libraries=$(ldd "$work/httpshard")
[[ $libraries == *libhttpshard* ]] || fail "the shared program is not shared"
libraries=$(ldd "$work/httpshard-static")
[[ $libraries != *libhttpshard* ]] || fail "the static program is shared"

# A document of ours is read with yyjson's own functions, those that are not inline too.
cat >"$work/json.c" <<'END'
#include <httpshard/hs_json.h>
#include <httpshard/yyjson.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
    yyjson_doc *doc;
    if (!hs_ok(hs_json_parse(hs_mem_system(), HS_SPAN("{\"a\": [1, 2]}"), NULL, &doc, NULL)))
        return 1;
    char *text = yyjson_val_write(yyjson_doc_ptr_get(doc, "/a"), 0, NULL);
    puts(text ? text : "no text");
    free(text);
    yyjson_doc_free(doc);
    return 0;
}
END
for kind in httpshard httpshard-static; do
    # shellcheck disable=SC2046
    gcc -std=c17 -Wall -Wextra -Werror -fno-lto -o "$work/json" "$work/json.c" \
        $(pkg-config --cflags --libs "$kind") >"$work/out" 2>&1 || fail "JSON by pkg-config $kind"
    [ "$("$work/json")" = '[1,2]' ] || fail "JSON by pkg-config $kind: not read"
    printf 'ok: JSON by pkg-config %s\n' "$kind"
done

# find_package
mkdir "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.23)
project(user C)
find_package(httpshard 0.1 REQUIRED)
foreach(kind IN ITEMS httpshard shared static)
    add_executable(hello_${kind} ${EXAMPLE})
    target_link_libraries(hello_${kind} PRIVATE httpshard::${kind})
endforeach()
END
{
    # Without LTO, which the static program above had: each link with it takes many seconds.
    cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_EXE_LINKER_FLAGS=-fno-lto -DEXAMPLE="$example" && cmake --build "$work/cmake/build"
} >"$work/out" 2>&1 || fail "find_package(httpshard)"
for kind in httpshard shared static; do
    try_program "find_package httpshard::$kind" "$work/cmake/build/hello_$kind"
done

# C++ links the same headers.
printf '#include <httpshard/hs_app.h>\nint main() { return hs_app_create() == nullptr; }\n' \
    >"$work/user.cpp"
# shellcheck disable=SC2046
g++ -std=c++17 -Wall -Wextra -Werror -o "$work/user" "$work/user.cpp" \
    $(pkg-config --cflags --libs httpshard) >"$work/out" 2>&1 || fail "a C++ program"
printf 'ok: C++\n'
