"""The examples that fetch: a reverse proxy that streams both ways, and one request that asks four
others at once. Their upstream is httpshard itself, or a server that a test scripts."""

import json
import os
import signal
import socket
import threading
import time
import unittest

import backends
from bodies import FLAT_BYTES, GIB, MIB, download, echo, pattern
from program import LONG, PATIENCE, SANITIZE, Program, main, needs, run

PROXY = os.environ.get("HTTPSHARD_PROXY", "")
FANOUT = os.environ.get("HTTPSHARD_FANOUT", "")
TEXT = b"Hello, World!"


def before(upstream, path):
    """An example with an upstream behind it."""
    return Program(path=path, env={**os.environ, "UPSTREAM": upstream})


class Proxy(unittest.TestCase):
    def setUp(self):
        self.upstream = self.enterContext(Program())
        self.proxy = self.enterContext(before(self.upstream.url, PROXY))

    def test_a_small_answer_and_what_is_said_of_it(self):
        with self.proxy.connect() as conn:
            answer = conn.get("/plaintext")
            self.assertEqual((answer.status, answer.body), (200, TEXT))
            self.assertEqual(answer.fields["content-length"], "13")
            self.assertEqual(answer.fields["via"], "1.1 httpshard")
            self.assertEqual(conn.get("/nowhere").status, 404)
            self.assertEqual(conn.get("/json").status, 200)

    def test_bodies_of_every_size_both_ways(self):
        with self.proxy.connect() as conn:
            for size in (0, 1, 100_000, 100 * MIB if LONG else 3 * MIB):
                for chunked in (False, True):
                    with self.subTest(size=size, chunked=chunked):
                        sent, got = echo(conn, size, chunked)
                        self.assertEqual(sent[0], size)
                        self.assertEqual(sent, got)

    def test_the_memory_stays_flat(self):
        size = GIB if LONG else 64 * MIB
        with self.proxy.connect() as conn:
            echo(conn, MIB, False)
            download(conn, MIB)
            self.proxy.peak_reset()
            before_it = self.proxy.peak_bytes()
            self.assertEqual(download(conn, size), pattern(size))
            sent, got = echo(conn, size, False)
            self.assertEqual(sent, got)
        if not SANITIZE:
            self.assertLess(self.proxy.peak_bytes() - before_it, FLAT_BYTES)

    def test_a_system_without_roots_of_certificates(self):
        if not backends.have_filters():
            self.skipTest("this machine has no seccomp filters")
        with Program(path=PROXY, prefix=(backends.DENY, "access=ENOENT"),
                     env={**os.environ, "UPSTREAM": self.upstream.url}) as proxy:
            with proxy.connect() as conn:
                self.assertEqual(conn.get("/plaintext").body, TEXT)

    def test_head(self):
        with self.proxy.connect() as conn:
            conn.send(b"HEAD /bytes/100 HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(conn.answer("HEAD").status, 200)

    @needs("curl")
    def test_curl(self):
        got = run(["curl", "-sS", "--max-time", "300", self.proxy.url + "/plaintext",
                   self.proxy.url + "/bytes/3"])
        self.assertEqual((got.returncode, got.stdout), (0, TEXT.decode() + "012"))

    def test_a_hang_up_reads_the_names_files_again_and_ends_nothing(self):
        for _ in range(2):
            self.proxy.signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while "reads resolv.conf and hosts again" not in self.proxy.said():
            self.assertLess(time.monotonic(), deadline, self.proxy.said())
            time.sleep(0.01)
        with self.proxy.connect() as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)
        # One that has nothing to read again ends as at SIGTERM.
        with Program() as plain:
            plain.signal(signal.SIGHUP)
            self.assertEqual(plain.wait(), 0)

    def test_a_client_that_leaves_leaves_nothing_behind(self):
        with self.proxy.connect() as conn:
            conn.send(b"GET /bytes/1000000000 HTTP/1.1\r\nHost: t\r\n\r\n")
            conn.head()
        with self.proxy.connect() as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)
        # Both must come to their end in time after this: see Program.__exit__.


