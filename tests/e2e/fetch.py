"""`httpshard fetch` as people use it: against the server itself, and against servers that a test
scripts byte by byte."""

import contextlib
import gzip
import hashlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import unittest

import backends
import program
import tls
from program import main, PATIENCE, Program, run

DENY = backends.DENY
TEXT = "Hello, World!"
ECHO = ["-H", "Content-Type: text/plain"]


# Without the proxies of the machine that the tests run on.
ENV = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


# It waits for others as long as a test does: they may be held up.
FETCH = ("fetch", "--connect-timeout", str(PATIENCE))


def fetch(*words, env=None, **options):
    return run([program.PROGRAM, *FETCH, *words], stdin=subprocess.DEVNULL,
               env={**ENV, **(env or {})}, **options)


class Scripted:
    """A server that answers each connection with the next of `answers`, bytes as they are, and
    remembers what it was asked. It ends after each, and waits until the other side has, too: a
    socket that is closed while something is unread resets the connection."""

    def __init__(self, *answers):
        self.answers = answers
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        for answer in self.answers:
            conn, _ = self.listener.accept()
            with conn:
                conn.settimeout(PATIENCE)
                asked = b""
                while b"\r\n\r\n" not in asked:
                    got = conn.recv(65536)
                    if not got:
                        break
                    asked += got
                self.asked.append(asked.decode("latin-1"))
                with contextlib.suppress(ConnectionError):
                    conn.sendall(answer)
                    conn.shutdown(socket.SHUT_WR)
                    while conn.recv(65536):
                        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join(PATIENCE)
        self.listener.close()


class OfOurServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Program(cores=1).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def url(self, path):
        return self.server.url + path

    def fine(self, *words):
        got = fetch(*words)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        return got.stdout

    def test_one(self):
        self.assertEqual(self.fine(self.url("/plaintext")), TEXT)

    def test_bodies_come_in_the_order_of_their_urls(self):
        said = self.fine(self.url("/delay/300"), self.url("/plaintext"), self.url("/delay/1"),
                         self.url("/json"))
        slow, quick = self.fine(self.url("/delay/300")), self.fine(self.url("/delay/1"))
        self.assertEqual(said, slow + TEXT + quick + '{"message":"Hello, World!"}')

    def test_many_more_than_run_at_a_time(self):
        urls = [self.url(f"/bytes/{n}") for n in range(100)]
        self.assertEqual(len(self.fine("--parallel", "3", *urls)), sum(range(100)))

    def test_a_large_body_is_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "body")
            self.assertEqual(self.fine("-o", path, self.url("/bytes/30000000")), "")
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        want = hashlib.sha256(b"0123456789abcdef" * (30000000 // 16)).hexdigest()
        self.assertEqual(digest, want)

    def test_data_is_posted(self):
        self.assertEqual(self.fine("-d", "a=1&b=2", *ECHO, self.url("/echo")), "a=1&b=2")

    def test_data_from_a_file(self):
        with tempfile.NamedTemporaryFile() as file:
            data = "0123456789" * 50000
            file.write(data.encode())
            file.flush()
            self.assertEqual(self.fine("-d", "@" + file.name, *ECHO, self.url("/echo")), data)

    def test_a_file_is_put(self):
        data = "0123456789" * 700000
        with tempfile.NamedTemporaryFile() as file:
            file.write(data.encode())
            file.flush()
            got = fetch("-v", "-T", file.name, "-o", os.devnull, self.url("/there"))
            self.assertIn(f"> PUT {self.url('/there')}\n", got.stderr)
            got = fetch("-T", file.name, "-X", "POST", "-o", os.devnull, "-v", *ECHO,
                        self.url("/echo"), self.url("/echo"))
            self.assertEqual((got.returncode, got.stdout), (0, data))

    def test_files_that_are_no_bodies(self):
        for name in ("/nonexistent", "/"):
            for flag in (["-T", name], ["-d", "@" + name]):
                got = fetch(*flag, self.url("/echo"))
                self.assertEqual((got.returncode, got.stdout), (1, ""))
                self.assertIn(name, got.stderr)

    def test_json_tells_the_timing_of_each(self):
        lines = self.fine("--json", self.url("/plaintext"), self.url("/bytes/5000")).splitlines()
        first, second = (json.loads(line) for line in lines)
        self.assertEqual((first["status"], first["bytes"]), (200, len(TEXT)))
        self.assertEqual((second["url"], second["bytes"]), (self.url("/bytes/5000"), 5000))
        self.assertEqual(set(first["timing_ms"]),
                         {"queue", "resolve", "connect", "tunnel", "tls", "first_byte", "total"})
        self.assertGreater(first["timing_ms"]["total"], 0)

    def test_verbose_shows_the_heads(self):
        got = fetch("-v", "-H", "X-Mine: 1", self.url("/plaintext"))
        self.assertEqual((got.returncode, got.stdout), (0, TEXT))
        self.assertIn("> GET " + self.url("/plaintext"), got.stderr)
        self.assertIn("> X-Mine: 1", got.stderr)
        self.assertRegex(got.stderr, r"(?m)^< HTTP/1\.1 200 OK$")
        self.assertRegex(got.stderr, r"(?mi)^< content-length: 13$")

    def test_a_status_of_failure_is_a_failure_where_asked(self):
        self.assertEqual(fetch(self.url("/nowhere")).returncode, 0)
        got = fetch("--fail", self.url("/nowhere"))
        self.assertEqual(got.returncode, 1)
        self.assertIn("404", got.stderr)

    def test_a_reader_that_leaves_ends_it(self):
        process = subprocess.Popen([program.PROGRAM, "fetch", self.url("/bytes/1000000000")],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENV)
        self.assertEqual(len(process.stdout.read(10)), 10)
        process.stdout.close()
        self.assertNotEqual(process.wait(PATIENCE), 0)

    def test_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            with Program(listen=(f"unix:{path}",)):
                said = self.fine("--unix-socket", path, "http://whatever/plaintext")
        self.assertEqual(said, TEXT)
        got = fetch("--unix-socket", "x" * 300, "http://whatever/")
        self.assertEqual(got.returncode, 1)

    def test_head_has_no_body(self):
        self.assertEqual(self.fine("-X", "HEAD", self.url("/bytes/1000")), "")


class Failures(unittest.TestCase):
    def fails(self, pattern, *words):
        got = fetch(*words)
        self.assertEqual(got.returncode, 1, got.stderr)
        self.assertRegex(got.stderr, pattern)
        return got

    def test_refused(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/"
            self.fails("(?i)refused", url)
            got = fetch("--json", url)
        line = json.loads(got.stdout)
        self.assertEqual((got.returncode, line["error"], line["phase"]),
                         (1, "ECONNREFUSED", "connect"))

    def test_one_that_fails_does_not_stop_the_others(self):
        with socket.socket() as free, Program(cores=1) as server:
            free.bind(("127.0.0.1", 0))
            got = fetch(f"http://127.0.0.1:{free.getsockname()[1]}/", server.url + "/plaintext")
        self.assertEqual((got.returncode, got.stdout), (1, TEXT))

    def test_no_answer_at_all(self):
        with Scripted(b"") as server:
            self.fails(".", server.url)

    def test_what_is_no_http(self):
        with Scripted(b"SSH-2.0-x\r\n") as server:
            self.fails("(?i)protocol|status line", server.url)

    def test_a_body_that_is_cut_off(self):
        with Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345") as server:
            got = self.fails("(?i)end|truncated", server.url)
        self.assertEqual(got.stdout, "12345")

    def test_two_lengths(self):
        with Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12") as s:
            self.fails("(?i)length|protocol", s.url)

    def test_a_bomb(self):
        answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + \
            gzip.compress(bytes(80 << 20))
        with Scripted(answer) as server:
            got = fetch("-o", os.devnull, server.url)
        self.assertEqual(got.returncode, 1)
        self.assertIn("more than 67108864 bytes and than 1000 times its coded size", got.stderr)
        for ratio in ("0", "1100"):
            with Scripted(answer) as server:
                got = fetch("--decode-ratio", ratio, "-o", os.devnull, server.url)
            self.assertEqual((got.returncode, got.stderr), (0, ""))

    def test_no_url(self):
        self.fails(".", "ht!tp://x")

    def test_a_field_that_smuggles(self):
        self.fails("(?i)field|header|rules", "-H", "X: a\r\nY: b", "http://127.0.0.1:9/")

    def test_silence_has_an_end(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            self.fails("(?i)time", "--max-time", "1", url)

    def test_bad_command_lines(self):
        for words in ([], ["-X"], ["--nonsense", "x"], ["-H", "no colon", "http://x/"],
                      ["--redirect", "sideways", "http://x/"], ["--parallel", "0", "http://x/"],
                      ["-o", "a", "-o", "b", "http://x/"],
                      ["-d", "x", "-T", "y", "http://x/"]):
            got = fetch(*words)
            self.assertEqual(got.returncode, 2, words)
            self.assertIn("--help", got.stderr)

    def test_help(self):
        got = fetch("--help")
        self.assertEqual(got.returncode, 0)
        self.assertIn("--json", got.stdout)


class OddResponses(unittest.TestCase):
    """More of them, and what others make of them: tests/unit/http_response_table.h."""

    def test_what_browsers_take(self):
        with Scripted(b"HTTP/1.1 999 Odd\nX: a\n b\x1b[31m\nno field\nContent-Encoding: UTF-8\n"
                      b"Content-Length: 2, 2\n\nok") as server:
            got = fetch("-v", server.url)
        self.assertEqual((got.returncode, got.stdout), (0, "ok"), got.stderr)
        self.assertIn("< HTTP/1.1 999 Odd\n", got.stderr)
        self.assertIn("< X: a  b?[31m\n", got.stderr)  # a terminal is not set on fire

    def test_large_heads(self):
        fields = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(240))
        head = b"HTTP/1.1 200 OK\r\n" + fields
        with Scripted(head + b"\r\nok", head + fields + b"\r\nok") as server:
            got = fetch(server.url)
            self.assertEqual((got.returncode, got.stdout), (0, "ok"), got.stderr)
            got = fetch(server.url)
            self.assertEqual(got.returncode, 1)
            self.assertIn("head too long", got.stderr)


class Redirects(unittest.TestCase):
    MOVED = (b"HTTP/1.1 302 Found\r\nLocation: /next?x\r\nContent-Length: 0\r\n"
             b"Connection: close\r\n\r\n")
    THERE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthere"

    def test_followed(self):
        with Scripted(self.MOVED, self.THERE) as server:
            got = fetch("-d", "x=1", server.url + "/first")
        self.assertEqual((got.returncode, got.stdout), (0, "there"))
        self.assertTrue(server.asked[0].startswith("POST /first HTTP/1.1\r\n"))
        self.assertTrue(server.asked[1].startswith("GET /next?x HTTP/1.1\r\n"))
        self.assertNotIn("content-length", server.asked[1].lower())

    def test_an_error_where_asked(self):
        with Scripted(self.MOVED) as server:
            got = fetch("--redirect", "error", server.url)
        self.assertEqual(got.returncode, 1)
        self.assertRegex(got.stderr, "(?i)redirect")

    def test_manual(self):
        with Scripted(self.MOVED) as server:
            got = fetch("--redirect", "manual", "--json", server.url + "/first")
        self.assertEqual(json.loads(got.stdout)["status"], 302)


class Elsewhere(unittest.TestCase):
    """Virtual hosts, and connections that go elsewhere than the URL says."""

    def setUp(self):
        self.server = self.enterContext(Program())
        self.port = self.server.port

    def fine(self, *words):
        got = fetch(*words)
        self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))

    def test_a_virtual_host(self):
        with Scripted(Redirects.THERE) as server:
            got = fetch("-H", "host:  Virtual.Test:81 ", "-v", server.url)
        self.assertEqual(got.stdout, "there")
        self.assertIn("\r\nHost: Virtual.Test:81\r\n", server.asked[0])
        self.assertEqual(server.asked[0].count("ost:"), 1)
        self.assertIn("> Host: Virtual.Test:81\n", got.stderr)

    def test_resolve(self):
        url = f"http://one.test:{self.port}/plaintext"
        for host in ("one.test", "+one.test", "ONE.test.", "*"):
            self.fine("--resolve", f"{host}:{self.port}:127.0.0.1", url)

    def test_connect_to(self):
        there = f"127.0.0.1:{self.port}"
        self.fine("--connect-to", "one.test:80:" + there, "http://one.test/plaintext")
        self.fine("--connect-to", "::" + there, "http://b\xfccher.test:99/plaintext")
        self.fine("--connect-to", f"127.0.0.1:81::{self.port}", "http://127.0.0.1:81/plaintext")
        self.fine("--connect-to", "x.test:80:127.0.0.1:1", "--connect-to",
                  "b\xfccher.test::" + there, "http://xn--bcher-kva.test/plaintext")
        self.fine("--connect-to", "[::2]:80:" + there, "http://[::2]/plaintext")

    def test_no_scheme(self):
        self.fine(f"127.0.0.1:{self.port}/plaintext")
        self.fine(f"127.0.0.1:{self.port}/plaintext?u=http://x")
        self.fine("--resolve", f"one.test:{self.port}:127.0.0.1", f"one.test:{self.port}/plaintext")
        self.fine("--connect-to", f"::127.0.0.1:{self.port}", "one.test/plaintext#http://x")

    def test_a_zone(self):
        with Program(listen=("[::1]:0",)) as server:
            for zone in ("%25lo", "%lo", "%251"):
                self.fine(f"http://[::1{zone}]:{server.port}/plaintext")
                self.fine(f"[::1{zone}]:{server.port}/plaintext")
        got = fetch("http://[::1%25nosuch0]/")
        self.assertEqual(got.returncode, 1)
        self.assertIn("no interface of this host", got.stderr)

    def test_bad_command_lines(self):
        for words in (["--resolve", "one.test:80"], ["--resolve", "one.test:80:two.test"],
                      ["--resolve", ":80:127.0.0.1"], ["--resolve", "a:0:127.0.0.1"],
                      ["--resolve", "a:80:::1"], ["--resolve", "a:80:10.0.0.0/8"],
                      ["--resolve", "a:80:[127.0.0.1]"], ["--resolve", "[::1:80:127.0.0.1"],
                      ["--connect-to", "a:80:b"], ["--connect-to", "a:x:b:80"],
                      ["--connect-to", "a:80:b:99999"], ["--key", "x"], ["-H", "Host:"],
                      ["-H", "Host: a", "-H", "host: b"]):
            got = fetch(*words, "http://x/")
            self.assertEqual(got.returncode, 2, words)
            self.assertIn("--help", got.stderr)
        got = fetch("--connect-to", "a b:80:b:80", "http://x/")
        self.assertEqual(got.returncode, 1)
        self.assertIn("route 1 has a host that is none", got.stderr)

    @unittest.skipUnless(tls.CERTS, "built without TLS")
    def test_the_host_is_verified_all_the_same(self):
        ours = ("--cacert", tls.path("ca.pem"))
        with Program(*tls.pair("server")) as server:
            there = f"::127.0.0.1:{server.port}"
            self.fine(*ours, "--connect-to", there, "https://server.test/plaintext")
            got = fetch(*ours, "--json", "--connect-to", there, "https://elsewhere.test/")
            self.assertEqual(json.loads(got.stdout)["error"], "HS_E_CERT_HOST")
            # Nor does the field make another of it.
            self.fine(*ours, "-H", "Host: elsewhere.test", "--connect-to", there,
                      "https://server.test/plaintext")


@unittest.skipUnless(tls.CERTS, "built without TLS")
class OurCertificate(unittest.TestCase):
    def test_shown_to_servers_that_ask(self):
        ours = ("--cacert", tls.path("ca.pem"))
        pem, key = tls.path("client.pem"), tls.path("client.key")
        with Program(*tls.pair("server"), "--tls-client-ca", tls.path("ca.pem")) as server, \
                tempfile.NamedTemporaryFile() as both:
            for part in (pem, key):
                with open(part, "rb") as file:
                    both.write(file.read())
            both.flush()
            url = f"https://localhost:{server.port}/plaintext"
            for flags in ((*ours, "--cert", pem, "--key", key), (*ours, "--cert", both.name),
                          ("--insecure", "--cert", pem, "--key", key)):
                got = fetch(*flags, url)
                self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))
            self.assertEqual(fetch(*ours, url).returncode, 1)
        for flags in (["--cert", "/nonexistent"], ["--cert", pem, "--key", "/nonexistent"],
                      ["--cert", pem], ["--cert", pem, "--key", tls.path("server.key")]):
            got = fetch(*flags, "http://127.0.0.1:1/")
            self.assertEqual((got.returncode, got.stdout), (1, ""))
            self.assertIn("httpshard fetch: TLS: " + flags[-1] if len(flags) < 4 or
                          "nonexistent" in flags[-1] else "TLS: ", got.stderr)


