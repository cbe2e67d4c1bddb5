"""clang's warnings are errors, too: clang.py COMPILE_COMMANDS.JSON

Reads every C file of the tree with the flags that gcc compiles it with, and checks its syntax and
its warnings with clang. Nothing is generated, so that it takes a tenth of a build; and a file that
clang was content with is not read again until it, a header of its, or its flags change.
"""
import concurrent.futures
import functools
import hashlib
import json
import os
import shlex
import subprocess
import sys

# Of gcc alone, or about what comes after the warnings.
DROPPED = ("-Wno-maybe-uninitialized", "-flto", "-ffat-lto-objects", "-fno-lto", "-MD", "-c")
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


@functools.cache
def changed_ns(path):
    return os.stat(path).st_mtime_ns


def unchanged(stamp):
    """Whether nothing that `stamp` lists, which clang wrote, has changed since."""
    try:
        with open(stamp, encoding="utf-8") as file:
            listed = file.read().replace("\\\n", " ").split(":", 1)[1].split()
        made = os.stat(stamp).st_mtime_ns
        return all(changed_ns(path) < made for path in listed)
    except (OSError, IndexError):
        return False


def check_entry(entry, stamps):
    """What clang says of a file; None where it is content, now or before."""
    command = entry["command"]
    stamp = os.path.join(stamps, hashlib.sha256(command.encode()).hexdigest() + ".d")
    if unchanged(stamp):
        return None
    said = check([*flags_of(command), "-MD", "-MF", stamp], entry["directory"])
    if said is not None and os.path.exists(stamp):
        os.remove(stamp)
    return said


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
    stamps = os.path.join(os.path.dirname(os.path.abspath(path)), "lint.clang")
    os.makedirs(stamps, exist_ok=True)
    jobs = len(os.sched_getaffinity(0))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        said = pool.map(lambda entry: check_entry(entry, stamps), entries)
        found = [text for text in said if text is not None]
    for text in found:
        print(text)
    print(f"{len(entries)} files, {len(found)} with findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
