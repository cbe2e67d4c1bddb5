"""clang's warnings are errors, too: clang.py COMPILE_COMMANDS.JSON

Reads every C file of the tree with the flags that gcc compiles it with, and checks its syntax and
its warnings with clang. Nothing is generated, so that it takes a tenth of a build.
"""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

# Of gcc alone, or about what comes after the warnings.
DROPPED = ("-flto", "-ffat-lto-objects", "-fno-lto", "-MD", "-c")
DROPPED_WITH_VALUE = ("-MT", "-MF", "-o")
BAD = "int less(unsigned a, int b);\nint less(unsigned a, int b)\n{\n    return a < b;\n}\n"


def flags_of(command):
    flags, words = [], iter(shlex.split(command)[1:])
    for word in words:
        if word in DROPPED_WITH_VALUE:
            next(words)
        elif not word.startswith(DROPPED):
            flags.append(word)
    return flags


def check(flags, directory, text=None):
    """What clang says; None where it is content."""
    run = subprocess.run(["clang", *flags, "-fsyntax-only", "-Werror"], cwd=directory, input=text,
                         capture_output=True, text=True, check=False)
    return run.stderr if run.returncode != 0 else None


def main(path):
    with open(path, encoding="utf-8") as file:
        entries = [e for e in json.load(file) if e["file"].endswith(".c")]
    if not entries:
        sys.exit(f"{path}: no C files, so nothing would be checked")
    # The flags are those that warn: what is wrong must be seen.
    first = flags_of(entries[0]["command"])
    warn = [flag for flag in first if flag.startswith("-W")]
    if check([*warn, "-x", "c", "-"], ".", BAD) is None:
        sys.exit("clang does not see a comparison of different signs: the flags warn of nothing")
    jobs = len(os.sched_getaffinity(0))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        said = pool.map(lambda e: check(flags_of(e["command"]), e["directory"]), entries)
        found = [text for text in said if text is not None]
    for text in found:
        print(text)
    print(f"{len(entries)} files, {len(found)} with findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
