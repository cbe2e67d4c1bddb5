"""Lines are at most 100 wide, without tabs and trailing spaces; a file ends with one newline."""
import os
import re

import source

ENDS = (".c", ".h", ".cpp", ".S", ".py", ".sh", ".js", ".cmake", ".in", ".json", ".md", ".txt")
WIDTH_MAX = 100
# A text that a program prints is easier to read and to search for in one piece.
LITERAL = re.compile(r'^\s*"[^"]*"[,;)]*$')
# Prose in tables and links cannot be folded.
ANY_WIDTH = (".md", ".json", ".txt")


def is_text(tree, path):
    if path.endswith(ENDS):
        return True
    return "." not in os.path.basename(path) and tree.read(path).startswith("#!")


def check(tree):
    found = []
    for path in tree.files:
        if not is_text(tree, path):
            continue
        text = tree.read(path)
        any_width = path.endswith(ANY_WIDTH) and not path.endswith("CMakeLists.txt")
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > WIDTH_MAX and not any_width and not LITERAL.match(line):
                found.append(source.Finding(path, number, f"{len(line)} columns: fold the line at "
                                            f"{WIDTH_MAX}"))
            if "\t" in line:
                found.append(source.Finding(path, number, "a tab: indent with four spaces"))
            if line.rstrip(" \r") != line:
                found.append(source.Finding(path, number, "space at the end: cut it off"))
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            found.append(source.Finding(path, text.count("\n") + 1,
                                        "end the file with exactly one newline"))
    return found


BAD = [
    {"core/a.c": "int a; " + "/" * 100 + "\n"},
    {"core/a.c": "\tint a;\n"},
    {"deploy/a": "#!/bin/sh\ntrue \n"},
    {"deploy/cmake/a.cmake": "set(a)"},
    {"core/a.c": "int a;\r\n"},
    {"core/a.c": "int a;\n\n"},
]
GOOD = [
    {"core/a.c": "/" * 100 + "\n\nint a;\n", "a.md": "a" * 200 + "\n"},
    {"core/a.c": "    \"" + "a" * 120 + "\",\n"},
]
