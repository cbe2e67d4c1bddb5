#!/usr/bin/env python3
"""Plays scripted byte sequences against the server and compares its answers byte by byte.

Usage: run.py --server build/release/bin/httpshard [--jobs N] [--only TEXT] [--must-fail] [--list]
              [CASE.wire ...]

Owns: the script format (README.md beside this file), the server process that it starts, and the
verdicts. Must not know: how the server works inside. Exit code: 0 if every sequence went as
written.
"""

import argparse
import concurrent.futures
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import script

HERE = pathlib.Path(__file__).resolve().parent
RECEIVE_BYTES = 1 << 16
# After which it hangs. A machine that is shared may stand still for a while.
START_S = 300
STOP_S = 300
# What comes out after this long may be the machine's fault: a peer that is held up for longer than
# the server waits for it (HS_LINGER_MS is the shortest of such times) meets a reset. Then it is
# played again, but not for ever: a server that hangs is to be found before the test's own end.
DISTURBED_S = 1
AGAIN_MAX = 20
CUT_PAUSE_S = 0.002  # long enough for the server to read what came before a cut


class Failure(Exception):
    """A sequence did not go as written."""


class Server:
    """The program under test: one process for all sequences."""

    def __init__(self, path, arguments):
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [path, "--half-close", "--cores", "1", "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE, stderr=self.stderr, stdin=subprocess.DEVNULL)
        self.address = None
        timer = threading.Timer(START_S, self.process.kill)
        timer.start()
        for line in self.process.stdout:
            word = b"listening on http://"
            if word in line:
                host = line[line.index(word) + len(word):].split()[0].decode()
                self.address = (host.rpartition(":")[0], int(host.rpartition(":")[2]))
                break
        timer.cancel()
        if self.address is None:
            raise SystemExit(f"{path} did not say where it listens:\n{self.complaints()}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def complaints(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def stop(self):
        """A clean end, or why it was not one."""
        if self.process.poll() is not None:
            code = self.process.returncode
            return f"the server ended by itself with {code}:\n{self.complaints()}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"the server did not end within {STOP_S} s of SIGTERM:\n{self.complaints()}"
        told = self.complaints()
        if code != 0 or "Sanitizer" in told or "runtime error" in told or "assertion" in told:
            return f"the server ended with {code}:\n{told}"
        return None


class Connection:
    """One TCP connection to the server, with one deadline for all that happens on it."""

    def __init__(self, address, deadline_s):
        self.socket = socket.create_connection(address, timeout=deadline_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.ended = False

    def close(self):
        self.socket.close()

    def send(self, pieces, pause_s):
        """Send what can be sent: the server may answer and close before it has read everything."""
        try:
            for index, piece in enumerate(pieces):
                if index > 0 and pause_s > 0:
                    threading.Event().wait(pause_s)
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def half_close(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def receive(self):
        """More bytes, or the end. A reset is a fault, but where an answer may be cut off."""
        try:
            got = self.socket.recv(RECEIVE_BYTES)
        except socket.timeout:
            raise Failure("nothing more came before the deadline") from None
        self.ended = got == b""
        self.received += got

    def expect(self, expected):
        """Receive exactly `expected`, which may go on behind it."""
        while True:
            used, problem = expected.match(self.received)
            if problem:
                raise Failure(f"{problem}\n  expected: {expected}\n  received: {self.received!r}")
            if used is not None:
                self.received = self.received[used:]
                return
            if self.ended:
                raise Failure(f"closed too early\n  expected: {expected}\n"
                              f"  received: {self.received!r}")
            try:
                self.receive()
            except Failure as failure:
                raise Failure(f"{failure}\n  expected: {expected}\n"
                              f"  received: {self.received!r}") from None

    def expect_cut_off(self, expected):
        """Receive some part of `expected`, never all of it, and the end: a reset is fine too."""
        while not self.ended:
            try:
                self.receive()
            except ConnectionResetError:
                break
        used, problem = expected.match(self.received)
        if problem or used is not None:
            raise Failure(f"{problem or 'a whole answer'}\n  expected a part of: {expected}\n"
                          f"  received: {self.received!r}")

    def expect_end(self):
        while not self.ended and not self.received:
            self.receive()
        if self.received:
            raise Failure(f"bytes that were not expected: {self.received!r}")


def cut(data, way):
    """The pieces in which `data` is sent."""
    if way == "bytes":
        return [data[i:i + 1] for i in range(len(data))]
    if isinstance(way, int) and 0 < way < len(data):
        return [data[:way], data[way:]]
    return [data] if data else []


def play(sequence, address, way):
    """Play `sequence` once. `way`: "whole", "bytes", or the offset of a cut over all sends."""
    connection = Connection(address, sequence.deadline_s)
    offset = 0
    try:
        for kind, what in sequence.steps:
            if kind == "send":
                place = way - offset if isinstance(way, int) else way
                connection.send(cut(what, place), CUT_PAUSE_S if isinstance(way, int) else 0)
                offset += len(what)
            elif kind == "expect":
                connection.expect(what)
            elif kind == "cut-off":
                connection.expect_cut_off(what)
            elif kind == "half-close":
                connection.half_close()
            elif kind == "close":
                connection.expect_end()
            elif kind == "open":
                probe, answer = sequence.probe
                connection.send([probe], 0)
                connection.expect(answer)
                if connection.received:
                    raise Failure(f"bytes that were not expected: {connection.received!r}")
    finally:
        connection.close()


def play_truncated(sequence, address, length):
    """Send the last send's first `length` bytes and no more. What is before it is played whole."""
    connection = Connection(address, sequence.deadline_s)
    last = max(i for i, (kind, _) in enumerate(sequence.steps) if kind == "send")
    try:
        for kind, what in sequence.steps[:last]:
            if kind == "send":
                connection.send([what], 0)
            elif kind == "expect":
                connection.expect(what)
        connection.send([sequence.steps[last][1][:length]], 0)
        connection.half_close()
        kind, expected = sequence.truncated
        if kind == "cut-off":
            connection.expect_cut_off(expected)
        else:
            connection.expect(expected)
            connection.expect_end()
    finally:
        connection.close()


def ways(sequence):
    """Every way to play `sequence`: a name and a function of the server's address."""
    if sequence.truncated is not None:
        length = [len(what) for kind, what in sequence.steps if kind == "send"][-1]
        for at in range(1, length):
            yield f"truncated to {at}", lambda a, at=at: play_truncated(sequence, a, at)
        return
    yield "whole", lambda a: play(sequence, a, "whole")
    if not sequence.whole_only:
        yield "byte by byte", lambda a: play(sequence, a, "bytes")
    if sequence.split:
        length = sum(len(what) for kind, what in sequence.steps if kind == "send")
        for at in range(1, length):
            yield f"cut at {at}", lambda a, at=at: play(sequence, a, at)


class Again:
    """How often something may still be played again, in all."""

    def __init__(self, left):
        self.left = left
        self.lock = threading.Lock()

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0


def play_way(way, address, again):
    """What went wrong, or None."""
    while True:
        began = time.monotonic()
        try:
            way(address)
            return None
        except (Failure, OSError) as error:
            if time.monotonic() < began + DISTURBED_S or not again.take():
                return error


def run(sequence, address, again):
    """How often `sequence` was played, and what went wrong first."""
    played = 0
    for name, way in ways(sequence):
        played += 1
        error = play_way(way, address, again)
        if error is not None:
            return played, f"{sequence.place}: {sequence.name} ({name}): {error}"
    return played, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="path of the httpshard program")
    parser.add_argument("--argument", action="append", default=[], help="for the server too")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--only", default="", help="play sequences with TEXT in their name or file")
    parser.add_argument("--must-fail", action="store_true",
                        help="succeed if every sequence fails, and the server does not")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    options = parser.parse_args()

    files = options.files or sorted((HERE / "cases").glob("*.wire"))
    try:
        sequences = script.load(HERE / "answers.wire", files)
    except script.ScriptError as error:
        raise SystemExit(str(error)) from None
    sequences = [s for s in sequences if options.only in s.name or options.only in s.place]
    if options.list:
        for sequence in sequences:
            print(f"{sequence.place}: {sequence.name}")
        return
    if not sequences:
        raise SystemExit("no sequence to play")

    server = Server(os.fspath(options.server), options.argument)
    faults = []
    played = 0
    again = Again(0 if options.must_fail else AGAIN_MAX)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda s: run(s, server.address, again), sequences)
        for sequence, (count, fault) in zip(sequences, results):
            played += count
            if options.must_fail:
                fault = None if fault else f"{sequence.place}: {sequence.name}: did not fail"
            if fault:
                faults.append(fault)
                print(f"FAILED {fault}", flush=True)
    problem = server.stop()
    if problem:
        faults.append(problem)
        print(f"FAILED {problem}")
    print(f"{len(sequences)} sequences, played {played} times: {len(faults)} failed")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
