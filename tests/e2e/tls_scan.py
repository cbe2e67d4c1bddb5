"""What scanners find wrong with our TLS: sslscan each time, all of testssl.sh in a long run
(minutes). And hellos as scanners write them, with more suites than anybody has."""

import http.server
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import unittest
from xml.etree import ElementTree

import tls
from program import LONG, PATIENCE, Program, main, needs, run
from tls import Server, pair, path

PROXY = os.environ.get("HTTPSHARD_PROXY", "")
TESTSSL = shutil.which("testssl.sh") or shutil.which("testssl")
ALERT, HANDSHAKE = 21, 22
DECODE_ERROR, INAPPROPRIATE_FALLBACK = 50, 86
ECDHE_ECDSA_AES128_GCM, AES128_GCM, FALLBACK_SCSV = 0xC02B, 0x1301, 0x5600
BOTH = [*pair("server"), *pair("server_rsa")]


def extension(number, body):
    return struct.pack(">HH", number, len(body)) + body


def hello(suites, version):
    """A ClientHello (RFC 5246 section 7.4.1.2, RFC 8446 section 4.1.2) with these suites."""
    extensions = extension(10, b"\0\2\0\x1d") + extension(11, b"\1\0") + extension(13, b"\0\2\4\3")
    if version == "1.3":
        # The base point of x25519 is as good a key as any.
        extensions += extension(43, b"\2\3\4")
        extensions += extension(51, b"\0\x24\0\x1d\0\x20\x09" + bytes(31))
    listed = b"".join(struct.pack(">H", suite) for suite in suites)
    body = (b"\3\3" + os.urandom(32) + b"\0" + struct.pack(">H", len(listed)) + listed + b"\1\0" +
            struct.pack(">H", len(extensions)) + extensions)
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return bytes([HANDSHAKE, 3, 1]) + struct.pack(">H", len(message)) + message


class Hellos(Server):
    def answer(self, suites, version="1.2"):
        """The first record's type and, of an alert, what it says."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(hello(suites, version))
            with sock.makefile("rb") as file:
                head = file.read(5)
                record = file.read(struct.unpack(">H", head[3:])[0])
        return (head[0], record[1]) if head[0] == ALERT else (head[0], None)

    def setUp(self):
        self.port = self.usual().port

    def test_a_hello_may_offer_all_suites_that_have_ever_been(self):
        unknown = range(0xDE00, 0xE100)
        for version, known in (("1.2", ECDHE_ECDSA_AES128_GCM), ("1.3", AES128_GCM)):
            for count in (1, 2, 150, 151, 344, 512):
                with self.subTest(version=version, count=count):
                    offered = [*unknown[:count - 1], known]
                    self.assertEqual(self.answer(offered, version), (HANDSHAKE, None))
            self.assertEqual(self.answer([*unknown[:512], known], version),
                             (ALERT, DECODE_ERROR))

    def test_a_client_that_falls_back_without_need_is_told(self):
        fallen = [FALLBACK_SCSV, ECDHE_ECDSA_AES128_GCM]
        self.assertEqual(self.answer(fallen), (ALERT, INAPPROPRIATE_FALLBACK))
        self.assertEqual(self.answer([FALLBACK_SCSV, AES128_GCM], "1.3"), (HANDSHAKE, None))


@needs("sslscan")
class Sslscan(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Program(*BOTH) as server:
            done = run(["sslscan", "--no-colour", "--timeout=60", "--connect-timeout=300",
                        "--show-sigs", "--sni-name=server.test", "--xml=-",
                        f"127.0.0.1:{server.port}"])
        cls.found = ElementTree.fromstring(done.stdout[done.stdout.index("<?xml"):])

    def all(self, kind):
        return [element.attrib for element in self.found.iter(kind)]

    def test_versions(self):
        enabled = {(p["type"], p["version"]): p["enabled"] for p in self.all("protocol")}
        self.assertEqual(enabled, {("ssl", "2"): "0", ("ssl", "3"): "0", ("tls", "1.0"): "0",
                                   ("tls", "1.1"): "0", ("tls", "1.2"): "1", ("tls", "1.3"): "1"})

    def test_suites_have_authenticated_encryption_and_forward_secrecy(self):
        good = {"TLSv1.2": r"ECDHE-(ECDSA|RSA)-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)",
                "TLSv1.3": r"TLS_(AES_\d+_GCM|CHACHA20_POLY1305)_SHA\d+"}
        suites = self.all("cipher")
        self.assertEqual({suite["sslversion"] for suite in suites}, set(good))
        self.assertGreaterEqual(len(suites), 6)
        for suite in suites:
            self.assertRegex(suite["cipher"], f"^{good[suite['sslversion']]}$")
            self.assertIn(suite["strength"], ("strong", "acceptable"))

    def test_no_group_is_below_128_bits(self):
        groups = self.all("group")
        self.assertEqual({group["sslversion"] for group in groups}, {"TLSv1.2", "TLSv1.3"})
        for group in groups:
            self.assertGreaterEqual(int(group["bits"]), 128, group["name"])

    def test_no_signature_is_of_sha1(self):
        signatures = [s["name"] for s in self.all("connection-signature-algorithm")]
        self.assertIn("rsa_pss_rsae_sha256", signatures)
        self.assertEqual([name for name in signatures if re.search("sha1|md5|sha224|any", name)],
                         [])

    def test_no_renegotiation_no_compression_no_heartbleed(self):
        self.assertEqual([r["supported"] for r in self.all("renegotiation")], ["0"])
        # An OpenSSL without compression cannot ask for it, and then says nothing.
        self.assertEqual([c for c in self.all("compression") if c["supported"] != "0"], [])
        bled = {h["sslversion"]: h["vulnerable"] for h in self.all("heartbleed")}
        self.assertEqual(bled, {"TLSv1.2": "0", "TLSv1.3": "0"})

    def test_the_certificate(self):
        cert, = self.found.iter("certificate")
        said = {child.tag: child.text for child in cert}
        self.assertEqual((said["subject"], said["issuer"]), ("server.test", "inter"))
        self.assertIn("DNS:*.wild.test", said["altnames"])
        self.assertEqual((said["self-signed"], said["expired"]), ("false", "false"))
        self.assertIn("sha256", said["signature-algorithm"].lower())
        self.assertEqual(cert.find("pk").get("error"), "false")


class Page(http.server.BaseHTTPRequestHandler):
    """What is behind the proxy: a page with the fields that are an application's to send."""

    def do_GET(self):
        self.send_response(200)
        for name, value in (("Content-Length", "0"), ("X-Frame-Options", "DENY"),
                            ("Strict-Transport-Security", "max-age=31536000"),
                            ("Content-Security-Policy", "default-src 'none'")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *unused):
        pass


