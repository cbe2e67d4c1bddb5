"""Real HTTP clients against httpshard: right answers, connections kept or not, pipelined or not.
"""
import http.client
import json
import os
import re
import subprocess
import tempfile
import unittest

from program import PATIENCE, patiently, Program, SANITIZE, main, needs, run

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = "Hello, World!"


class ClientCase(unittest.TestCase):
    """One program for all tests of a class; it must end well after them."""

    @classmethod
    def setUpClass(cls):
        cls.program = cls.enterClassContext(Program(cores=2))
        cls.url = cls.program.url

    def tearDown(self):
        self.assertIsNone(self.program.process.poll(), "httpshard has died")


class Curl(ClientCase):
    def curl(self, *words):
        result = run(["curl", "-sS", "--max-time", "300", *words])
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    @needs("curl")
    def test_plaintext(self):
        got = self.curl("-i", f"{self.url}/plaintext").stdout
        head, _, body = got.partition("\n\n")  # text mode has made line ends of CR LF
        self.assertEqual(body, TEXT)
        self.assertTrue(head.startswith("HTTP/1.1 200 "), head)
        self.assertRegex(head, r"(?im)^content-type: text/plain")
        self.assertRegex(head, r"(?im)^content-length: 13$")
        self.assertRegex(head, r"(?im)^date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    @needs("curl")
    def test_json(self):
        got = self.curl(f"{self.url}/json", "-w", "\n%{content_type}").stdout
        body, content_type = got.rsplit("\n", 1)
        self.assertEqual(json.loads(body), {"message": TEXT})
        self.assertTrue(content_type.startswith("application/json"), content_type)

    @needs("curl")
    def test_health(self):
        self.assertEqual(self.curl(f"{self.url}/healthz", "-w", "%{http_code}").stdout[-3:], "200")

    @needs("curl")
    def test_unknown_path_is_404(self):
        got = self.curl(f"{self.url}/nowhere", "-o", "/dev/null", "-w", "%{http_code}").stdout
        self.assertEqual(got, "404")

    @needs("curl")
    def test_one_connection_serves_many_requests(self):
        got = self.curl("-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n",
                        f"{self.url}/plaintext?[1-20]").stdout.split()
        self.assertEqual(got[0::2], ["1"] + ["0"] * 19)
        self.assertEqual(got[1::2], ["200"] * 20)

    @needs("curl")
    def test_connection_close_is_obeyed(self):
        got = self.curl("-o", "/dev/null", "-H", "Connection: close", "-w",
                        "%{num_connects} %{http_code}\n", f"{self.url}/plaintext?[1-3]").stdout
        self.assertEqual(got, "1 200\n" * 3)

    @needs("curl")
    def test_head_has_no_body(self):
        got = self.curl("-I", f"{self.url}/plaintext", f"{self.url}/plaintext",
                        "-w", "connects=%{num_connects}\n").stdout
        self.assertEqual(got.count("HTTP/1.1 200"), 2)
        self.assertEqual(re.findall(r"connects=(\d)", got), ["1", "0"])
        self.assertNotIn(TEXT, got)
        self.assertRegex(got, r"(?im)^content-length: 13$")

    @needs("curl")
    def test_http_1_0(self):
        got = self.curl("-0", "-i", f"{self.url}/plaintext").stdout
        self.assertIn(TEXT, got)

    @needs("curl")
    def test_echo_of_a_form(self):
        self.assertEqual(self.curl("-d", "a=1&b=2", f"{self.url}/echo").stdout, "a=1&b=2")

    @needs("curl")
    def test_echo_of_other_methods(self):
        for method in ("PUT", "PATCH", "DELETE"):
            got = self.curl("-X", method, "-d", method, f"{self.url}/echo").stdout
            self.assertEqual(got, method)

    @needs("curl")
    def test_expect_100_continue(self):
        got = self.curl("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "300",
                        "-d", "after the go-ahead", f"{self.url}/echo")
        self.assertEqual(got.stdout, "after the go-ahead")
        self.assertIn("< HTTP/1.1 100", got.stderr)

    @needs("curl")
    def test_chunked_upload(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(os.urandom(300_000))
            file.flush()
            got = subprocess.run(
                ["curl", "-sS", "--max-time", "300", "-H", "Transfer-Encoding: chunked",
                 "-T", file.name, f"{self.url}/echo"], capture_output=True, check=False)
            file.seek(0)
            self.assertEqual(got.stdout, file.read())

    @needs("curl")
    def test_delay(self):
        got = self.curl(f"{self.url}/delay/200", "-o", "/dev/null", "-w",
                        "%{http_code} %{time_total}").stdout.split()
        self.assertEqual(got[0], "200")
        self.assertGreaterEqual(float(got[1]), 0.195)


class Wrk(ClientCase):
    def wrk(self, *words):
        """How many a second it gets is the machine's affair; none says nothing."""
        def attempt(seconds):
            result = run(["wrk", "-t1", f"-d{seconds}", "--timeout", str(PATIENCE), *words])
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertNotIn("Non-2xx", result.stdout)
            return None if re.search(r"^ *0 requests in", result.stdout, re.M) else result.stdout

        return patiently(attempt)

    def kept(self, *words):
        self.assertNotIn("Socket errors", self.wrk("-c32", *words))

    @needs("wrk")
    def test_keep_alive(self):
        self.kept(f"{self.url}/plaintext")

    @needs("wrk")
    def test_pipelined_16_deep(self):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write("init = function()\n  local r = wrk.format('GET'):rep(16)\n"
                         "  request = function() return r end\nend\n")
            script.flush()
            self.kept("-s", script.name, f"{self.url}/plaintext")

    @needs("wrk")
    def test_json(self):
        self.kept(f"{self.url}/json")

    @needs("wrk")
    def test_one_request_per_connection(self):
        # wrk takes the close that it asked for as an error of reading.
        self.wrk("-c8", "-H", "Connection: close", f"{self.url}/plaintext")

    @needs("wrk")
    def test_delayed_answers(self):
        self.kept(f"{self.url}/delay/5")


class Ab(ClientCase):
    def ab(self, *words):
        result = run(["ab", "-q", "-s", "300", "-n", "3000", "-c", "16", *words])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"Complete requests:\s+3000\n")
        self.assertRegex(result.stdout, r"Failed requests:\s+0\n")
        self.assertNotIn("Non-2xx", result.stdout)
        return result.stdout

    @needs("ab")
    def test_one_request_per_connection(self):
        self.ab(f"{self.url}/plaintext")

    @needs("ab")
    def test_http_1_0_keep_alive(self):
        self.assertRegex(self.ab("-k", f"{self.url}/plaintext"),
                         r"Keep-Alive requests:\s+3000\n")

    @needs("ab")
    def test_posts(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("x" * 5000)
            file.flush()
            got = self.ab("-k", "-p", file.name, "-T", "text/plain", f"{self.url}/echo")
            self.assertRegex(got, r"Document Length:\s+5000 bytes")


class Hey(ClientCase):
    def hey(self, *words):
        result = run(["hey", "-t", "0", "-n", "2000", "-c", "20", *words])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"\[200\]\s+2000 responses")
        self.assertNotIn("Error distribution", result.stdout)

    @needs("hey")
    def test_keep_alive(self):
        self.hey(f"{self.url}/plaintext")

    @needs("hey")
    def test_one_request_per_connection(self):
        self.hey("-disable-keepalive", f"{self.url}/plaintext")

    @needs("hey")
    def test_posts(self):
        self.hey("-m", "POST", "-d", "some text", f"{self.url}/echo")


class PythonClient(ClientCase):
    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.program.port, timeout=300)

    def test_many_requests_on_one_connection(self):
        conn = self.connect()
        conn.connect()
        sock = conn.sock
        for _ in range(200):
            conn.request("GET", "/plaintext")
            answer = conn.getresponse()
            self.assertEqual((answer.status, answer.read()), (200, TEXT.encode()))
            self.assertIs(conn.sock, sock, "the connection was not kept")
        conn.close()

    def test_close(self):
        for _ in range(20):
            conn = self.connect()
            conn.request("GET", "/plaintext", headers={"Connection": "close"})
            answer = conn.getresponse()
            self.assertEqual(answer.read(), TEXT.encode())
            self.assertTrue(answer.will_close)
            conn.close()

    def test_chunked_post(self):
        conn = self.connect()
        parts = [os.urandom(size) for size in (1, 4096, 70_000, 3)]
        conn.request("POST", "/echo", body=iter(parts), encode_chunked=True,
                     headers={"Transfer-Encoding": "chunked"})
        self.assertEqual(conn.getresponse().read(), b"".join(parts))
        conn.close()

    def test_head_then_get(self):
        conn = self.connect()
        conn.request("HEAD", "/plaintext")
        answer = conn.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, b""))
        conn.request("GET", "/plaintext")
        self.assertEqual(conn.getresponse().read(), TEXT.encode())
        conn.close()


