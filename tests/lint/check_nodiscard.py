"""A function that returns hs_err is HS_NODISCARD, so that no error is dropped unseen."""
import re

import source

# hs_err.h's makers of an error have nothing to drop.
MAKERS = {"hs_err_of", "hs_err_errno"}


def check(tree):
    found = []
    for path in tree.layer_files(headers_only=True):
        for chunk in source.chunks(tree.read(path)):
            if not chunk.function or chunk.function in MAKERS:
                continue
            returns = re.search(r"\bhs_err\s+" + chunk.function + r"\s*\(", chunk.head)
            if returns and "HS_NODISCARD" not in chunk.head:
                found.append(source.Finding(path, chunk.line, f"{chunk.function}() returns hs_err "
                                            "without HS_NODISCARD: put it before the type"))
    return found


BAD = [
    {"core/hs_a.h": "/* A. */\nHS_API hs_err hs_a(void);\n"},
    {"net/b.h": "static inline hs_err b(int c)\n{\n    return HS_OK;\n}\n"},
]
GOOD = [
    {"core/hs_a.h": "HS_API HS_NODISCARD hs_err hs_a(void);\ntypedef hs_err hs_f(void);\n"
                    "hs_err_kind hs_b(hs_err e);\nstatic inline hs_err hs_err_of(int c);\n"},
]
