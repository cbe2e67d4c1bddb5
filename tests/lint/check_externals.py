"""liburing, hwloc and threads are shard's, c-ares is net's, wolfSSL tls's, libidn2, libpsl and what
decodes bodies http's, yyjson app's; public headers show none of them."""
import os
import re

import source

OWNERS = {
    r"liburing(\.h|/.*)": "shard",
    r"linux/io_uring\.h": "shard",
    r"hwloc(\.h|/.*)": "shard",
    r"pthread\.h|threads\.h|semaphore\.h": "shard",
    r"sys/epoll\.h|sys/eventfd\.h": "shard",
    r"ares(_\w+)?\.h": "net",
    r"idn2\.h": "http",
    r"libpsl\.h": "http",
    r"zlib\.h|brotli/.*|zstd(_\w+)?\.h": "http",
    r"wolfssl/.*": "tls",
    r"yyjson\.h": "app",
}


def check(tree):
    found = []
    public = set(tree.public_headers())
    for path in tree.layer_files():
        layer = path.split(os.sep)[0]
        for line, _, name in source.includes(tree.read(path)):
            owner = next((o for p, o in OWNERS.items() if re.fullmatch(p, name)), None)
            if owner and owner != layer:
                found.append(source.Finding(path, line, f"<{name}> belongs to {owner} alone: use "
                                            f"{owner}'s hs_*.h, or add there what is missing"))
            elif owner and path in public:
                found.append(source.Finding(path, line, f"a public header must not show <{name}>: "
                                            "include it in a private header or a .c file"))
    return found


BAD = [
    {"net/a.c": "#include <liburing.h>\n"},
    {"core/a.c": "#include <pthread.h>\n"},
    {"http/a.c": "#include <wolfssl/ssl.h>\n"},
    {"shard/a.c": "#include <ares.h>\n"},
    {"net/hs_a.h": "#include <ares_version.h>\n"},
    {"shard/hs_a.h": "#include <hwloc.h>\n"},
    {"app/a.c": "#include <hwloc/helper.h>\n"},
    {"net/a.c": "#include <zstd_errors.h>\n"},
    {"app/a.c": "#include <libpsl.h>\n"},
    {"http/hs_a.h": "#include <brotli/decode.h>\n"},
    {"http/a.c": "#include <yyjson.h>\n"},
    {"app/hs_a.h": "#include <yyjson.h>\n"},
]
GOOD = [
    {"shard/a.c": "#include <liburing.h>\n#include <pthread.h>\n"},
    {"shard/a.h": "#include <hwloc.h>\n"},
    {"tls/a.c": "#include <wolfssl/ssl.h>\n"},
    {"net/a.c": "#include <ares.h>\n"},
    {"http/a.c": "#include <zlib.h>\n#include <zstd.h>\n"},
    {"app/a.c": "#include <yyjson.h>\n"},
    {"tests/plain/a.c": "#include <pthread.h>\n"},
]
