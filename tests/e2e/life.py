"""The program's life: how it starts, what it refuses, how it ends."""

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import program
import tls
from program import Connection, main, needs, PATIENCE, patiently, Program, run, SLOW

TEXT = b"Hello, World!"


def refused(port):
    """Whether connections are refused, now or soon."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            time.sleep(0.01)
        except OSError:
            return True
    return False


def spent(server):
    """Seconds that it has computed for."""
    return sum(seconds for seconds, _ in server.threads().values())


class Stalls(unittest.TestCase):
    """A handler that holds its shard is named."""

    STALL = re.compile(r"warn shard=(\d+) stall: (\S+) held its shard for (\d+) ms.*; stack: (.*)")

    def burn(self, ms, *flags):
        """What the log says of one request for /burn, after the server has stopped."""
        with Program("--drain", str(PATIENCE), *flags, cores=2) as server:
            with server.connect() as conn:
                self.assertEqual(conn.get(f"/burn/{ms}").body, b"burnt\n")
                self.assertEqual(conn.get("/plaintext").body, TEXT)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)
            return self.STALL.findall(server.said())

    def test_the_route_is_named(self):
        # On a busy machine most of the time may not have been the handler's, and whatever else ran
        # while the machine stood still is named as well: then more of it.
        for ms in (100, 1000, 10_000):
            found = self.burn(ms)
            named = [stall for stall in found if stall[1] == "/burn/*" and "burn+0x" in stall[3]]
            if named:
                break
        self.assertTrue(named, found)
        shard, _, held, _ = named[0]
        self.assertIn(int(shard), (0, 1))
        self.assertGreaterEqual(int(held), 10)

    def test_a_longer_limit_lets_it_pass(self):
        self.assertEqual(self.burn(50, "--stall-ms", "60000"), [])

    def test_it_can_be_switched_off(self):
        self.assertEqual(self.burn(300, "--stall-ms=0"), [])


class Drain(unittest.TestCase):
    """SIGTERM: stop accepting, answer what is in flight, leave in time."""

    def start(self, *flags, cores=1):
        server = Program(*flags, cores=cores)
        self.addCleanup(server.kill)
        return server

    def in_flight(self, server, delay_ms, many=1):
        """So many requests that the server has read by now."""
        conns = [server.connect() for _ in range(many)]
        for conn in conns:
            self.addCleanup(conn.close)
            conn.send(f"GET /delay/{delay_ms} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        for conn in conns:
            conn.was_read()
        return conns

    def check_drain(self, number, cores):
        def drain(delay):
            server = self.start("--drain", str(PATIENCE), cores=cores)
            idle = [server.connect() for _ in range(8)]
            for conn in idle[:4]:
                self.assertEqual(conn.get("/plaintext").body, TEXT)
            start = time.monotonic()
            busy = self.in_flight(server, 1000 * delay, 4)
            server.signal(number)
            for conn in idle:
                self.assertTrue(conn.ended())  # the new ones after a second
            self.assertTrue(refused(server.port), "still accepting")
            return (server, busy) if time.monotonic() - start < delay else None

        server, busy = patiently(drain)
        for conn in busy:
            answer = conn.answer()
            self.assertEqual(answer.status, 200)
            self.assertTrue(answer.closes(), answer.fields)
            self.assertTrue(conn.ended())
        self.assertEqual(server.wait(), 0, server.said())

    def test_sigterm_on_one_shard(self):
        self.check_drain(signal.SIGTERM, 1)

    def test_sigterm_on_two_shards(self):
        self.check_drain(signal.SIGTERM, 2)

    def test_sigint(self):
        self.check_drain(signal.SIGINT, 2)

    def test_a_name_is_each_of_its_addresses(self):
        with Program(listen=("localhost:0",)) as server, server.connect() as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)
        got = run([program.PROGRAM, "--listen", "no-such-name.invalid:0"])
        self.assertEqual(got.returncode, 2)
        self.assertIn("--listen: ", got.stderr)

    def test_of_six_that_start_at_once_on_one_port_one_serves(self):
        served = 0
        while served < 3:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            six = [subprocess.Popen(
                [program.PROGRAM, "--cores", "2", "--listen", f"127.0.0.1:{port}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True) for _ in range(6)]
            for process in six:
                self.addCleanup(process.kill)
            # Each says that it listens, or ends.
            serving = [p for p in six if "listening on" in p.stdout.readline()]
            for process in serving:
                process.send_signal(signal.SIGTERM)
            said = [p.communicate(timeout=PATIENCE)[1] for p in six]
            refused_ones = sum("EADDRINUSE" in text for text in said)
            if refused_ones == 6:
                continue  # another program took the port meanwhile
            served += 1
            self.assertEqual(sorted(p.returncode for p in six), [0] + 5 * [1], said)
            self.assertEqual(refused_ones, 5, said)

    def drain_with_new_connections(self):
        """How many of 64 new connections are answered, whose requests are sent just when the server
        drains; None where that took too long: each has a second."""
        server = self.start("--drain", str(PATIENCE), cores=2)
        start = time.monotonic()
        conns = [server.connect() for _ in range(64)]
        server.signal(signal.SIGTERM)
        answered = 0
        for conn in conns:
            self.addCleanup(conn.close)
            try:
                conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
            except ConnectionError:
                pass
        sent = time.monotonic()
        for conn in conns:
            try:
                answered += conn.answer().body == TEXT
            except (EOFError, ConnectionError):
                pass
        self.assertEqual(server.wait(), 0, server.said())
        return answered if sent - start < 0.8 else None

    def test_first_requests_of_new_connections_are_answered(self):
        for _ in range(50):
            answered = self.drain_with_new_connections()
            if answered is not None:
                break
        self.assertEqual(answered, 64)

    def test_a_quiet_server_leaves_at_once(self):
        server = self.start("--drain", str(PATIENCE), cores=2)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.said())

    def test_a_body_on_its_way_is_waited_for(self):
        server = self.start("--drain", str(PATIENCE))
        with server.connect() as conn:
            conn.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nfirst")
            conn.was_read()
            server.signal(signal.SIGTERM)
            time.sleep(0.2 * SLOW)
            conn.send(b"-last")
            answer = conn.answer()
            self.assertEqual(answer.body, b"first-last")
            self.assertTrue(conn.ended())
        self.assertEqual(server.wait(), 0, server.said())

    def test_what_does_not_end_is_cut_at_the_drain_time(self):
        server = self.start("--drain", "1")
        conn, = self.in_flight(server, 600_000)
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 3, server.said())  # tells that requests were cut off
        self.assertGreater(time.monotonic() - start, 0.8)
        with self.assertRaises((EOFError, ConnectionError)):
            conn.answer()

    def test_a_second_signal_ends_the_drain(self):
        server = self.start("--drain", "600")
        self.in_flight(server, 600_000)
        server.signal(signal.SIGTERM)
        # Once it accepts no more it has seen the first: two that wait are one (signal(7)).
        self.assertTrue(refused(server.port), "still accepting")
        self.assertIsNone(server.process.poll(), "the first signal did not wait")
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 3, server.said())

    @needs("wrk")
    def test_under_load_no_answer_is_broken(self):
        server = self.start("--drain", str(PATIENCE), cores=2)
        client = subprocess.Popen(["wrk", "-t1", "-c32", "-d3", f"{server.url}/plaintext"],
                                  stdout=subprocess.PIPE, text=True)
        before = spent(server)
        while spent(server) < before + 0.2 and client.poll() is None:
            time.sleep(0.01)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.said())
        said, _ = client.communicate()
        self.assertNotIn("Non-2xx", said)


class CommandLine(unittest.TestCase):
    def run_program(self, *words, **options):
        return run([program.PROGRAM, *words], **options)

    def test_help(self):
        got = self.run_program("--help")
        self.assertEqual(got.returncode, 0)
        for flag in ("--cores", "--listen", "--drain", "--help", "--version"):
            self.assertIn(flag, got.stdout)

    def test_version(self):
        got = self.run_program("--version")
        self.assertEqual(got.returncode, 0)
        self.assertRegex(got.stdout, r"^httpshard \d+\.\d+\.\d+")

    def test_bad_flags_are_named(self):
        for words in (
                ["--nonsense"],
                ["--cores"],
                ["--cores", "0"],
                ["--cores", "-1"],
                ["--cores", "two"],
                ["--cores", "100000"],
                ["--cores=2x"],
                ["--fiber-stack", "15"],
                ["--fiber-stack=1048577"],
                ["--blocking-threads", "0"],
                ["--listen", "nowhere"],
                ["--listen", "127.0.0.1:99999"],
                ["--listen", "127.0.0.1:"],
                ["--listen", "[::1:80"],
                ["--drain", "soon"],
                ["--drain", "-1"],
                ["--timeout", "0"],
                ["--timeout", "86401"],
                ["extra"]):
            with self.subTest(words=words):
                got = self.run_program(*words)
                self.assertGreater(got.returncode, 0, "accepted, or killed by a signal")
                self.assertIn(words[0].partition("=")[0], got.stderr)
                self.assertEqual(got.stderr.count("\n"), 1, got.stderr)
                self.assertNotIn("listening on", got.stderr + got.stdout)

    def expect_refusal(self, got, *patterns):
        self.assertGreater(got.returncode, 0, got.stderr)
        for pattern in patterns:
            self.assertRegex(got.stderr, pattern)

    def test_port_in_use(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            got = self.run_program("--cores", "2", "--listen", f"127.0.0.1:{port}")
            self.expect_refusal(got, f"127.0.0.1:{port}", "EADDRINUSE|in use")

    def test_port_in_use_by_another_httpshard(self):
        with Program(cores=2) as server:
            got = self.run_program("--cores", "1", "--listen", f"127.0.0.1:{server.port}")
            self.expect_refusal(got, str(server.port), "EADDRINUSE|in use")
            with server.connect() as conn:
                self.assertEqual(conn.get("/plaintext").body, TEXT)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    @needs("setpriv")
    def test_privileged_port_as_nobody(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            if int(file.read()) <= 80:
                self.skipTest("no port is privileged here")
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            copy = shutil.copy(program.PROGRAM, folder)  # the build tree may be closed to nobody
            got = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy,
                       "--listen", "127.0.0.1:80"], cwd=folder)
            self.expect_refusal(got, "127.0.0.1:80", "(?i)privileged|permi")

    def test_an_address_that_is_not_ours(self):
        got = self.run_program("--listen", "192.0.2.1:0")
        self.expect_refusal(got, r"192\.0\.2\.1")


class Timeouts(unittest.TestCase):
    """--timeout: who keeps the server waiting for that long is not waited for."""

    def waits(self, usual, begin, end, *flags):
        """It takes the second that is asked for, and not `usual` seconds, which it has without the
        flag: once in five times, since a machine may be held up."""
        with Program("--timeout", "1", *flags) as server:
            took = usual
            for _ in range(5):
                with server.connect() as conn:
                    begin(conn)
                    start = time.monotonic()
                    end(conn)
                    took = min(took, time.monotonic() - start)
                if took < usual:
                    break
            self.assertLess(took, usual)

    def cut_off(self, conn):
        with contextlib.suppress(ConnectionResetError):  # of a handshake something is unread
            self.assertTrue(conn.ended())

    def test_for_a_head(self):
        self.waits(9, lambda conn: conn.send(b""), self.cut_off)
        self.waits(9, lambda conn: conn.send(b"GET / HTTP/1.1\r\nHo"),
                   lambda conn: self.assertEqual(conn.answer().status, 408))

    def test_for_a_body(self):
        def cut(conn):
            self.assertEqual(conn.head().status, 200)
            self.assertEqual(conn._exactly(2, bytearray().extend), None)
            with self.assertRaises((EOFError, ConnectionError)):
                conn._more()

        post = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n"
        self.waits(9, lambda conn: conn.send(post),
                   lambda conn: self.assertEqual(conn.answer().status, 408))
        self.waits(9, lambda conn: conn.send(post + b"he"), cut)

    def test_between_requests(self):
        self.waits(50, lambda conn: self.assertEqual(conn.get("/plaintext").body, TEXT),
                   self.cut_off)

    @needs("openssl")
    def test_for_a_handshake(self):
        tls.make_certs()
        self.waits(9, lambda conn: conn.send(b"\x16\x03\x01"), self.cut_off,
                   *tls.pair("server"))


class Files(unittest.TestCase):
    """RLIMIT_NOFILE: a clear line where it cannot start, and patience where they run out."""

    def limit(self, files):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    def test_too_few_to_start(self):
        got = run([program.PROGRAM, "--cores", "2", "--listen", "127.0.0.1:0"],
                  preexec_fn=self.limit(8))
        self.assertGreater(got.returncode, 0, "started, or killed by a signal")
        self.assertRegex(got.stderr, "(?i)open files|too many|nofile|ulimit")

    def test_running_out_is_survived(self):
        with Program(preexec=self.limit(128)) as server:
            conns = [server.connect() for _ in range(300)]
            for conn in conns:
                conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
            for conn in conns[:20]:
                self.assertEqual(conn.answer().body, TEXT)
            self.assertTrue(any(self.load(server) < 0.5 for _ in range(20)),
                            "it spins while there are no files")
            for conn in conns:
                conn.close()
            self.assertEqual(self.later(server), TEXT)

    def load(self, server):
        """The part of a fifth of a second that it computes; a stall of the host counts as work,
        so one of several that is less tells that it does not spin."""
        cpu, began = spent(server), time.monotonic()
        time.sleep(0.2)
        return (spent(server) - cpu) / (time.monotonic() - began)

    def later(self, server):
        """The server must come back once files are free: soon."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with server.connect(1) as conn:
                    return conn.get("/plaintext").body
            except (EOFError, OSError):
                if time.monotonic() > deadline:
                    raise


