"""The program under test, and a plain client that sees every byte.

Owns: starting and ending httpshard, and a connection that reads answers as RFC 9112 frames them.
Must not know: which test uses it. The environment tells: HTTPSHARD (path of the program),
HTTPSHARD_SANITIZE (asan, tsan or nothing) and HS_TEST_LONG.
"""

import array
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import unittest

PROGRAM = os.environ.get("HTTPSHARD", "")
SANITIZE = os.environ.get("HTTPSHARD_SANITIZE", "")
LONG = bool(os.environ.get("HS_TEST_LONG"))
# What sanitizers cost in time, for what a test has last.
SLOW = 10 if SANITIZE else 1
# Seconds after which something hangs that must come at all. No test is to depend on the speed of
# a machine that is shared: this is far longer than the pauses of a busy one.
PATIENCE = 300
LISTENING = re.compile(r"listening on (?:https?://\S+:(\d+)|unix:.+)\n")


def needs(tool):
    """Decorator: skip the test where `tool` is not installed."""
    return unittest.skipUnless(shutil.which(tool), f"{tool} is not installed")


def patiently(attempt):
    """What attempt(delay) comes to with a request that is answered after `delay` seconds, in which
    much has to happen; longer ones are tried where the machine was too slow for it: None."""
    for delay in (2, 10, 50):
        done = attempt(delay)
        if done is not None:
            return done
    raise AssertionError("what should come before an answer comes after it")


def run(command, timeout=PATIENCE, **options):
    """Run a client to its end: its result, output as text."""
    return subprocess.run(command, capture_output=True, text=True, check=False,
                          timeout=timeout, **options)


def established(port):
    """How many connections there are to a port of ours (proc(5)), by IPv4."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        lines = [line.split() for line in file.readlines()[1:]]
    return sum(words[1].endswith(f":{port:04X}") and words[3] == "01" for words in lines)


class Program:
    """A running httpshard. On leaving it is told to stop and must then end well by itself.

    It waits for its clients as long as a test does, unless a test says otherwise: one that was held
    up for as long as a server waits for anybody is not to find its connection closed."""

    def __init__(self, *flags, cores=1, listen=("127.0.0.1:0",), prefix=(), path=None,
                 preexec=None, env=None):
        words = [*prefix, path or PROGRAM, "--cores", str(cores), "--timeout", str(PATIENCE)]
        for address in listen:
            words += ["--listen", address]
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*words, *flags], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT,
                                        preexec_fn=preexec, env=env)
        self.ports = []
        deadline = time.monotonic() + PATIENCE
        while len(self.ports) < len(listen):
            self.ports = [int(port or 0) for port in LISTENING.findall(self.said())]
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"httpshard does not start: {self.said()}")
            time.sleep(0.01)
        self.port = self.ports[0]
        self.url = f"http://127.0.0.1:{self.port}"

    def said(self):
        size = os.fstat(self.output.fileno()).st_size
        return os.pread(self.output.fileno(), size, 0).decode(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"httpshard did not end within {PATIENCE} s") from None

    def stop(self):
        """All that it has said, at the end: its log is written by a thread that may be late."""
        self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.said()
        return self.said()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def peak_reset(self):
        """Start a new reckoning of the largest resident size (proc(5), clear_refs)."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")

    def peak_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) * 1024

    def threads(self):
        """Of each thread: seconds on a processor, and the processors it may run on."""
        found = {}
        base = f"/proc/{self.process.pid}/task"
        for task in os.listdir(base):
            with open(f"{base}/{task}/schedstat", encoding="ascii") as file:
                seconds = int(file.read().split()[0]) / 1e9
            with open(f"{base}/{task}/status", encoding="ascii") as file:
                cpus = re.search(r"Cpus_allowed_list:\s+(\S+)", file.read()).group(1)
            found[task] = (seconds, cpus)
        return found

    def connect(self, timeout=PATIENCE):
        return Connection(self.port, timeout)

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        ended = self.process.poll()
        if ended is None:
            self.signal(signal.SIGTERM)
            try:
                ended = self.wait()
            except AssertionError:
                if kind is None:
                    raise
        said = self.said()
        self.output.close()
        if kind is None and ended != 0:
            raise AssertionError(f"httpshard ended with {ended}: {said[-2000:]}")
        if kind is not None:
            print(f"httpshard said: {said[-2000:]}", file=sys.stderr)


