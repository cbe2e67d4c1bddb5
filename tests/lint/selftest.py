"""Shows each check bad snippets, which it must find, and good ones, which it must pass.

Each check holds its snippets: BAD and GOOD are lists of trees, a tree a dict of path to text.
"""
import importlib
import os
import sys
import tempfile

import check_circles
import lint
import list_sizes
import source


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8", newline="") as f:
            f.write(text)
    return source.Tree(root)


def test_check(name):
    """Returns what the check got wrong."""
    module = importlib.import_module("check_" + name)
    wrong = [] if module.BAD and module.GOOD else [f"{name}: no snippets to test it with"]
    for kind, trees in (("BAD", module.BAD), ("GOOD", module.GOOD)):
        for number, files in enumerate(trees):
            with tempfile.TemporaryDirectory() as root:
                found = module.check(write_tree(root, files))
                if bool(found) != (kind == "BAD"):
                    told = "; ".join(str(f) for f in found) or "nothing"
                    wrong.append(f"{name}: {kind}[{number}]: found {told}")
    return wrong


def test_call_circles():
    wrong = []
    for trees, expected in ((check_circles.CALL_CIRCLES, 1), (check_circles.NO_CALL_CIRCLES, 0)):
        for number, files in enumerate(trees):
            with tempfile.TemporaryDirectory() as root:
                found = check_circles.call_circles(write_tree(root, files))
                if len(found) != expected:
                    wrong.append(f"call circles: tree {number}: {found}, not {expected}")
    return wrong


def test_sizes():
    long_function = "void f(void)\n{\n" + "    g();\n" * 70 + "}\n"
    with tempfile.TemporaryDirectory() as root:
        tree = write_tree(root, {"core/a.c": long_function + "\n" * 600,
                                 "net/b.c": "void f(void)\n{\n    HS_ASSERT(1);\n}\n"})
        report = "\n".join(list_sizes.report(tree))
    expected = ("core/a.c has", "core/a.c:1: f() has 73 lines", "core: 0 assertions",
                "net: 1 assertions in 4 lines, 250")
    return [f"sizes: no line '{text}' in: {report}" for text in expected if text not in report]


def main():
    wrong = test_sizes() + test_call_circles()
    for name in lint.check_names():
        wrong += test_check(name)
    for line in wrong:
        print(line)
    print(f"{len(lint.check_names())} checks tested, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