class Shards(unittest.TestCase):
    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "needs two processors")
    def test_both_serve_and_each_is_pinned(self):
        with Program(cores=2) as server:
            before = server.threads()
            conns = [server.connect() for _ in range(200)]
            for _ in range(20):
                for conn in conns:
                    conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
                for conn in conns:
                    self.assertEqual(conn.answer().body, TEXT)
            worked = {}
            for task, (seconds, cpus) in server.threads().items():
                if seconds - before.get(task, (0, ""))[0] > 0.002:
                    worked.setdefault(cpus, []).append(task)
            for conn in conns:
                conn.close()
        pinned = sorted(cpus for cpus in worked if re.fullmatch(r"\d+", cpus))
        self.assertEqual(len(pinned), 2, f"threads that worked, by processor: {worked}")

    def test_two_listeners(self):
        with Program(listen=("127.0.0.1:0", "[::1]:0")) as server:
            for host, port in zip(("127.0.0.1", "::1"), server.ports):
                conn = Connection(port, host=host)
                self.assertEqual(conn.get("/plaintext").body, TEXT)
                conn.close()

    def test_one_noisy_connection_starves_nobody(self):
        # It always has the next requests there, and takes its answers: who is starved waits for
        # ever.
        batch = b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n" * 500
        heard = 0
        with Program() as server, server.connect() as noisy, server.connect() as quiet:
            def ask():
                with contextlib.suppress(OSError):
                    while True:
                        noisy.send(batch)

            def hear():
                nonlocal heard
                with contextlib.suppress(OSError):
                    while part := noisy.sock.recv(1 << 20):
                        heard += len(part)

            threads = [threading.Thread(target=work) for work in (ask, hear)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(50):
                    before, deadline = heard, time.monotonic() + PATIENCE
                    self.assertEqual(quiet.get("/plaintext").body, TEXT)
                    while heard == before:
                        self.assertLess(time.monotonic(), deadline, "nor is the noisy one")
                        time.sleep(0.001)
            finally:
                noisy.sock.shutdown(socket.SHUT_RDWR)
                for thread in threads:
                    thread.join()


if __name__ == "__main__":
    main()