class Answer:
    """Head and body of one answer."""

    def __init__(self, status, fields, body=b""):
        self.status = status
        self.fields = fields  # lower-case names
        self.body = body

    def closes(self):
        return "close" in self.fields.get("connection", "").lower()


class Connection:
    """A socket that sends bytes as given, and reads one answer at a time."""

    def __init__(self, port, timeout=PATIENCE, host="127.0.0.1", path=None):
        if path is None:
            self.sock = socket.create_connection((host, port), timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(path)
        self.buffer = bytearray()

    def send(self, data):
        self.sock.sendall(data)

    def was_read(self, seconds=PATIENCE):
        """Waits until the server has read all that was sent: by IPv4 or a Unix socket."""
        deadline = time.monotonic() + seconds
        while self._unread():
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not read")
            time.sleep(0.01)

    def _unread(self):
        # What the peer has not acknowledged; of a Unix socket, what it has not read.
        count = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.TIOCOUTQ, count)
        if count[0] or self.sock.family == socket.AF_UNIX:
            return count[0]
        ours, theirs = (f":{name[1]:04X}" for name in
                        (self.sock.getsockname(), self.sock.getpeername()))
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                words = line.split()
                if words[1].endswith(theirs) and words[2].endswith(ours):
                    return int(words[4].partition(":")[2], 16)
        return 1  # nobody has accepted it

    def _more(self):
        part = self.sock.recv(1 << 18)
        if not part:
            raise EOFError("the server closed the connection inside an answer")
        self.buffer += part

    def _line(self):
        while True:
            end = self.buffer.find(b"\r\n")
            if end >= 0:
                line = bytes(self.buffer[:end])
                del self.buffer[:end + 2]
                return line.decode("latin-1")
            self._more()

    def _exactly(self, length, sink):
        while length > 0:
            if not self.buffer:
                self._more()
            part = self.buffer[:length]
            del self.buffer[:len(part)]
            sink(part)
            length -= len(part)

    def _to_the_end(self, sink):
        try:
            while True:
                sink(self.buffer)
                self.buffer.clear()
                self._more()
        except EOFError:
            pass

    def head(self):
        version, status, _ = (self._line() + " ").split(" ", 2)
        assert version == "HTTP/1.1", version
        fields = {}
        while line := self._line():
            name, separator, value = line.partition(":")
            assert separator and name == name.strip(), line
            fields[name.lower()] = value.strip()
        return Answer(int(status), fields)

    def answer(self, method="GET", sink=None, skip_interim=True):
        """The next answer; its body goes to `sink` piece by piece, or to answer.body."""
        answer = self.head()
        while skip_interim and 100 <= answer.status < 200:
            answer = self.head()
        body = bytearray()
        into = sink or body.extend
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.fields.get("transfer-encoding", "").lower() == "chunked":
            assert "content-length" not in answer.fields
            while length := int(self._line().split(";")[0], 16):
                self._exactly(length, into)
                assert self._line() == ""
            while self._line():
                pass
        elif "content-length" in answer.fields:
            self._exactly(int(answer.fields["content-length"]), into)
        else:
            self._to_the_end(into)
        answer.body = bytes(body)
        return answer

    def get(self, path, *fields):
        lines = [f"GET {path} HTTP/1.1", "Host: test", *fields, "", ""]
        self.send("\r\n".join(lines).encode())
        return self.answer()

    def ended(self):
        """Whether the server has closed, in order, with nothing more sent."""
        return not self.buffer and self.sock.recv(1) == b""

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def main():
    """Run the calling file's tests. Without a program there is nothing to test: that fails."""
    if not os.access(PROGRAM, os.X_OK):
        sys.exit("set HTTPSHARD to the path of the program")
    unittest.main(verbosity=2)
