"""Each public header compiles alone, as C17 and as C++17, without any macro set from outside."""
import os
import re

import source

COMPILERS = [
    ("C17", ["gcc", "-std=c17", "-x", "c", "-Wstrict-prototypes"]),
    ("C++17", ["g++", "-std=c++17", "-x", "c++"]),
]


def check(tree):
    found = []
    for path in tree.public_headers():
        text = tree.read(path)
        if not re.search(r"^#pragma once$", text, re.M):
            found.append(source.Finding(path, 1, "no '#pragma once': put it below the comment"))
        if "HS_API" in source.blank_directives(source.blank(text)) and (
                "HS_BEGIN_DECLS" not in text or "HS_END_DECLS" not in text):
            found.append(source.Finding(path, 1, "exports functions outside of HS_BEGIN_DECLS and "
                                        "HS_END_DECLS: a C++ program could not link them"))
        layer = path.split(os.sep)[0]
        dirs = ["-I" + os.path.join(tree.root, d) for d in [layer] + source.BELOW[layer]]
        for language, command in COMPILERS:
            # As an include, since '#pragma once' in a main file is a warning of its own.
            full = os.path.join(tree.root, path)
            failed, output = source.run(command + ["-fsyntax-only", "-Wall", "-Wextra", "-Wundef",
                                                   "-Werror"] + dirs + ["-include", full,
                                                                        "/dev/null"])
            if failed:
                first = next((l for l in output.splitlines() if "error" in l), output.strip())
                found.append(source.Finding(
                    path, 1, f"does not compile alone as {language}: include what it uses, and "
                    f"write what both languages know. {first}"))
    return found


BAD = [
    {"core/hs_a.h": "#pragma once\nsize_t hs_a;\n"},
    {"core/hs_a.h": "#pragma once\ntypedef struct a { int class; } a;\n"},
    {"core/hs_a.h": "#pragma once\n#define HS_API\nHS_API int hs_a(void);\n"},
    {"core/hs_a.h": "typedef int hs_a;\n"},
    {"core/hs_a.h": "#pragma once\n#include \"hs_b.h\"\n", "net/hs_b.h": "#pragma once\n"},
]
GOOD = [
    {"net/hs_a.h": "#pragma once\n#include <stddef.h>\n#include \"hs_b.h\"\nextern size_t hs_a;\n",
     "core/hs_b.h": "#pragma once\n"},
]
