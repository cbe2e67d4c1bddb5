"""The script format of the wire tests: see README.md. Reads *.wire files to sequences.

Owns: the grammar, and how expected bytes are compared. Must not know: sockets.
"""

import dataclasses
import email.utils
import re
import time

DATE = re.compile(rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d "
                  rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
                  rb"\d\d:\d\d:\d\d GMT")
DATE_LEN = 29
DATE_SLACK_S = 60
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|\{(.*?)\*(\d+)\}|([rnt0\\s]))")
ENDS = ("close", "cut-off", "open")
PROBE = b"GET /healthz HTTP/1.1\r\nHost: probe\r\n\r\n"


class ScriptError(Exception):
    """A *.wire file is not written as README.md says."""


def unescape(text):
    """Bytes of `text`: \\r \\n \\t \\0 \\\\ \\s (space), \\xHH, \\{TEXT*N}."""
    def replace(match):
        byte, repeated, times, letter = match.groups()
        if byte:
            return chr(int(byte, 16))
        if times:
            return unescape(repeated).decode("latin-1") * int(times)
        return {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\", "s": " "}[letter]
    if "\\" in ESCAPE.sub("", text):
        raise ValueError(f"unknown escape in: {text}")
    return ESCAPE.sub(replace, text).encode("latin-1")


def match_date(data):
    if len(data) < DATE_LEN:
        return None, None
    text = data[:DATE_LEN]
    if not DATE.fullmatch(text):
        return None, f"not an IMF-fixdate: {text!r}"
    told = email.utils.parsedate_to_datetime(text.decode()).timestamp()
    if abs(told - time.time()) > DATE_SLACK_S:
        return None, f"not the time of now: {text!r}"
    return DATE_LEN, None


def match_chunked(data, body):
    """A chunked body, however it is cut into chunks, without extensions and trailers."""
    at = 0
    got = b""
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None, None if len(data) - at < 20 else "no chunk size"
        if not re.fullmatch(rb"[0-9a-f]{1,16}", data[at:end]):
            return None, f"not a chunk size: {data[at:end]!r}"
        size = int(data[at:end], 16)
        at = end + 2
        if len(data) < at + size + 2:
            return None, None
        got += data[at:at + size]
        at += size
        if data[at:at + 2] != b"\r\n":
            return None, "no CRLF behind a chunk"
        at += 2
        if not body.startswith(got):
            return None, f"another chunked body: {got!r}"
        if size == 0:
            return (at, None) if got == body else (None, f"a shorter chunked body: {got!r}")


class Expected:
    """What must come: literal bytes, dates, chunked bodies."""

    def __init__(self):
        self.parts = []

    def add(self, kind, data):
        if self.parts and kind == "literal" and self.parts[-1][0] == "literal":
            self.parts[-1] = ("literal", self.parts[-1][1] + data)
        else:
            self.parts.append((kind, data))

    def match(self, data):
        """(bytes used, None) when all of it is there, (None, None) while more is wanted, or
        (None, what is wrong)."""
        at = 0
        for kind, want in self.parts:
            have = data[at:]
            if kind == "literal":
                if not want.startswith(have[:len(want)]):
                    return None, "another answer"
                used = len(want) if len(have) >= len(want) else None
                problem = None
            elif kind == "date":
                used, problem = match_date(have)
            else:
                used, problem = match_chunked(have, want)
            if problem or used is None:
                return None, problem
            at += used
        return at, None

    def __str__(self):
        return "".join("<date>" if kind == "date" else repr(data) if kind == "literal"
                       else f"<chunked {data!r}>" for kind, data in self.parts)


@dataclasses.dataclass
class Sequence:
    """One connection's script."""
    name: str
    place: str
    steps: list = dataclasses.field(default_factory=list)
    truncated: tuple = None
    split: bool = False
    whole_only: bool = False
    deadline_s: float = 20
    probe: tuple = None


class Reader:
    """Reads one file; `answers` holds the definitions of answers.wire."""

    def __init__(self, answers):
        self.answers = answers
        self.sequences = []
        self.current = None
        self.defining = None
        self.apart = False

    def expected(self):
        steps = self.current.steps
        if not steps or steps[-1][0] != "expect":
            steps.append(("expect", Expected()))
        return steps[-1][1]

    @staticmethod
    def add_line(expected, kind, text):
        if kind == "<<chunked":
            expected.add("chunked", unescape(text))
        elif kind == "<<":
            expected.add("literal", unescape(text))
        elif text == "Date: *":
            expected.add("literal", b"Date: ")
            expected.add("date", b"")
            expected.add("literal", b"\r\n")
        else:
            expected.add("literal", unescape(text) + b"\r\n")

    def use(self, expected, rest):
        name, _, text = rest.partition(" ")
        if name not in self.answers:
            raise ValueError(f"no answer is called {name}")
        length = str(len(unescape(text)))
        for kind, line in self.answers[name]:
            line = line.replace("{len}", length).replace("{text}", text)
            self.add_line(expected, kind, line)

    def send(self, data):
        steps = self.current.steps
        if steps and steps[-1][0] == "send" and not self.apart:
            steps[-1] = ("send", steps[-1][1] + data)
        else:
            steps.append(("send", data))
        self.apart = False

    def directive(self, word, rest):
        current = self.current
        if word == "split":
            current.split = True
        elif word == "--":
            self.apart = True
        elif word == "whole":
            current.whole_only = True
        elif word == "deadline":
            current.deadline_s = float(rest)
        elif word in ("truncate", "truncate-cut-off"):
            expected = Expected()
            self.use(expected, rest)
            current.truncated = (word.removeprefix("truncate-"), expected)
        elif word == "cut-off":
            expected = Expected()
            self.use(expected, rest)
            current.steps.append((word, expected))
        elif word in ("close", "open", "half-close"):
            current.steps.append((word, None))
        else:
            raise ValueError(f"unknown word: {word}")

    def line(self, line, place):
        word, _, rest = line.partition(" ")
        if word == "==":
            self.current = Sequence(name=rest, place=place)
            self.sequences.append(self.current)
        elif word == "define":
            self.current = None
            self.defining = self.answers.setdefault(rest, [])
        elif self.current is None:
            if word not in ("<", "<<", "<<chunked") or self.defining is None:
                raise ValueError("only expected lines stand in a definition")
            self.defining.append((word, rest))
        elif word == ">":
            self.send(unescape(rest) + b"\r\n")
        elif word == ">>":
            self.send(unescape(rest))
        elif word in ("<", "<<", "<<chunked"):
            self.add_line(self.expected(), word, rest)
        elif word == "=":
            self.use(self.expected(), rest)
        else:
            self.directive(word, rest)

    def read(self, path):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            place = f"{path.name}:{number}"
            if not line.strip() or line.startswith("#"):
                continue
            try:
                self.line(line, place)
            except ValueError as error:
                raise ScriptError(f"{place}: {error}") from None


def check(sequence):
    """A script that ends without a verdict on the connection proves too little."""
    kinds = [kind for kind, _ in sequence.steps]
    if sequence.truncated is None and (not kinds or kinds[-1] not in ENDS):
        raise ScriptError(f"{sequence.place}: {sequence.name}: must end in close, cut-off or open")
    if "send" not in kinds:
        raise ScriptError(f"{sequence.place}: {sequence.name}: sends nothing")


def load(answers_path, paths):
    """All sequences of `paths`, in order."""
    answers = {}
    Reader(answers).read(answers_path)
    probe_answer = Expected()
    Reader(answers).use(probe_answer, "healthz")
    sequences = []
    for path in paths:
        reader = Reader(answers)
        reader.read(path)
        sequences += reader.sequences
    names = set()
    for sequence in sequences:
        check(sequence)
        if sequence.name in names:
            raise ScriptError(f"{sequence.place}: a second sequence is called {sequence.name}")
        names.add(sequence.name)
        sequence.probe = (PROBE, probe_answer)
    return sequences
