"""No circles between the files of a layer.

Headers that include each other are a fault. Sources that call each other are two pieces of one
idea, which a reader should know of: the sizes' report lists them.
"""
import os
import re

import source


def find_circle(edges):
    """A list of modules that closes on itself, or None."""
    state, stack = {}, []

    def visit(node):
        state[node] = "open"
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if state.get(other) == "open":
                return stack[stack.index(other):] + [other]
            if other not in state:
                circle = visit(other)
                if circle:
                    return circle
        state[node] = "done"
        stack.pop()
        return None

    for node in sorted(edges):
        if node not in state:
            circle = visit(node)
            if circle:
                return circle
    return None


def include_edges(tree, headers):
    """{(header, header): (path, line)} of a layer's includes."""
    by_name = {os.path.basename(p): p for p in headers}
    edges = {}
    for path in headers:
        for line, _, name in source.includes(tree.read(path)):
            if name in by_name and by_name[name] != path:
                edges.setdefault((path, by_name[name]), (path, line))
    return edges


def call_edges(tree, sources):
    """{(source, source): (path, line)} where one names a function that the other defines."""
    home, edges = {}, {}
    for path in sources:
        for chunk in source.chunks(tree.read(path)):
            if chunk.has_body and not re.search(r"\bstatic\b", chunk.head):
                home[chunk.function] = path
    for path in sources:
        plain = source.blank(tree.read(path))
        for match in re.finditer(r"(?<![\w.>])\w+", plain):
            other = home.get(match.group(0), path)
            if other != path:
                edges.setdefault((path, other), (path, source.line_of(plain, match.start())))
        # An assertion calls too, though by a macro.
        match = re.search(r"\bHS_ASSERT\b", plain)
        other = home.get("hs_assert_failed", path)
        if match and other != path:
            edges.setdefault((path, other), (path, source.line_of(plain, match.start())))
    return edges


def layer_circle(tree, layer, ends, edges_of):
    """(path, line, steps) of a circle between the files of a layer, or None."""
    files = [p for p in tree.layer_files() if p.split(os.sep)[0] == layer and p.endswith(ends)]
    edges = edges_of(tree, files)
    graph = {}
    for a, b in edges:
        graph.setdefault(a, set()).add(b)
    circle = find_circle(graph)
    if not circle:
        return None
    path, line = edges[(circle[0], circle[1])]
    return path, line, ", ".join("%s:%d" % edges[pair] for pair in zip(circle, circle[1:]))


def check(tree):
    found = []
    for layer in source.BELOW:
        circle = layer_circle(tree, layer, ".h", include_edges)
        if circle:
            path, line, steps = circle
            found.append(source.Finding(
                path, line, f"a circle of includes ({steps}): move what they share into a header "
                "below both, or declare the type without its header"))
    return found


def call_circles(tree):
    """Lines on sources that call each other."""
    circles = [layer_circle(tree, layer, ".c", call_edges) for layer in source.BELOW]
    return [f"{path}:{line}: sources that call each other: {steps}"
            for path, line, steps in filter(None, circles)]


BAD = [
    {"net/hs_a.h": '#include "hs_b.h"\n', "net/hs_b.h": '#include "c.h"\n',
     "net/c.h": '#include "hs_a.h"\n'},
]
GOOD = [
    {"core/a.c": '#include "b.h"\n', "core/a.h": "int a(void);\n",
     "core/b.h": '#include "a.h"\nint b(void);\n'},
]
CALL_CIRCLES = [
    {"core/a.c": "int a(void)\n{\n    return b();\n}\n", "core/b.c": "int b(void)\n{\n"
     "    return c(1);\n}\n", "core/c.c": "int c(int d)\n{\n    return a() + d;\n}\n"},
    {"core/assert.c": "void hs_assert_failed(void)\n{\n    fmt();\n}\n",
     "core/fmt.c": "void fmt(void)\n{\n    HS_ASSERT(1);\n}\n"},
]
NO_CALL_CIRCLES = [
    {"core/a.c": "int a(void)\n{\n    return b();\n}\n",
     "core/b.c": "/* a() calls */ int b(void)\n{\n    return s->a + s.a;\n}\n"},
    {"net/a.c": "static int f(void)\n{\n    return 1;\n}\nint a(void)\n{\n    return f();\n}\n",
     "net/b.c": "static int f(void)\n{\n    return a();\n}\nint b(void)\n{\n    return f();\n}\n"},
]
