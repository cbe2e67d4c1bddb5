"""An include goes to the same layer or to one below; a private header stays in its folder.

The build refuses an upward include by its include paths; this says so with a remedy, and also sees
private headers of lower layers, which the include path cannot hide.
"""
import os

import source


def check(tree):
    found = []
    home = {}
    for path in tree.layer_files(headers_only=True):
        home.setdefault(os.path.basename(path), set()).add(path.split(os.sep)[0])
    for path in tree.layer_files():
        layer = path.split(os.sep)[0]
        for line, kind, name in source.includes(tree.read(path)):
            if kind == "<" and not name.startswith("httpshard/"):
                continue
            if "/" in name:
                found.append(source.Finding(path, line, f'include "{os.path.basename(name)}" '
                                            "without a folder: the build knows where it is"))
            elif layer in home.get(name, {layer}):
                continue
            elif not set(source.BELOW[layer]) & home[name]:
                there = "/".join(sorted(home[name]))
                found.append(source.Finding(
                    path, line, f"{layer} must not include {name} of {there}: move what you need "
                    f"down to a layer that both may use, or pass it in as a callback"))
            elif not name.startswith("hs_"):
                found.append(source.Finding(
                    path, line, f"{name} is private to {'/'.join(sorted(home[name]))}: use that "
                    "layer's hs_*.h, or move what you need into one"))
    return found


BAD = [
    {"core/a.c": '#include "hs_http.h"\n', "http/hs_http.h": "\n"},
    {"http/a.c": '#include "hs_tls.h"\n', "tls/hs_tls.h": "\n"},
    {"net/a.c": '#include "poison.h"\n', "core/poison.h": "\n"},
    {"net/a.c": '#include "../core/hs_a.h"\n', "core/hs_a.h": "\n"},
    {"shard/hs_b.h": '#  include "hs_net.h"\n', "net/hs_net.h": "\n"},
]
GOOD = [
    {"net/a.c": '#include "hs_a.h"\n#include "sock.h"\n#include <errno.h>\n',
     "core/hs_a.h": "\n", "net/sock.h": "\n"},
    {"core/a.c": '/* #include "hs_http.h" */\n', "http/hs_http.h": "\n"},
    {"tests/unit/a.c": '#include "poison.h"\n', "core/poison.h": "\n"},
]
