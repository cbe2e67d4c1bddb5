"""Lists, without failing, what grew long or tangled, and how dense the assertions are."""
import re

import check_circles
import source

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
ASSERTS_PER_KLOC_MIN = 40


def report(tree):
    lines = []
    for path in tree.c_files():
        text = tree.read(path)
        count = text.count("\n")
        if count > FILE_LINES_MAX:
            lines.append(f"{path} has {count} lines: a file reads well up to {FILE_LINES_MAX}")
        for chunk in source.chunks(text):
            if chunk.has_body and chunk.lines > FUNCTION_LINES_MAX:
                lines.append(f"{path}:{chunk.line}: {chunk.function}() has {chunk.lines} lines: a "
                             f"screen holds {FUNCTION_LINES_MAX}")
    lines += check_circles.call_circles(tree)
    for layer in source.BELOW:
        total = asserts = 0
        for path in tree.layer_files():
            if path.startswith(layer + "/"):
                plain = source.blank_directives(source.blank(tree.read(path)))
                total += tree.read(path).count("\n")
                asserts += len(re.findall(r"\bHS_(?:STATIC_)?ASSERT\s*\(", plain))
        if total:
            density = 1000 * asserts / total
            low = "" if density >= ASSERTS_PER_KLOC_MIN else f" (aim: {ASSERTS_PER_KLOC_MIN})"
            lines.append(f"{layer}: {asserts} assertions in {total} lines, {density:.0f} in a "
                         f"thousand{low}")
    return lines
