"""The tree configures with what the set-up for the server installs, test tools aside.

CMake reads tests/ and perf/ too when ./deploy/serve builds the server: what they look for there
with REQUIRED would keep a machine without it from having a server at all.
"""
import os
import re

import source

SEARCH = re.compile(r"\b(?:find_package|find_program|find_library|pkg_check_modules)\s*\(([^)]*)\)",
                    re.I)


def check(tree):
    found = []
    for path in tree.files:
        parts = path.split(os.sep)
        if parts[0] not in ("tests", "perf") or parts[-1] != "CMakeLists.txt":
            continue
        text = re.sub(r"#[^\n]*", "", tree.read(path))
        for match in SEARCH.finditer(text):
            if "REQUIRED" in match.group(1).split():
                found.append(source.Finding(
                    path, source.line_of(text, match.start()), "REQUIRED here keeps a machine "
                    "without it from building the server: run the tool by its name (python3), and "
                    "let the test fail where it is missing"))
    return found


BAD = [
    {"tests/e2e/CMakeLists.txt": "find_package(Python3 REQUIRED COMPONENTS Interpreter)\n"},
    {"perf/CMakeLists.txt": "\nfind_program(WRK wrk\n    REQUIRED)\n"},
]
GOOD = [
    {"tests/a/CMakeLists.txt": "# find_package(Python3 REQUIRED)\nfind_program(HEY hey)\n",
     "CMakeLists.txt": "find_package(Threads REQUIRED)\n"},
]
