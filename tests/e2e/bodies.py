"""Bodies of 0 bytes to 1 GiB, in through /echo and out through /bytes/N and /echo: the same by
SHA-256, and a server whose memory stays flat while they pass.

The largest one is 1 GiB where that takes no more than ten seconds here (or HS_TEST_LONG is set),
else 64 MiB.
"""

import functools
import hashlib
import random
import sys
import threading
import time
import unittest

from program import LONG, Program, SANITIZE, main

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
SMALL = (0, 1, 2, 4095, 4096, 4097, 64 * KIB, MIB, MIB + 1)
# What buffers may add to the server while any body passes, however large.
FLAT_BYTES = 24 * MIB
BLOCK = random.Random(2).randbytes(256 * KIB)


def blocks(size):
    """A body of `size` bytes in which no two blocks are alike, so that none can be mistaken."""
    number = 0
    while size > 0:
        block = number.to_bytes(8, "big") + BLOCK[8:]
        yield memoryview(block)[:min(size, len(block))]
        size -= min(size, len(block))
        number += 1


class Digest:
    """SHA-256 and length of what was seen."""

    def __init__(self):
        self.sha256 = hashlib.sha256()
        self.length = 0

    def add(self, part):
        self.sha256.update(part)
        self.length += len(part)

    def value(self):
        return self.length, self.sha256.hexdigest()


def echo(conn, size, chunked):
    """Send a body and read it back at the same time: digests of both."""
    sent, got = Digest(), Digest()
    failed = []

    def send():
        try:
            for block in blocks(size):
                sent.add(block)
                if chunked:
                    conn.send(b"%x\r\n" % len(block))
                conn.send(block)
                if chunked:
                    conn.send(b"\r\n")
            if chunked:
                conn.send(b"0\r\n\r\n")
        except OSError as error:
            failed.append(error)

    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    conn.send(b"POST /echo HTTP/1.1\r\nHost: t\r\n" + framing + b"\r\n\r\n")
    sender = threading.Thread(target=send)
    sender.start()
    try:
        answer = conn.answer(sink=got.add)
    finally:
        sender.join()
    assert not failed, failed
    assert answer.status == 200, answer.status
    return sent.value(), got.value()


def download(conn, size):
    got = Digest()
    conn.send(f"GET /bytes/{size} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    answer = conn.answer(sink=got.add)
    assert answer.status == 200, answer.status
    return got.value()


def pattern(size):
    """What /bytes/N sends: the sixteen hexadecimal digits, again and again."""
    digest = Digest()
    digits = b"0123456789abcdef" * (16 * KIB)
    while digest.length < size:
        digest.add(memoryview(digits)[:min(size - digest.length, len(digits))])
    return digest.value()


@functools.cache
def largest():
    """1 GiB where this machine and build move it in ten seconds, else 64 MiB."""
    if LONG:
        return GIB
    with Program() as program, program.connect() as conn:
        start = time.monotonic()
        echo(conn, 64 * MIB, False)
        taken = time.monotonic() - start
    return GIB if taken * GIB / (64 * MIB) < 10 else 64 * MIB


class Bodies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.largest = largest()
        print(f"the largest body is {cls.largest / MIB:.0f} MiB", file=sys.stderr)
        cls.program = cls.enterClassContext(Program())

    def setUp(self):
        self.conn = self.program.connect()
        self.addCleanup(self.conn.close)
        # What the first bodies make the server take for good is not this test's.
        echo(self.conn, MIB, False)
        download(self.conn, MIB)
        self.program.peak_reset()
        self.before = self.program.peak_bytes()

    def expect_flat(self):
        grown = self.program.peak_bytes() - self.before
        if SANITIZE:
            return  # the sanitizers' own memory grows
        self.assertLess(grown, FLAT_BYTES, "the server keeps bodies in memory")

    def expect_echo(self, size, chunked):
        sent, got = echo(self.conn, size, chunked)
        self.assertEqual(sent[0], size)
        self.assertEqual(sent, got)

    def test_small_bodies_on_one_connection(self):
        for chunked in (False, True):
            for size in SMALL:
                with self.subTest(size=size, chunked=chunked):
                    self.expect_echo(size, chunked)

    def test_small_downloads_on_one_connection(self):
        for size in SMALL:
            with self.subTest(size=size):
                self.assertEqual(download(self.conn, size), pattern(size))

    def test_large_echo_with_a_length(self):
        self.expect_echo(self.largest, False)
        self.expect_flat()

    def test_large_echo_in_chunks(self):
        self.expect_echo(self.largest, True)
        self.expect_flat()

    def test_large_download(self):
        self.assertEqual(download(self.conn, self.largest), pattern(self.largest))
        self.expect_flat()

    def test_a_reader_that_waits_does_not_fill_the_server(self):
        size = 64 * MIB
        self.conn.send(f"GET /bytes/{size} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        time.sleep(1)
        self.expect_flat()
        got = Digest()
        self.conn.answer(sink=got.add)
        self.assertEqual(got.value(), pattern(size))

    def test_a_writer_that_does_not_read_is_held_back(self):
        size = 256 * MIB
        self.conn.sock.settimeout(1)
        sent = 0
        self.conn.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
        with self.assertRaises(TimeoutError, msg="the server read all and kept it"):
            for block in blocks(size):
                self.conn.send(block)
                sent += len(block)
        self.expect_flat()

    def test_a_refusal_reaches_a_client_that_is_still_sending(self):
        """RFC 9112 section 9.6, by a client that reads nothing before all is sent, while the shard
        is held up: it finds the head and more than any limit at once."""
        for path, size in ("/nope", 1200 * 1000), ("/nope", 3 * MIB), ("/plaintext", 3 * MIB):
            for _ in range(3):
                with self.program.connect() as busy, self.program.connect() as conn:
                    busy.send(b"GET /burn/150 HTTP/1.1\r\nHost: test\r\n\r\n")
                    conn.send(f"POST {path} HTTP/1.1\r\nHost: test\r\n"
                              f"Content-Length: {size}\r\n\r\n".encode())
                    for block in blocks(size):
                        conn.send(block)
                    answer = conn.answer()
                    self.assertEqual(answer.status, 404 if path == "/nope" else 405)
                    self.assertTrue(answer.closes())
                    self.assertTrue(conn.ended())
                    self.assertEqual(busy.answer().body, b"burnt\n")

    def test_several_at_once(self):
        results = []

        def one(number):
            with self.program.connect() as conn:
                sent, got = echo(conn, 8 * MIB + number, number % 2 == 0)
                results.append(sent == got)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [True] * 8)


if __name__ == "__main__":
    main()