class BadUpstreams(unittest.TestCase):
    def answer_with(self, raw):
        """What the proxy answers before an upstream that says `raw` and closes."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def serve():
                conn, _ = listener.accept()
                with conn:
                    conn.recv(65536)
                    conn.sendall(raw)
            thread = threading.Thread(target=serve)
            thread.start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with before(url, PROXY) as proxy, proxy.connect() as conn:
                try:
                    return conn.get("/x")
                finally:
                    conn.close()
                    thread.join()

    def test_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with before(f"http://127.0.0.1:{free.getsockname()[1]}", PROXY) as proxy:
                with proxy.connect() as conn:
                    self.assertEqual(conn.get("/x").status, 502)

    def test_no_http(self):
        self.assertEqual(self.answer_with(b"hello\r\n\r\n").status, 502)

    def test_no_answer(self):
        self.assertEqual(self.answer_with(b"").status, 502)

    def test_a_body_that_is_cut_off_cuts_off_ours(self):
        with self.assertRaises((EOFError, ConnectionError)):
            self.answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")

    def test_what_is_of_one_connection_stays_there(self):
        answer = self.answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: x\r\n"
                                  b"Connection: close, x-own\r\nX-Own: 1\r\nX-Ours: 2\r\n"
                                  b"Connection: x-mine\r\nX-Mine: 3\r\n\r\nok")
        self.assertEqual((answer.body, answer.fields.get("x-ours")), (b"ok", "2"))
        self.assertNotIn("x-own", answer.fields)
        self.assertNotIn("x-mine", answer.fields)
        self.assertNotIn("keep-alive", answer.fields)


    def test_what_the_client_takes_is_passed_on_as_it_must_be(self):
        answer = self.answer_with(b"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2, 2\n"
                                  b"X-Folded: a\n b\nX-Blank : c\nNot a field\nX-Bell: \x07\n\nok")
        self.assertEqual((answer.status, answer.body), (200, b"ok"))
        self.assertEqual(answer.fields["content-length"], "2")
        self.assertEqual(answer.fields["x-folded"], "a  b")
        self.assertEqual(answer.fields["x-blank"], "c")
        self.assertNotIn("x-bell", answer.fields)

    def test_a_length_that_chunks_override_is_not_passed_on(self):
        answer = self.answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
                                  b"Transfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n")
        self.assertEqual((answer.status, answer.body), (200, b"ok"))
        self.assertNotIn("content-length", answer.fields)

    def test_a_status_that_is_none(self):
        answer = self.answer_with(b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(answer.status, 502)


class Fanout(unittest.TestCase):
    def test_all_are_joined(self):
        with Program() as upstream, before(upstream.url, FANOUT) as server:
            with server.connect() as conn:
                for _ in range(3):
                    joined = json.loads(conn.get("/all").body)
        self.assertEqual(joined["plaintext"], TEXT.decode())
        self.assertEqual(json.loads(joined["json"]), {"message": "Hello, World!"})
        self.assertEqual(joined["bytes/16"], "0123456789abcdef")

    def test_a_silent_upstream_holds_up_nobody_else(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with before(url, FANOUT) as server:
                with server.connect() as waits, server.connect() as other:
                    waits.send(b"GET /all HTTP/1.1\r\nHost: t\r\n\r\n")
                    accepted = [silent.accept()[0] for _ in range(4)]  # all four at once
                    self.assertEqual(other.get("/timer").body, b"now\n")
                    for conn in accepted:
                        conn.close()
                    self.assertIsNone(json.loads(waits.answer().body)["plaintext"])

    def test_json_is_read(self):
        with Program() as upstream, before(upstream.url, FANOUT) as server:
            with server.connect() as conn:
                answer = conn.get("/message")
        self.assertEqual((answer.status, answer.body), (200, b"Hello, World!"))

    def test_what_is_no_json_is_told_with_its_place(self):
        cases = [(b'{\n "message": }', b"127.0.0.1: JSON, line 2, column 13: "),
                 (b'{"message": 1}', b"no message"), (b"[]", b"no message")]
        for body, text in cases:
            with self.subTest(body=body), socket.create_server(("127.0.0.1", 0)) as upstream:
                url = f"http://127.0.0.1:{upstream.getsockname()[1]}"
                with before(url, FANOUT) as server, server.connect() as conn:
                    conn.send(b"GET /message HTTP/1.1\r\nHost: t\r\n\r\n")
                    there = upstream.accept()[0]
                    there.recv(4096)
                    there.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
                                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
                    answer = conn.answer()
                    there.close()
                self.assertEqual(answer.status, 502)
                self.assertIn(text, answer.body)

    def test_a_stranger_s_url_leads_to_public_addresses_alone(self):
        with Program() as upstream, before(upstream.url, FANOUT) as server:
            port = upstream.url.rpartition(":")[2]
            with server.connect() as conn:
                for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "0"):
                    with self.subTest(host=host):
                        answer = conn.get(f"/check?http://{host}:{port}/plaintext")
                        self.assertEqual(answer.status, 403)
                self.assertEqual(conn.get("/check?file:///etc/passwd").status, 502)
                # The program's own URLs lead there.
                self.assertEqual(json.loads(conn.get("/all").body)["plaintext"], TEXT.decode())

    def test_exceptions_for_strangers_are_the_program_s(self):
        with Program() as upstream:
            env = {**os.environ, "UPSTREAM": upstream.url, "ALLOW": "127.0.0.1/32"}
            with Program(path=FANOUT, env=env) as server, server.connect() as conn:
                answer = conn.get(f"/check?{upstream.url}/plaintext")
                self.assertEqual((answer.status, answer.body), (200, b"200\n"))


if __name__ == "__main__":
    main()
