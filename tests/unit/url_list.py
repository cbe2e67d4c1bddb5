"""The URL parser against the public WHATWG test list (web-platform-tests).

usage: url_list.py PROGRAM LIST: PROGRAM is url_parts; where LIST is not there the test says that it
skips."""
import json
import subprocess
import sys

PARTS = ["href", "protocol", "username", "password", "hostname", "port", "pathname", "search",
         "hash"]


def bytes_of(text):
    """UTF-8, with U+FFFD for a lone surrogate, as a JavaScript string becomes a URL's text."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.encode()


def main():
    program, path = sys.argv[1:3]
    try:
        with open(path, encoding="utf-8") as f:
            cases = [c for c in json.load(f) if isinstance(c, dict)]
    except FileNotFoundError:
        print(f"SKIP: no test list at {path}")
        return 77
    lines = []
    for c in cases:
        base = c.get("base")
        second = "-" if base is None else bytes_of(base).hex()
        lines.append(bytes_of(c["input"]).hex() + " " + second)
    out = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True,
                         check=True, timeout=600).stdout.split("\n")
    bad = 0
    for c, line in zip(cases, out):
        if line in ("fail", "error"):
            got = line
        else:
            values = [bytes.fromhex(v).decode() for v in line.split(" ")]
            got = dict(zip(PARTS, values))
            got["port"] = got["port"].lstrip(":")
        want = "fail" if c.get("failure") else {p: c[p] for p in PARTS}
        if got != want:
            bad += 1
            print(f"{c['input']!r} against {c.get('base')!r}:\n  want {want}\n  got  {got}")
    print(f"{len(cases)} cases, {bad} differ")
    return 1 if bad or len(out) < len(cases) else 0


sys.exit(main())
