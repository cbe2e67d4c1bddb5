# shellcheck shell=bash
# shellcheck disable=SC2154 # cache, log, the versions and packages are deploy/setup's
# Builds liburing, wolfSSL and yyjson from the distribution's source packages. Sourced by
# deploy/setup. apt fetches and verifies them by way of a sources list of our own, kept in the cache
# folder: the machine's apt configuration is read, to learn which mirror it uses, and never written.

# The suite with new enough sources: its own where the system is new enough, else this one.
source_suite_floor=trixie

# The system's mirror, as its own apt knows it: lines "address codename" for Debian's archives.
apt_mirrors()
{
    # shellcheck disable=SC2016 # apt fills these in, not the shell
    apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) $(REPO_URI) $(CODENAME)' |
        awk '$1 == "Packages" && $2 == "Debian" { print $3, $4 }' | sort -u
}

write_source_list()
{
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirrors base security suite
    mirrors=$(apt_mirrors)
    if [ -z "$mirrors" ]; then
        # A machine whose lists were cleaned away knows its mirrors again after an update.
        as_root apt-get update >"$log" 2>&1 || fail_log "apt-get update failed: is the network up?"
        mirrors=$(apt_mirrors)
    fi
    base=$(awk '$2 !~ /-/ { print $1; exit }' <<<"$mirrors")
    security=$(awk '$2 ~ /-security$/ { print $1; exit }' <<<"$mirrors")
    [ -n "$base" ] || die "apt knows no Debian archive here: its source packages are needed for" \
        "liburing >= $uring_version_min, wolfSSL >= $wolfssl_version_min and" \
        "yyjson >= $yyjson_version_min"
    [ -r "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"

    suite=$source_suite_floor
    # shellcheck disable=SC1091
    if [ "$(. /etc/os-release && printf '%s' "${VERSION_ID:-0}")" -gt 13 ] 2>/dev/null; then
        suite=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    fi
    mkdir -p "$cache/apt/lists/partial" "$cache/src"
    printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$base" "$suite" >"$cache/apt/list"
    [ -z "$security" ] || printf 'deb-src [signed-by=%s] %s %s-security main\n' \
        "$keyring" "$security" "$suite" >>"$cache/apt/list"
}

# apt-get with our list and state, and the machine's way to the network.
apt_private()
{
    apt-get -o Dir::Etc::SourceList="$cache/apt/list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$cache/apt/lists" -o Dir::Cache="$cache/apt" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root "$@"
}

update_source_list()
{
    [ -z "${source_list_ready-}" ] || return 0
    write_source_list
    if ! apt_private update -o APT::Update::Error-Mode=any >"$log" 2>&1; then
        ! grep -q NO_PUBKEY "$log" ||
            fail_log "the archive keyring is too old to verify $source_suite_floor: update" \
                "the package debian-archive-keyring (on Debian 12 to 2023.3+deb12u2 or newer)"
        fail_log "cannot fetch the list of source packages: is the network up?"
    fi
    source_list_ready=yes
}

# Fetches the source package $1 to $cache/src/download, all of it or what the option $2 names.
download_source()
{
    update_source_list
    rm -rf "$cache/src/$1" "$cache/src/download"
    mkdir -p "$cache/src/download"
    (cd "$cache/src/download" && apt_private source --download-only ${2:+"$2"} "$1") \
        >"$log" 2>&1 || fail_log "cannot fetch the source package $1"
}

# Fetches and unpacks the source package $1 to $cache/src/$1.
fetch_source()
{
    local name=$1 dsc
    download_source "$name"
    dsc=$(ls "$cache/src/download/$name"_*.dsc)
    dpkg-source --extract "$dsc" "$cache/src/$name" >"$log" 2>&1 ||
        fail_log "cannot unpack the source package $name"
    source_version=$(sed -n 's/^Version: //p' "$dsc" | head -n 1)
}

# The same for what its authors released alone, without the distribution's changes.
fetch_release()
{
    local name=$1 tar
    download_source "$name" --tar-only
    tar=$(ls "$cache/src/download/$name"_*.orig.tar.*)
    mkdir "$cache/src/$name"
    tar -xf "$tar" -C "$cache/src/$name" --strip-components=1 >"$log" 2>&1 ||
        fail_log "cannot unpack the release of $name"
    source_version=$(basename "$tar" | sed 's/^[^_]*_\([0-9.]*[0-9]\).*/\1/')
}

# Is version $1 at least $2?
version_at_least() { dpkg --compare-versions "$1" ge "$2"; }

# A library is ready when its stamp tells of this very recipe, so that a change of the recipe, or of
# its patch, builds it anew. The stamp's second line is the version.
recipe_stamp()
{
    {
        declare -f "build_$1"
        [ ! -e "$HS_ROOT/deploy/$1.patch" ] || cat "$HS_ROOT/deploy/$1.patch"
    } | sha256sum | cut -c1-16
}

is_ready() { [ "$(sed -n 1p "$cache/$1/stamp" 2>/dev/null)" = "$(recipe_stamp "$1")" ]; }

write_stamp() { printf '%s\n%s\n' "$(recipe_stamp "$1")" "$2" >"$cache/$1/stamp"; }

lib_version() { sed -n 2p "$cache/$1/stamp" | sed 's/-[^-]*$//'; }

# The distribution's own liburing where it is new enough and its static library fits a shared one.
setup_uring()
{
    local include=$cache/liburing/include library=$cache/liburing/lib/liburing.a
    is_ready liburing && return 0
    rm -rf "$cache/liburing"
    mkdir -p "$cache/liburing"
    if distribution_uring; then
        include=/usr/include
        library=/usr/lib/$(gcc -print-multiarch)/liburing.a
    else
        say "building liburing"
        fetch_source liburing
        version_at_least "$source_version" "$uring_version_min" ||
            die "the distribution's liburing is $source_version: $uring_version_min is needed"
        (build_liburing "$cache/liburing") >"$log" 2>&1 || fail_log "liburing does not build"
        rm -rf "$cache/src/liburing"
    fi
    check_uring "$include" "$library"
    printf 'set(HS_URING_INCLUDE "%s")\nset(HS_URING_LIBRARY "%s")\n' "$include" "$library" \
        >"$cache/liburing/deps.cmake"
    write_stamp liburing "$source_version"
}

distribution_uring()
{
    local candidate library
    candidate=$(apt-cache policy liburing-dev 2>/dev/null | sed -n 's/^  Candidate: //p')
    version_at_least "${candidate:-0}" "$uring_version_min" || return 1
    apt_install liburing-dev
    library=/usr/lib/$(gcc -print-multiarch)/liburing.a
    source_version=$candidate
    gcc -shared -o "$cache/check.so" -Wl,--whole-archive "$library" -Wl,--no-whole-archive \
        2>"$log" || return 1
    rm -f "$cache/check.so"
}

build_liburing()
{
    set -e
    cd "$cache/src/liburing"
    # liburing does without libc's start-up, hence without the stack protector.
    export CFLAGS='-O3 -g -fPIC -fno-stack-protector -fno-omit-frame-pointer'
    ./configure --prefix="$1" --libdir="$1/lib"
    make -C src -j "$(hs_jobs)" install ENABLE_SHARED=0
}

# Proves that header, library and version belong together, and that the library fits a shared one.
check_uring()
{
    local include=$1 library=$2 program=$cache/check_uring
    {
        gcc -O2 -isystem "$include" -o "$program" "$HS_ROOT/deploy/check/uring_version.c" "$library"
        gcc -shared -o "$program.so" -Wl,--whole-archive "$library" -Wl,--no-whole-archive
    } >"$log" 2>&1 || fail_log "liburing at $library does not link"
    uring_version=$("$program" 2>"$log") || fail_log "liburing at $library does not run"
    say "liburing $uring_version: $library"
    # A kernel or container that denies rings is no reason to stop the build.
    [ ! -s "$log" ] || say "note: this system denies io_uring ($(cat "$log"))"
    rm -f "$program" "$program.so"
}

setup_wolfssl()
{
    is_ready wolfssl && return 0
    apt_install "${packages_wolfssl[@]}"
    say "building wolfSSL (about a minute)"
    fetch_source wolfssl
    version_at_least "$source_version" "$wolfssl_version_min" ||
        die "the distribution's wolfSSL is $source_version: $wolfssl_version_min is needed"
    rm -rf "$cache/wolfssl"
    mkdir -p "$cache/wolfssl"
    (build_wolfssl "$cache/wolfssl") >"$log" 2>&1 || fail_log "wolfSSL does not build"
    check_wolfssl "$cache/wolfssl"
    rm -rf "$cache/src/wolfssl"
    write_stamp wolfssl "$source_version"
}

build_wolfssl()
{
    set -e
    local assembly=--enable-intelasm macros
    [ "$(uname -m)" = x86_64 ] || assembly=--enable-armasm
    cd "$cache/src/wolfssl"
    patch -p1 --batch <"$HS_ROOT/deploy/wolfssl.patch"
    ./autogen.sh
    # No --enable-quic: it brings the OpenSSL names along, and with them 4 KB more for each
    # connection, most of it a copy of the peer's certificate. Tables for AES-GCM (another 1 KB) are
    # for processors without instructions for it.
    # No Diffie-Hellman but on curves: ffdhe2048 is 112 bits, and costs a server that is asked for
    # it many times more than who asks.
    # What is no option of configure: RFC 8446 appendix D.4; seeds by getrandom(2), not by a file
    # that is opened for each connection; no CBC; a say in each peer's certificate; more alerts.
    macros="-DWOLFSSL_TLS13_MIDDLEBOX_COMPAT -DWOLFSSL_GETRANDOM -DWOLFSSL_AEAD_ONLY"
    macros+=" -DWOLFSSL_ALWAYS_VERIFY_CB -DWOLFSSL_EXTRA_ALERTS"
    # A client may offer all suites that have ever been (some 350, two bytes each; wolfSSL's own
    # bound is 300 bytes), and is told where it falls back without need (RFC 7507).
    macros+=" -DWOLFSSL_MAX_SUITE_SZ=1024 -DHAVE_FALLBACK_SCSV"
    # A peer's public key lies on its curve, and what X25519 makes of it is not zero (RFC 8446
    # sections 4.2.8.2 and 7.4.2): off by default.
    macros+=" -DWOLFSSL_VALIDATE_ECC_IMPORT -DWOLFSSL_ECDHX_SHARED_NOT_ZERO"
    # Public authorities sign some hundred names at most; tls/tls.h has the same limit.
    macros+=" -DWOLFSSL_MAX_ALT_NAMES=1024"
    ./configure --prefix="$1" --libdir="$1/lib" --enable-static --disable-shared \
        --with-pic "$assembly" --enable-sp=yes,asm --enable-tls13 --disable-oldtls \
        --enable-session-ticket --enable-earlydata --enable-ocsp --enable-ocspstapling \
        --enable-ocspstapling2 --enable-crl --enable-sni --enable-alpn --enable-aesgcm=small \
        --enable-curve25519 --enable-ed25519 --enable-sys-ca-certs --disable-dh \
        --disable-examples --disable-crypttests \
        CFLAGS='-O2 -g -fPIC -fno-omit-frame-pointer' \
        CPPFLAGS="$macros"
    make -j "$(hs_jobs)"
    make install
    # Users of the headers need the macro as much as the library does.
    printf '\n#undef WOLFSSL_TLS13_MIDDLEBOX_COMPAT\n#define WOLFSSL_TLS13_MIDDLEBOX_COMPAT\n' \
        >>"$1/include/wolfssl/options.h"
}

# Proves by measuring that the assembly is in: without it AES-GCM is some forty times slower.
check_wolfssl()
{
    local prefix=$1 program=$cache/check_wolfssl line mbps
    gcc -O2 -isystem "$prefix/include" -o "$program" "$HS_ROOT/deploy/check/wolfssl_speed.c" \
        "$prefix/lib/libwolfssl.a" -lm -lpthread >"$log" 2>&1 || fail_log "wolfSSL does not link"
    line=$("$program" 2>"$log") || fail_log "wolfSSL does not encrypt"
    rm -f "$program"
    say "$line"
    mbps=$(sed -n 's/.*AES-128-GCM \([0-9]*\) MB\/s.*/\1/p' <<<"$line")
    if ! grep -qwE 'aes' /proc/cpuinfo; then
        say "note: this processor has no AES instructions, so TLS will be slow here"
    elif [ "${mbps:-0}" -lt "$aes_gcm_mbps_min" ]; then
        die "wolfSSL encrypts at ${mbps:-0} MB/s, at least $aes_gcm_mbps_min is expected of a" \
            "processor with AES instructions: was it built without its assembly?"
    fi
}

# The distribution has it too, but not as the static library that we bring along (Debian 13), or not
# at all (Debian 12). One file of C, to which the distribution's changes mean nothing.
setup_yyjson()
{
    is_ready yyjson && return 0
    say "building yyjson"
    fetch_release yyjson
    version_at_least "$source_version" "$yyjson_version_min" ||
        die "the distribution's yyjson is $source_version: $yyjson_version_min is needed"
    rm -rf "$cache/yyjson"
    mkdir -p "$cache/yyjson/include" "$cache/yyjson/lib"
    (build_yyjson "$cache/yyjson") >"$log" 2>&1 || fail_log "yyjson does not build"
    rm -rf "$cache/src/yyjson"
    write_stamp yyjson "$source_version"
}

build_yyjson()
{
    set -e
    cd "$cache/src/yyjson/src"
    gcc -O3 -g -fPIC -fno-omit-frame-pointer -c yyjson.c
    ar rcs "$1/lib/libyyjson.a" yyjson.o
    cp yyjson.h "$1/include"
}

# What CMake reads; written only where it changes, as a change configures everything anew.
write_deps()
{
    local new
    new=$(
        printf '# Written by deploy/setup.\n'
        printf 'set(HS_URING_VERSION %s)\n' "$(lib_version liburing)"
        cat "$cache/liburing/deps.cmake"
        printf 'set(HS_WOLFSSL_VERSION %s)\n' "$(lib_version wolfssl)"
        printf 'set(HS_WOLFSSL_INCLUDE "%s")\n' "$cache/wolfssl/include"
        printf 'set(HS_WOLFSSL_LIBRARY "%s")\n' "$cache/wolfssl/lib/libwolfssl.a"
        printf 'set(HS_YYJSON_VERSION %s)\n' "$(lib_version yyjson)"
        printf 'set(HS_YYJSON_INCLUDE "%s")\n' "$cache/yyjson/include"
        printf 'set(HS_YYJSON_LIBRARY "%s")\n' "$cache/yyjson/lib/libyyjson.a"
    )
    [ "$(cat "$cache/deps.cmake" 2>/dev/null)" = "$new" ] ||
        printf '%s\n' "$new" >"$cache/deps.cmake"
}
