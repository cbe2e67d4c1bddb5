"""The program on Unix sockets: clients, who may connect, files that are in the way, the end."""
import os
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

import program
from program import Connection, main, needs, PATIENCE, patiently, Program, run

TEXT = "Hello, World!"


class UnixCase(unittest.TestCase):
    """A folder for each test, and the program's socket in it."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="hs-"))
        self.path = os.path.join(self.folder, "s")

    def start(self, *flags, cores=2, listen=None):
        listen = listen or (f"unix:{self.path}",)
        return self.enterContext(Program(*flags, cores=cores, listen=listen))

    def connect(self, path=None):
        return self.enterContext(Connection(0, path=path or self.path))

    def refused(self, *patterns, listen=None):
        got = run([program.PROGRAM, "--cores", "2", "--listen", listen or f"unix:{self.path}"])
        self.assertGreater(got.returncode, 0, "accepted, or killed by a signal")
        said = got.stderr.splitlines()[-1]
        for pattern in patterns:
            self.assertRegex(said, pattern)


class Serving(UnixCase):
    @needs("curl")
    def test_curl(self):
        server = self.start()
        got = run(["curl", "-sS", "--max-time", "300", "--unix-socket", self.path,
                   "http://localhost/plaintext", "http://localhost/json"])
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertEqual(got.stdout, TEXT + '{"message":"Hello, World!"}')
        self.assertIn(f"try: curl -i --unix-socket '{self.path}' 'http://localhost/", server.said())

    @needs("curl")
    def test_curl_on_an_abstract_name(self):
        name = f"hs-e2e-{os.getpid()}"
        server = self.start(listen=(f"unix:@{name}",))
        got = run(["curl", "-sS", "--max-time", "300", "--abstract-unix-socket", name,
                   "http://localhost/plaintext"])
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertEqual(got.stdout, TEXT)
        self.assertIn(f"--abstract-unix-socket '{name}'", server.said())

    @needs("curl")
    def test_bodies_both_ways(self):
        self.start()
        body = os.urandom(1_000_000)
        upload = os.path.join(self.folder, "upload")
        with open(upload, "wb") as file:
            file.write(body)
        got = os.path.join(self.folder, "got")
        result = run(["curl", "-sS", "--max-time", "300", "--unix-socket", self.path, "-o", got,
                      "--data-binary", f"@{upload}", "http://localhost/echo"])
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(got, "rb") as file:
            self.assertEqual(file.read(), body)

    def test_tcp_beside_it(self):
        server = self.start(listen=(f"unix:{self.path}", "127.0.0.1:0"))
        self.assertEqual(self.connect().get("/plaintext").body, TEXT.encode())
        with Connection(server.ports[1]) as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT.encode())

    def test_a_slow_answer_and_quick_ones(self):
        """With two shards each takes its turn, also while answers are awaited."""
        self.start()
        slow = self.connect()
        slow.send(b"GET /delay/300 HTTP/1.1\r\nHost: t\r\n\r\n")
        for _ in range(20):
            with Connection(0, path=self.path) as conn:
                self.assertEqual(conn.get("/plaintext").body, TEXT.encode())
        self.assertEqual(slow.answer().status, 200)

    @unittest.skipIf(program.SANITIZE == "tsan", "takes too long under TSan")
    def test_2000_connections_that_come_and_go(self):
        self.start()
        for _ in range(20):
            conns = [Connection(0, path=self.path) for _ in range(100)]
            for conn in conns[::2]:
                conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
            for conn in conns[::4]:
                conn.close()  # with an answer on its way
            for conn in conns[2::4]:
                self.assertEqual(conn.answer().body, TEXT.encode())
            for conn in conns:
                conn.close()


class Names(UnixCase):
    def mode(self):
        return stat.S_IMODE(os.stat(self.path).st_mode)

    def test_only_the_owner_may_connect(self):
        self.start()
        self.assertEqual(self.mode(), 0o600)

    def test_the_mode_is_a_flag(self):
        before = os.umask(0o077)
        try:
            self.start("--unix-mode", "0666")
        finally:
            os.umask(before)
        self.assertEqual(self.mode(), 0o666)

    def test_bad_modes(self):
        for mode in ("0", "666x", "0888", "1777", "", "rw"):
            got = run([program.PROGRAM, "--listen", f"unix:{self.path}", "--unix-mode", mode])
            self.assertEqual(got.returncode, 2, mode)
            self.assertIn("--unix-mode", got.stderr)

    def test_an_abandoned_socket_is_replaced(self):
        server = Program(listen=(f"unix:{self.path}",))
        server.kill()
        server.output.close()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path).st_mode))
        # Its ring may still hold it; a kernel that is held up takes longer than a start waits.
        for last in range(10, -1, -1):
            try:
                self.start()
                break
            except AssertionError as error:
                if last == 0 or "EADDRINUSE" not in str(error):
                    raise
        self.assertEqual(self.connect().get("/plaintext").body, TEXT.encode())

    def test_one_in_use_is_not(self):
        self.start()
        self.refused("cannot listen on unix:", "EADDRINUSE", "another process")
        self.assertEqual(self.connect().get("/plaintext").body, TEXT.encode())

    def test_what_is_no_socket_is_left_alone(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        self.refused("EEXIST", "left alone")
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_no_such_folder(self):
        self.refused("ENOENT", "folder", listen=f"unix:{self.folder}/none/s")

    def test_a_name_that_is_too_long(self):
        self.refused("--listen", "107 bytes", listen="unix:/" + "x" * 107)

    def test_a_failed_start_leaves_no_file(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            got = run([program.PROGRAM, "--listen", f"unix:{self.path}",
                       "--listen", f"127.0.0.1:{port}"])
        self.assertEqual(got.returncode, 1, got.stderr)
        self.assertIn("EADDRINUSE", got.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_two_start_at_once(self):
        """One serves, the other says that it cannot."""
        for _ in range(3):
            both = [subprocess.Popen(
                [program.PROGRAM, "--cores", "1", "--listen", f"unix:{self.path}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) for _ in range(2)]
            # The loser ends by itself, maybe before the winner listens; the winner goes on until
            # it is told.
            lines = []
            while not any(p.poll() is not None for p in both):
                try:
                    both[0].wait(0.02)
                except subprocess.TimeoutExpired:
                    pass
            for process in both:
                if process.poll() is None:
                    while b"listening on" not in process.stdout.readline():
                        self.assertIsNone(process.poll())
                    with Connection(0, path=self.path) as conn:
                        self.assertEqual(conn.get("/plaintext").body, TEXT.encode())
                    process.send_signal(signal.SIGTERM)
                lines.append(process.communicate(timeout=PATIENCE)[1].decode())
            self.assertEqual(sorted(p.returncode for p in both), [0, 1], lines)
            self.assertEqual(os.listdir(self.folder), [])


class Ending(UnixCase):
    def test_the_file_goes_when_it_stops_accepting(self):
        def drain(delay):
            server = self.start("--drain", str(PATIENCE))
            idle = self.connect()
            busy = self.connect()
            start = time.monotonic()
            busy.send(f"GET /delay/{1000 * delay} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            busy.was_read()
            self.assertEqual(idle.get("/plaintext").status, 200)
            server.signal(signal.SIGTERM)
            self.assertTrue(idle.ended())
            while os.path.exists(self.path) and time.monotonic() < start + delay:
                time.sleep(0.01)
            gone = os.listdir(self.folder) == [] and server.process.poll() is None
            if gone and time.monotonic() < start + delay:
                return server, busy
            server.wait()
            return None

        server, busy = patiently(drain)
        answer = busy.answer()
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.closes())
        self.assertEqual(server.wait(), 0, server.said())
        self.assertEqual(os.listdir(self.folder), [])

    def test_anothers_file_stays(self):
        server = self.start()
        os.unlink(self.path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            other.listen()
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.said())
            self.assertTrue(stat.S_ISSOCK(os.stat(self.path).st_mode))


if __name__ == "__main__":
    main()