class Node(ClientCase):
    def node(self, mode):
        result = run(["node", os.path.join(HERE, "client.js"), str(self.program.port), mode])
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    @needs("node")
    def test_agent_keeps_connections(self):
        got = self.node("keep")
        self.assertEqual(got["wrong"], 0)
        self.assertEqual(got["answers"], 300)
        self.assertLessEqual(got["sockets"], 4)

    @needs("node")
    def test_agent_without_keep_alive(self):
        got = self.node("close")
        self.assertEqual(got["wrong"], 0)
        self.assertEqual(got["answers"], 300)
        self.assertEqual(got["sockets"], 300)

    @needs("node")
    def test_fetch(self):
        got = self.node("fetch")
        self.assertEqual(got["wrong"], 0)
        self.assertEqual(got["answers"], 300)


class Raw(ClientCase):
    """What no client library sends, and every server meets."""

    def test_16_in_one_write_are_answered_in_order(self):
        with self.program.connect() as conn:
            conn.send(b"".join(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n%02d"
                               % number for number in range(16)))
            for number in range(16):
                self.assertEqual(conn.answer().body, b"%02d" % number)
            self.assertEqual(conn.get("/plaintext").body, TEXT.encode())

    def test_a_slow_answer_keeps_its_place(self):
        with self.program.connect() as conn:
            conn.send(b"GET /delay/150 HTTP/1.1\r\nHost: t\r\n\r\n"
                      b"GET /json HTTP/1.1\r\nHost: t\r\n\r\n"
                      b"GET /delay/1 HTTP/1.1\r\nHost: t\r\n\r\n"
                      b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
            conn.answer()
            self.assertEqual(json.loads(conn.answer().body), {"message": TEXT})
            conn.answer()
            self.assertEqual(conn.answer().body, TEXT.encode())

    def test_a_byte_at_a_time(self):
        with self.program.connect() as conn:
            for byte in b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nbytes":
                conn.send(bytes([byte]))
            self.assertEqual(conn.answer().body, b"bytes")

    def test_close_ends_a_pipeline(self):
        with self.program.connect() as conn:
            conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n"
                      b"GET /plaintext HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
                      b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertFalse(conn.answer().closes())
            self.assertTrue(conn.answer().closes())
            self.assertTrue(conn.ended())

    def test_half_closed_client_gets_its_answer(self):
        with Program("--half-close", cores=2) as program, program.connect() as conn:
            conn.send(b"GET /delay/50 HTTP/1.1\r\nHost: t\r\n\r\n")
            conn.sock.shutdown(1)
            self.assertEqual(conn.answer().status, 200)
            self.assertTrue(conn.ended())

    def test_a_client_that_ends_its_side_cancels_what_waits(self):
        with self.program.connect() as conn:
            conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n"
                      b"GET /delay/600000 HTTP/1.1\r\nHost: t\r\n\r\n")
            conn.sock.shutdown(1)
            self.assertEqual(conn.answer().body, TEXT.encode())
            self.assertTrue(conn.ended())

    def test_nonsense_is_a_400_and_a_closed_connection(self):
        with self.program.connect() as conn:
            conn.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            answer = conn.answer()
            self.assertEqual(answer.status, 400)
            self.assertTrue(answer.closes())
            self.assertTrue(conn.ended())

    @unittest.skipIf(SANITIZE == "tsan", "thousands of connections take too long under TSan")
    def test_3000_connections_that_come_and_go(self):
        for _ in range(30):
            conns = [self.program.connect() for _ in range(100)]
            for conn in conns[::2]:
                conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
            for conn in conns[::4]:
                conn.close()  # with an answer on its way
            for conn in conns[2::4]:
                self.assertEqual(conn.answer().body, TEXT.encode())
            for conn in conns:
                conn.close()


if __name__ == "__main__":
    main()
