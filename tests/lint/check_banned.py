"""Calls that this tree does without, each with what to use instead."""
import re

import source

HEAP = "take memory from an arena, a pool or hs_mem: the C heap is core/mem.c's alone"
COPY = "copy with memcpy and a length that was checked, or hs_fmt_*"
CLOCK = "the time is passed in: ask hs_shard_now or hs_io for it"
WAIT = "never block a shard: start a timer"
NUMBER = "no error is told by it: parse with hs_parse_*"
END = "a library never ends the process: return an hs_err"

# Everywhere, tests and tools too.
ALWAYS = {
    "strcpy": COPY, "strcat": COPY, "stpcpy": COPY, "strncpy": COPY, "strncat": COPY,
    "sprintf": "use snprintf, or hs_fmt_*", "vsprintf": "use vsnprintf",
    "gets": "use fgets, or read", "strtok": "it keeps state between calls: cut an hs_span",
    "strtok_r": "cut an hs_span", "atoi": NUMBER, "atol": NUMBER, "atoll": NUMBER, "atof": NUMBER,
    "alloca": "the stack has a fixed size: use an arena",
    "rand": "use hs_shard_random, or a generator whose seed the test prints",
    "srand": "use a generator whose seed the test prints",
    "random": "use hs_shard_random, or a generator whose seed the test prints",
    "gmtime": "not safe between threads: use gmtime_r",
    "localtime": "not safe between threads, and depends on the machine: use gmtime_r",
}
# In the layers.
LAYERS = {
    **{name: HEAP for name in (
        "malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf",
        "vasprintf", "aligned_alloc", "posix_memalign", "memalign", "valloc", "open_memstream",
        "getline", "getdelim")},
    "time": CLOCK, "gettimeofday": CLOCK, "clock_gettime": CLOCK, "clock": CLOCK,
    "sleep": WAIT, "usleep": WAIT, "nanosleep": WAIT, "clock_nanosleep": WAIT,
    "exit": END, "_exit": END, "quick_exit": END, "abort": END, "assert": "use HS_ASSERT",
    "system": "start no shell", "popen": "start no shell",
    "getaddrinfo": "it blocks: use the resolver of net", "gethostbyname": "it blocks",
    "strerror": "use hs_err_text", "signal": "use sigaction", "setjmp": "no hidden control flow",
    "longjmp": "no hidden control flow",
}
# Who may after all, because it is what the others are told to use.
ALLOWED = {
    "core/mem.c": {"malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign"},
    "core/assert.c": {"abort", "_exit"},
    "app/httpshard.c": {"exit", "_exit"},
    "app/command.c": {"getaddrinfo"},  # before there are shards
    "net/start_lock.c": {"nanosleep"},  # before there are shards
}
ALLOWED_LAYER = {"shard": {"clock_gettime"}}

CALL = re.compile(r"(?<![\w.>])(\w+)[ \t]*\(")


def check(tree):
    found = []
    layer_files = set(tree.layer_files())
    for path in tree.c_files():
        rules = dict(ALWAYS)
        if path in layer_files:
            rules.update(LAYERS)
        allowed = ALLOWED.get(path, set()) | ALLOWED_LAYER.get(path.split("/")[0], set())
        plain = source.blank(tree.read(path))
        for match in CALL.finditer(plain):
            name = match.group(1)
            if name in rules and name not in allowed:
                found.append(source.Finding(path, source.line_of(plain, match.start()),
                                            f"{name}() is banned: {rules[name]}"))
    return found


BAD = [
    {"net/a.c": "void f(void)\n{\n    char *p = malloc(3);\n}\n"},
    {"core/pool.c": "void f(void *p) { free (p); }\n"},
    {"tests/unit/a.c": "int f(char *a) { return strlen(strcpy(a, a)); }\n"},
    {"perf/a.c": "int f(char *a) { return atoi(a); }\n"},
    {"http/a.c": "long f(void) { return time(NULL); }\n"},
    {"core/a.c": "void f(void) { abort(); }\n"},
    {"net/a.c": "void f(void) { clock_gettime(0, 0); }\n"},
]
GOOD = [
    {"core/mem.c": "void f(void *p) { free(p); }\n"},
    {"tests/plain/a.c": "void *f(void) { return malloc(3); }\n"},
    {"net/a.c": "/* free() is not ours */ const char *s = \"malloc(3)\";\n"},
    {"shard/a.c": "void f(struct io *io) { io->ops->free(io); my_free(io); io->time(); }\n"},
    {"shard/clock.c": "void f(void) { clock_gettime(0, 0); }\n"},
]
