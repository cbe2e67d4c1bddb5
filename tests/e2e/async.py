"""Handlers that wait: what else happens meanwhile, and what a stop does to them.

The server is app/examples/async.c: /wait/N answers when somebody posts to /call/N, so that each
test decides itself in which order things happen, on machines of any speed.
"""

import os
import signal
import socket
import struct
import threading
import time
import unittest

import program
from program import main, PATIENCE, Program

EXAMPLE = os.environ.get("HTTPSHARD_ASYNC", "")


class Example(unittest.TestCase):
    def setUp(self):
        self.conns = []

    def start(self, *flags, cores=1):
        server = Program(*flags, cores=cores, path=EXAMPLE)
        self.addCleanup(server.output.close)
        self.addCleanup(server.kill)
        return server

    def ends_well(self, server):
        for conn in self.conns:
            conn.close()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.said())

    def in_flight(self, server, path):
        conn = server.connect()
        self.addCleanup(conn.close)
        self.conns.append(conn)
        conn.send(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        return conn

    def post(self, conn, path):
        conn.send(f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n".encode())
        return conn.answer()

    def call(self, server, number, waiters=1):
        """Call until so many that wait have heard it; each must hear it once."""
        heard = 0
        deadline = time.monotonic() + PATIENCE
        with server.connect() as conn:
            while heard < waiters:
                self.assertLess(time.monotonic(), deadline, f"{heard} of {waiters} wait")
                answer = self.post(conn, f"/call/{number}")
                self.assertEqual(answer.status, 200)
                heard += int(answer.body)
        self.assertEqual(heard, waiters)

    def silent(self, conn):
        """Whether nothing of an answer is there."""
        conn.sock.setblocking(False)
        try:
            return not conn.buffer and not conn.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            conn.sock.settimeout(PATIENCE)


class Waiting(Example):
    def test_a_timer_fires_while_a_request_is_in_flight(self):
        server = self.start()
        waiting = [self.in_flight(server, path) for path in ("/wait/1", "/chain/1")]
        with server.connect() as conn:
            for _ in range(5):
                self.assertEqual(conn.get("/sleep/20").body, b"slept\n")
        self.assertTrue(all(self.silent(conn) for conn in waiting))
        self.call(server, 1, 2)
        for conn in waiting:
            self.assertEqual(conn.answer().body, b"called\n")
        self.ends_well(server)

    def test_two_operations_run_concurrently(self):
        # The second is called first, and hears it: so it was started while the first still waits.
        server = self.start()
        for numbers in ((10, 11), (21, 20)):
            conn = self.in_flight(server, f"/both/{min(numbers)}")
            self.call(server, numbers[0])
            self.assertTrue(self.silent(conn))
            self.call(server, numbers[1])
            self.assertEqual(conn.answer().body, b"both called\n")
        self.ends_well(server)

    def test_a_slow_handler_delays_no_other_connection(self):
        server = self.start()
        slow = [self.in_flight(server, f"/{way}/1") for way in ("wait", "chain") * 50]
        for _ in range(100):
            with server.connect() as conn:
                self.assertEqual(conn.get("/sleep/0").body, b"slept\n")
                self.assertEqual(conn.get("/sleep/1").body, b"slept\n")
        self.assertTrue(all(self.silent(conn) for conn in slow))
        self.call(server, 1, 100)
        for conn in slow:
            self.assertEqual(conn.answer().body, b"called\n")
        self.ends_well(server)

    def test_what_computes_for_long_delays_no_other_connection(self):
        server = self.start()
        # More of it where the machine held up the others.
        for numbers, primes in ((2_000_000, 148_933), (10_000_000, 664_579)):
            slow = self.in_flight(server, f"/primes/{numbers}")
            for _ in range(20):
                with server.connect() as conn:
                    self.assertEqual(conn.get("/sleep/0").body, b"slept\n")
            alone = self.silent(slow)
            self.assertEqual(slow.answer().body, b"%d\n" % primes)
            if alone:
                break
        self.assertTrue(alone, f"others took longer than {numbers} numbers")
        with server.connect() as conn:
            self.assertEqual(conn.get("/primes/100").body, b"25\n")
        self.ends_well(server)

    def test_calls_reach_every_shard(self):
        server = self.start(cores=2)
        waiting = [self.in_flight(server, "/wait/3") for _ in range(64)]
        self.call(server, 3, 64)
        for conn in waiting:
            self.assertEqual(conn.answer().status, 200)
        self.ends_well(server)

    def test_stacks_of_another_size(self):
        for kib in (16, 4096):
            with self.subTest(kib=kib):
                server = self.start(f"--fiber-stack={kib}")
                with server.connect() as conn:
                    self.assertEqual(conn.get("/sleep/1").body, b"slept\n")
                self.ends_well(server)

    def test_whoever_leaves_is_forgotten(self):
        server = self.start()
        for path in ("/wait/4", "/chain/4", "/both/4"):
            # A reset: who only closes its own side may still read an answer.
            conn = self.in_flight(server, path)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            conn.close()
        stays = self.in_flight(server, "/wait/4")
        deadline = time.monotonic() + PATIENCE
        with server.connect() as conn:
            while self.silent(stays):
                self.assertLess(time.monotonic(), deadline)
                self.post(conn, "/call/4")
        self.assertEqual(stays.answer().body, b"called\n")
        # Whoever were still there would keep the drain, which takes five minutes at most.
        self.ends_well(server)

    def test_a_time_limit(self):
        server = self.start()
        with server.connect() as conn:
            self.assertEqual(conn.get("/first/5").status, 504)
        conn = self.in_flight(server, "/wait/5")
        self.call(server, 5)
        self.assertEqual(conn.answer().status, 200)
        self.ends_well(server)

    def test_what_is_no_number(self):
        server = self.start()
        with server.connect() as conn:
            for path in ("/wait/x", "/both/", "/chain/-1", "/sleep/60001", "/call"):
                self.assertEqual(conn.get(path).status, 404, path)
        self.ends_well(server)


class Stop(Example):
    """A stop under load leaves nothing behind: each request has one end, and so has the process.

    Under sanitizers the server ends with an error where memory is left, or touched when it is gone.
    """

    def load(self, server, halt, ends):
        """Ask until the server is gone; `ends` counts whole answers and broken ones."""
        paths = ("/sleep/0", "/sleep/3", "/first/7", "/wait/x")
        number = 0
        while not halt.is_set():
            try:
                with server.connect() as conn:
                    for _ in range(20):
                        number += 1
                        answer = conn.get(paths[number % len(paths)])
                        ends.append(answer.status)
                        if answer.closes():
                            break
            except ConnectionRefusedError:
                return  # it listens no more
            except (EOFError, ConnectionResetError, BrokenPipeError):
                ends.append(0)

    def stop_under_load(self, cores, drain, waiters):
        server = self.start("--drain", str(drain), cores=cores)
        halt, ends, clients = threading.Event(), [], []
        waiting = [self.in_flight(server, f"/{way}/9") for way in ("wait", "chain", "both")
                   for _ in range(waiters)]
        for _ in range(8):
            clients.append(threading.Thread(target=self.load, args=(server, halt, ends)))
            clients[-1].start()
        try:
            with server.connect() as conn:
                while len(ends) < 200:
                    self.assertEqual(conn.get("/sleep/1").status, 200)
            for conn in waiting:
                conn.was_read()
            server.signal(signal.SIGTERM)
            status = server.wait()
        finally:
            halt.set()
            for client in clients:
                client.join()
        said = server.said()
        for conn in waiting:
            with self.assertRaises(ConnectionResetError):  # nothing that looks like an end
                conn.answer()
        self.assertTrue(set(ends) <= {0, 200, 404, 504}, set(ends))
        return status, ends, said

    def test_stop_under_load_leaves_nothing_behind(self):
        for cores in (1, 2):
            with self.subTest(cores=cores):
                status, ends, said = self.stop_under_load(cores, PATIENCE, 0)
                self.assertEqual(status, 0, said)
                self.assertNotIn(" error ", said)

    def test_what_waits_for_ever_is_cut_off_and_told(self):
        for cores in (1, 2):
            with self.subTest(cores=cores):
                status, _, said = self.stop_under_load(cores, 1, 20)
                self.assertEqual(status, 3, said)
                self.assertRegex(said, r"\b6[0-8] requests? ")  # and what else was on its way
                self.assertNotIn(" error ", said)


if __name__ == "__main__":
    program.PROGRAM = EXAMPLE
    main()
