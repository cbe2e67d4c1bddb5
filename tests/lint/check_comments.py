"""Each prototype in a public header has a comment right above it, and each file opens with one
whose tests exist.

Prototypes that follow each other without a blank line share the comment above the first.
"""
import fnmatch
import re

import source

TESTED_BY = re.compile(r"Tested by:(.*?)\*/", re.S)
TEST_PATH = re.compile(r"\btests/[\w/*-]+(?:\.\w+)?")


def missing_tests(tree, path):
    """The tests that the opening comment names and nobody wrote."""
    opening = tree.read(path).partition("*/")[0] + "*/"
    for told in TESTED_BY.findall(opening):
        for name in TEST_PATH.findall(told):
            if not fnmatch.filter(tree.files, name + "*"):
                yield name


def check(tree):
    found = []
    for path in tree.public_headers():
        commented, end = False, 0
        for chunk in source.chunks(tree.read(path)):
            shares = commented and chunk.line == end
            commented = chunk.function is not None and (chunk.commented or shares)
            end = chunk.line + chunk.lines
            if chunk.function and not commented:
                found.append(source.Finding(
                    path, chunk.line, f"{chunk.function}() has no comment right above it: say what "
                    "it does, units, who owns what, which shard may call it, each error"))
    for path in tree.c_files():
        if not tree.read(path).startswith("/*"):
            found.append(source.Finding(path, 1, "the file does not open with a comment: say what "
                                        "it owns, what it must not know, how it is tested"))
        for name in missing_tests(tree, path):
            found.append(source.Finding(path, 1, f"{name}, which it is tested by, does not exist"))
    return found


BAD = [
    {"core/hs_a.h": "/* A. */\n#pragma once\n\nHS_API void hs_a(void);\n"},
    {"core/hs_a.h": "/* A. */\n/* Far away. */\n\nHS_API void hs_a(void);\n"},
    {"core/hs_a.h": "/* A. */\n/* Does. */\nvoid hs_a(void);\n\nvoid hs_b(int (*f)(void));\n"},
    {"core/hs_a.h": "/* A. */\n/* Is. */\ntypedef int hs_i;\nvoid hs_a(void);\n"},
    {"core/hs_a.h": "/* A. */\n\nstatic inline int hs_a(void)\n{\n    return 1;\n}\n"},
    {"core/hs_a.h": "/* A. */\nHS_BEGIN_DECLS\nhs_a *hs_b(hs_a *a)\n    __attribute__((cold));\n"},
    {"core/a.c": "#include <errno.h>\n"},
    {"core/a.c": "/* A.\n * Tested by: tests/unit/a.c, and\n * tests/fuzz/b.c. */\n",
     "tests/unit/a.c": "/* A. */\n"},
]
GOOD = [
    {"core/hs_a.h": "/* A. */\n/* Does. */\nHS_API void hs_a(void);\nHS_API void hs_c(int a,\n"
                    "                 int b);\nvoid hs_d(void);\n\n/* Adds\n * one. */\n"
                    "static inline int hs_b(int b)\n{\n    return f(b);\n}\n"
                    "typedef void hs_done(int);\nstruct a {\n    void (*f)(void);\n};\n"
                    "HS_STATIC_ASSERT(1 < 2, \"order\");\n#define HS_X(a) f(a)\n"
                    "extern const int hs_table[3];\nenum { A = (1) };\n"},
    {"core/a.c": "/* A.\n * Tested by: tests/unit/a.c, tests/sim (its seeds). */\n",
     "tests/unit/a.c": "/* A. */\n", "tests/sim/b.c": "/* B. */\n"},
]