def without_roots(*words):
    """A fetch on a system that has no roots of certificates, as far as it can see."""
    return run([DENY, "access=ENOENT", program.PROGRAM, *FETCH, *words], env=ENV,
               stdin=subprocess.DEVNULL)


class WithoutRoots(unittest.TestCase):
    def setUp(self):
        if not backends.have_filters():
            self.skipTest("this machine has no seccomp filters")

    def test_http_needs_none(self):
        with Program() as server:
            got = without_roots(server.url + "/plaintext")
        self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))

    @unittest.skipUnless(tls.CERTS, "built without TLS")
    def test_https_needs_them_to_verify(self):
        with Program(*tls.pair("server")) as server:
            url = f"https://localhost:{server.port}/plaintext"
            for flags in (["--insecure"], ["--cacert", tls.path("ca.pem")]):
                got = without_roots(*flags, url)
                self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))
            got = without_roots("--json", url, url)
        self.assertEqual(got.returncode, 1)
        for line in map(json.loads, got.stdout.splitlines()):
            self.assertEqual((line["error"], line["phase"]), ("ENOENT", "tls"))
            self.assertIn("the system has no roots", line["text"])


@unittest.skipUnless(tls.CERTS, "built without TLS")
class OverTls(unittest.TestCase):
    def fetch(self, cert, *flags, host="localhost", path="/plaintext"):
        with Program(*tls.pair(cert)) as server:
            return fetch(*flags, f"https://{host}:{server.port}{path}")

    def refused(self, error, cert, *flags, **options):
        got = self.fetch(cert, "--json", *flags, **options)
        self.assertEqual(got.returncode, 1)
        line = json.loads(got.stdout)
        self.assertEqual((line["error"], line["phase"]), (error, "tls"), line)

    def test_a_certificate_that_is_trusted(self):
        for cert in ("server", "server_rsa"):
            for host in ("localhost", "127.0.0.1"):
                got = self.fetch(cert, "--cacert", tls.path("ca.pem"), host=host)
                self.assertEqual((got.stdout, got.stderr, got.returncode), (TEXT, "", 0))

    def test_what_was_negotiated_is_told(self):
        with Program(*tls.pair("server"), "--tls-ocsp", tls.path("good.ocsp")) as server:
            url = f"https://localhost:{server.port}/plaintext"
            got = fetch("-v", "--cacert", tls.path("ca.pem"), url)
            self.assertEqual((got.returncode, got.stdout), (0, TEXT))
            self.assertIn("* SSL connection using TLSv1.3 / TLS_AES_128_GCM_SHA256 / secp256r1\n"
                          "* ALPN: http/1.1\n"
                          "* OCSP: the stapled response was checked, and is good\n"
                          "< HTTP/1.1 200 OK\n", got.stderr)
            got = fetch("--json", "--cacert", tls.path("ca.pem"), url)
        want = {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "group": "secp256r1",
                "alpn": "http/1.1", "resumed": False, "stapled": True}
        self.assertEqual(json.loads(got.stdout)["tls"], want)

    def test_nothing_was_negotiated_without_tls(self):
        with Program() as server:
            got = fetch("-v", "--json", server.url + "/plaintext")
        self.assertIsNone(json.loads(got.stdout)["tls"])
        self.assertNotIn("SSL", got.stderr)

    def test_a_large_body(self):
        got = self.fetch("server", "--cacert", tls.path("ca.pem"), path="/bytes/3000000")
        self.assertEqual(len(got.stdout), 3000000)

    def test_each_bad_certificate_has_its_own_error(self):
        ours = ("--cacert", tls.path("ca.pem"))
        self.refused("HS_E_CERT_UNKNOWN", "server")  # by the system's roots
        self.refused("HS_E_CERT_UNKNOWN", "server", "--cacert", tls.path("ca_other.pem"))
        self.refused("HS_E_CERT_UNKNOWN", "self", *ours)
        self.refused("HS_E_CERT_TIME", "expired", *ours)
        self.refused("HS_E_CERT_TIME", "future", *ours)
        self.refused("HS_E_CERT_HOST", "other", *ours)
        self.refused("HS_E_CERT_HOST", "no_names", *ours)
        self.refused("HS_E_CERT_USAGE", "usage", *ours)

    def test_insecure_takes_any(self):
        for cert in ("self", "expired", "other"):
            self.assertEqual(self.fetch(cert, "--insecure").stdout, TEXT)

    def test_a_server_that_speaks_no_tls(self):
        with Program() as server:
            got = fetch("--json", server.url.replace("http:", "https:"))
        self.assertEqual((got.returncode, json.loads(got.stdout)["error"]), (1, "HS_E_TLS"))

    def test_roots_that_are_not_there(self):
        got = fetch("--cacert", "/nonexistent", "https://localhost:1/")
        self.assertEqual(got.returncode, 1)
        self.assertIn("/nonexistent", got.stderr)


if __name__ == "__main__":
    if tls.CERTS:
        tls.make_certs()
    main()
