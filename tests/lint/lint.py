"""Runs one check over the tree: lint.py NAME [ROOT]; NAME 'sizes' lists and never fails.

Exits with 1 where something was found, each finding a line `file:line: what, and the remedy`.
"""
import importlib
import os
import sys

import source

HERE = os.path.dirname(os.path.abspath(__file__))


def check_names():
    return sorted(name[6:-3] for name in os.listdir(HERE)
                  if name.startswith("check_") and name.endswith(".py"))


def main(name, root):
    tree = source.Tree(root)
    if name == "sizes":
        import list_sizes
        for line in list_sizes.report(tree):
            print("note: " + line)
        return 0
    if not tree.layer_files():
        print(f"{root}: no layers here, so nothing would be checked")
        return 1
    found = importlib.import_module("check_" + name).check(tree)
    for finding in found:
        print(finding)
    print(f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "../..")))
