"""What the lint's checks share: the tree's files, and C text without comments and strings.

Owns: reading and a very small C scanner. Must not know: any rule. Tested by: selftest.py.
"""
import os
import re
import subprocess

# The layers in order; tls and http stand side by side.
BELOW = {
    "core": [],
    "shard": ["core"],
    "net": ["core", "shard"],
    "tls": ["core", "shard", "net"],
    "http": ["core", "shard", "net"],
    "app": ["core", "shard", "net", "tls", "http"],
}
SKIP_DIRS = {"build", ".git", ".cache", "__pycache__", "corpus"}


class Tree:
    """The files of a source tree; texts are read once."""

    def __init__(self, root):
        self.root = root
        self.files = []
        for folder, dirs, names in os.walk(root):
            dirs[:] = sorted(d for d in dirs if d not in SKIP_DIRS)
            for name in sorted(names):
                self.files.append(os.path.relpath(os.path.join(folder, name), root))
        self.texts = {}

    def read(self, path):
        if path not in self.texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace",
                      newline="") as f:
                self.texts[path] = f.read()
        return self.texts[path]

    def c_files(self, folders=None, headers_only=False):
        """Paths of C files; of the top folders given, or of all."""
        ends = (".h",) if headers_only else (".c", ".h")
        return [p for p in self.files if p.endswith(ends)
                and (folders is None or p.split(os.sep)[0] in folders)]

    def layer_files(self, headers_only=False):
        """C files that are part of a layer: not those in folders below it, such as examples."""
        return [p for p in self.c_files(BELOW, headers_only) if p.count(os.sep) == 1]

    def public_headers(self):
        return [p for p in self.layer_files(True) if os.path.basename(p).startswith("hs_")]


class Finding:
    """A fault at a line, with what to do about it."""

    def __init__(self, path, line, text):
        self.path, self.line, self.text = path, line, text

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


TOKEN = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, mark_comments=False):
    """`text` with strings emptied and comments turned to spaces (or to \\x01), lines kept."""
    def replace(match):
        token = match.group(0)
        if token[0] == "/":
            return re.sub(r"[^\n]", "\x01" if mark_comments else " ", token)
        return token[0] + " " * (len(token) - 2) + token[-1]
    return TOKEN.sub(replace, text)


DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.M | re.S)


def blank_directives(text):
    """`text` without preprocessor lines, continued ones too; line numbers are kept."""
    return DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def includes(text):
    """(line, '<' or '"', name) of each include."""
    # Strings must stay, so only the comments go.
    plain = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)
    return [(line_of(plain, m.start(1)), m.group(1), m.group(2)) for m in INCLUDE.finditer(plain)]


class Chunk:
    """One declaration or definition at the top level of a file."""

    def __init__(self, text, line, commented, lines):
        self.text, self.line, self.commented, self.lines = text, line, commented, lines
        head = text.split("{", 1)[0]
        head = re.sub(r"\b(__attribute__\s*\(\(.*?\)\)|HS_PRINTF\s*\([^)]*\))", " ", head,
                      flags=re.S)
        found = re.match(r"[^(=]*?\b(\w+)\s*\(", head, re.S)
        self.function = None
        words = head.split()
        if found and words[0] != "typedef" and not words[0].startswith(
                ("HS_STATIC_ASSERT", "_Static_assert", "static_assert")):
            self.function = found.group(1)
        self.head = head
        self.has_body = self.function is not None and "{" in text


WORDS_ALONE = re.compile(r'\b(?:HS_BEGIN_DECLS|HS_END_DECLS)\b|extern\s*"\s*C\s*"\s*\{')


def chunks(text):
    """The top-level declarations of a C file."""
    plain = blank_directives(blank(text, mark_comments=True))
    plain = WORDS_ALONE.sub(lambda m: " " * len(m.group(0)), plain)
    result, start, braces, parens = [], None, 0, 0
    for at, c in enumerate(plain):
        if start is None:
            if c.isspace() or c in "\x01;}":
                continue
            start = at
        if c == "{":
            braces += 1
        elif c == "}":
            braces -= 1
        elif c in "()":
            parens += 1 if c == "(" else -1
        if braces or parens:
            continue
        body = plain[start:at + 1].replace("\x01", " ")
        ends = c == ";" or (c == "}" and Chunk(body, 0, False, 0).function)
        if ends:
            before = plain[:start]
            gap = before[len(before.rstrip(" \t\n")):]
            commented = before.rstrip(" \t\n").endswith("\x01") and gap.count("\n") <= 1
            result.append(Chunk(body, line_of(plain, start), commented, body.count("\n") + 1))
            start = None
    return result


def run(command):
    """Runs a command; its exit code and all it wrote."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.returncode, done.stdout