@unittest.skipUnless(LONG, "takes minutes: only in a long run")
@unittest.skipUnless(TESTSSL, "testssl.sh is not installed")
class Testssl(Server):
    FINE = ("OK", "INFO", "LOW", "DEBUG")
    # Of the certificates that tests/certs.py makes, and of the scanner itself.
    EXPECTED = {
        "cert_validityPeriod": "they are good for longer than any build tree is kept",
        "cert_revocation": "their root has no service to ask; stapling is for tls_ocsp.py",
        "engine_problem": "the scanner's own openssl is without GOST",
    }
    # What it may be unable to look at.
    UNSEEN = {
        "sessionresumption_ticket": "its client may leave before a ticket of TLS 1.3, which comes "
                                    "after the handshake, is there; tls.py resumes sessions",
    }

    def scan(self, *flags):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.addCleanup(upstream.server_close)
        self.addCleanup(upstream.shutdown)
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        behind = f"http://127.0.0.1:{upstream.server_port}"
        server = self.start(*BOTH, path=PROXY, env={**os.environ, "UPSTREAM": behind})
        out = os.path.join(folder, "found.json")
        done = run([TESTSSL, "--quiet", "--warnings", "off", "--color", "0", "--nodns", "none",
                    "--ip", "127.0.0.1", "--add-ca", path("ca.pem"), "--jsonfile", out, *flags,
                    f"localhost:{server.port}"], timeout=3000, stdin=subprocess.DEVNULL)
        self.assertTrue(os.path.exists(out), done.stdout + done.stderr)
        with open(out, encoding="utf-8") as file:
            return json.load(file)

    def test_nothing_of_medium_severity_or_worse(self):
        found = self.scan()
        bad = [f for f in found if f["severity"] not in self.FINE and
               re.sub(" .*", "", f["id"]) not in self.EXPECTED and
               not (f["severity"] == "WARN" and f["id"] in self.UNSEEN)]
        self.assertEqual(bad, [])
        fine = {f["id"] for f in found if f["severity"] == "OK"}
        self.assertLessEqual({"TLS1_2", "TLS1_3", "heartbleed", "CCS", "ROBOT", "fallback_SCSV",
                              "secure_renego", "secure_client_renego", "CRIME_TLS"}, fine)


if __name__ == "__main__":
    tls.make_certs()
    main()
