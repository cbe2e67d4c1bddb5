"""All hostile clients at once, and well-behaved ones beside them that get every answer, right.

Each kind of hostile client is a class with a step that never waits: connections that never read,
that reset, end their side, trickle, send garbage, break off handshakes, or stop in an upload. They
are replaced when the server ends them. A second or two by default, twenty minutes in a long run.
What the good ones waited is printed: how fast a machine is decides no test.
"""

import contextlib
import multiprocessing
import random
import socket
import struct
import sys
import threading
import time
import unittest

import tls_replies
from program import Connection, LISTENING, LONG, main, PATIENCE, Program, SANITIZE
from tls import make_certs, pair

SECONDS = 600 if LONG else 3  # on each backend
EACH = 30 if SANITIZE else 60 if not LONG else 100
FORK = multiprocessing.get_context("fork")
RETURN_BYTES = 24 << 20  # the receive buffers of two shards, which stay until a quiet second
GET = b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000\r\n\r\n"
HELLO = bytes.fromhex("160301003a010000360303") + bytes(range(32)) + bytes.fromhex(
    "000002130101000000")


class Hostile:
    """A client of one kind; `step` does a little, and opens a new connection where it has none."""

    tls = False  # whether it speaks to the TLS port

    def __init__(self, ports, rng):
        self.port = ports[self.tls]
        self.rng = rng
        self.sock = None
        self.at = 0

    def open(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", self.port))
        self.sock.setblocking(False)
        self.at = 0

    def close(self, reset=False):
        if self.sock is None:
            return
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.sock = None

    def send(self, data):
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def step(self):
        try:
            if self.sock is None:
                self.open()
            self.act()
        except OSError:
            self.close()

    def act(self):
        raise NotImplementedError


class NeverReads(Hostile):
    data = GET * 1500

    def act(self):
        self.at = (self.at + self.send(self.data[self.at:])) % len(self.data)


class LargeNeverReads(NeverReads):
    data = b"GET /bytes/300000 HTTP/1.1\r\nHost: t\r\n\r\n" * 50


class Resets(Hostile):
    def act(self):
        self.send(GET * self.rng.randint(1, 20))
        if self.rng.random() < 0.5:
            self.close(reset=True)


class HalfCloses(Hostile):
    def act(self):
        if self.at == 0:
            self.send(b"GET /delay/300 HTTP/1.1\r\nHost: t\r\n\r\n")
            self.sock.shutdown(socket.SHUT_WR)
        self.at += 1
        if self.at > 20:
            self.close()


class Trickles(Hostile):
    data = b"GET /plaintext HTTP/1.1\r\nHost: t\r\nX-Long: " + b"x" * 500

    def act(self):
        self.at += self.send(self.data[self.at:self.at + 1])


class Uploads(Hostile):
    """Sends a body that is echoed, as fast as it goes, and reads nothing."""

    def act(self):
        if self.at == 0:
            self.at = self.send(POST)
        self.at += self.send(b"u" * 65536)


class StopsInUpload(Hostile):
    def act(self):
        if self.at == 0:
            self.at = self.send(POST + b"half")


class Garbage(Hostile):
    def act(self):
        self.send(self.rng.randbytes(self.rng.randint(1, 2000)))
        if self.rng.random() < 0.2:
            self.close()


class Burns(Hostile):
    """Pipelines requests that each hold the shard for a millisecond."""

    data = b"GET /burn/1 HTTP/1.1\r\nHost: t\r\n\r\n" * 30

    def act(self):
        if self.at == 0:
            self.at = self.send(self.data)
        self.at += 1
        if self.at > len(self.data) + 100:
            self.close()


class BreaksHandshakes(Hostile):
    tls = True

    def act(self):
        if self.at == 0:
            self.at = self.send(HELLO[:self.rng.randint(1, len(HELLO))])
        if self.rng.random() < 0.3:
            self.close(reset=self.rng.random() < 0.5)


class TlsGarbage(Garbage):
    tls = True


class PlainOnTls(NeverReads):
    tls = True


KINDS = (NeverReads, LargeNeverReads, Resets, HalfCloses, Trickles, Uploads, StopsInUpload, Garbage,
         BreaksHandshakes, TlsGarbage, PlainOnTls)


class FloodsKeyUpdates(threading.Thread):
    """Asks for replies over TLS and reads none, again and again, on OpenSSL's library."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError, AssertionError), \
                    socket.create_connection(("127.0.0.1", self.port)) as sock:
                tls_replies.Ssl(sock).flood()


class Good:
    """A client that keeps to the rules, in a process of its own: what it waits for is the server
    alone. `result` has its faults and its waits."""

    def __init__(self, port, path, want):
        self.over = FORK.Event()
        self.results, there = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self.run, args=(port, path, want, there))
        self.process.start()

    def run(self, port, path, want, results):
        conn, faults, waits = None, [], []
        while not self.over.is_set():
            start = time.monotonic()
            try:
                conn = conn or Connection(port)
                answer = conn.get(path)
                if answer.status != 200 or answer.body != want:
                    faults.append(f"{answer.status}, {len(answer.body)} bytes")
            except (EOFError, OSError) as error:
                faults.append(repr(error))
                conn = None
            waits.append(time.monotonic() - start)
            time.sleep(0.002)
        if conn:
            conn.close()
        results.send((faults, waits))

    def result(self):
        self.over.set()
        found = self.results.recv()
        self.process.join()
        return found


class Everything(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        make_certs()

    def attack(self, ports):
        rng = random.Random(0)
        hostile = [kind(ports, rng) for kind in KINDS for _ in range(EACH)]
        hostile += [Burns(ports, rng) for _ in range(2)]
        end = time.monotonic() + SECONDS
        steps = 0
        while time.monotonic() < end or steps < 5:
            for one in hostile:
                one.step()
            steps += 1
        for one in hostile:
            one.close()
        return len(hostile)

    def check(self, io):
        """`io` with every kind, and two good clients."""
        with Program("--io", io, *pair("server"), "--listen-plain", "127.0.0.1:0",
                     cores=2) as server:
            while len(ports := LISTENING.findall(server.said())) < 2:
                time.sleep(0.01)
            tls_port, plain_port = map(int, ports)
            before = tls_replies.resident(server.process.pid)
            with Connection(plain_port) as conn:
                bytes_20000 = conn.get("/bytes/20000").body
            good = [Good(plain_port, "/plaintext", b"Hello, World!"),
                    Good(plain_port, "/bytes/20000", bytes_20000)]
            flood = FloodsKeyUpdates(tls_port)
            if tls_replies.LIB:
                flood.start()
            try:
                count = self.attack({False: plain_port, True: tls_port})
            finally:
                flood.over.set()
                results = [client.result() for client in good]
            if tls_replies.LIB:
                flood.join()
            waits = sorted(wait for _, each in results for wait in each)
            print(f"{io}: {count} hostile clients of {len(KINDS) + 2} kinds, {len(waits)} answers "
                  f"beside them; p99 {1000 * waits[len(waits) * 99 // 100]:.1f} ms, "
                  f"longest {1000 * waits[-1]:.1f} ms", file=sys.stderr)
            self.assertEqual([faults for faults, _ in results], [[], []], server.said()[-3000:])
            self.assertGreater(len(waits), 10)
            self.assertNotIn("assertion", server.said())
            if SANITIZE:  # which keeps freed memory for a while
                return
            deadline = time.monotonic() + PATIENCE
            while (tls_replies.resident(server.process.pid) > before + RETURN_BYTES
                   and time.monotonic() < deadline):
                time.sleep(0.1)
            self.assertLess(tls_replies.resident(server.process.pid), before + RETURN_BYTES)

    def test_on_the_best_backend(self):
        self.check("auto")

    def test_on_epoll(self):
        self.check("epoll")


if __name__ == "__main__":
    main()
