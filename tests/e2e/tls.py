"""HTTPS: other programs' clients against the server, reload, refusals, the drain."""

import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import program
from program import Connection, main, needs, PATIENCE, patiently, Program, run

TEXT = b"Hello, World!"
CERTS = os.environ.get("HTTPSHARD_CERTS", "")
ASK = os.environ.get("HTTPSHARD_TLS_ASK", "")
CLOCK = os.environ.get("HTTPSHARD_CLOCK", "")
GET = b"GET /plaintext HTTP/1.1\r\nHost: server.test\r\n\r\n"


def path(name):
    return os.path.join(CERTS, name)


def pair(name):
    """The flags of one certificate."""
    return ["--tls-cert", path(name + ".pem"), "--tls-key", path(name + ".key")]


def make_certs():
    """Make the certificates, if they are not there yet; leaves where they cannot be."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "certs.py")
    made = subprocess.run([sys.executable, "-B", script, CERTS], check=False)
    if made.returncode != 0:
        sys.exit(made.returncode)


def client_context(**options):
    context = ssl.create_default_context(cafile=path("ca.pem"))
    for name, value in options.items():
        setattr(context, name, value)
    return context


def talk(command, text, until, after=b"", **options):
    """What a client says that leaves as soon as its input ends, or once it is idle: it gets `text`
    when it has said `after`, and keeps its input until it has said `until`, or has ended."""
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **options)
    alarm = threading.Timer(PATIENCE, client.kill)
    alarm.start()
    try:
        said = b""
        for wanted, then in ((after, text), (until, b"")):
            while wanted not in said and (part := os.read(client.stdout.fileno(), 65536)):
                said += part
            client.stdin.write(then)
            client.stdin.flush()
        return said + client.communicate()[0]
    finally:
        alarm.cancel()
        client.kill()
        client.wait()


class Secure(Connection):
    """A Connection inside of TLS by python's own library."""

    def __init__(self, port, context=None, name="server.test", session=None):
        super().__init__(port)
        self.sock = (context or client_context()).wrap_socket(self.sock, server_hostname=name,
                                                              session=session)

    def names(self):
        cert = self.sock.getpeercert()
        return dict(part[0] for part in cert["subject"])["commonName"]


class Server(unittest.TestCase):
    def start(self, *flags, **options):
        server = Program(*flags, **options)
        self.addCleanup(server.__exit__, None)
        return server

    def usual(self, *flags, **options):
        return self.start(*pair("server"), *flags, **options)


class Requests(Server):
    """What any client asks for first."""

    def test_python_asks_over_each_version(self):
        server = self.usual(cores=2)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = client_context(minimum_version=version, maximum_version=version)
            context.set_alpn_protocols(["h2", "http/1.1"])
            with Secure(server.port, context) as conn:
                self.assertEqual(conn.sock.version(), version.name.replace("_", "."))
                self.assertEqual(conn.sock.selected_alpn_protocol(), "http/1.1")
                for _ in range(3):
                    self.assertEqual(conn.get("/plaintext").body, TEXT)

    def test_bodies_both_ways(self):
        server = self.usual()
        body = os.urandom(1 << 19)
        with Secure(server.port) as conn:
            conn.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body))
            conn.send(body)
            self.assertEqual(conn.answer().body, body)
            self.assertEqual(len(conn.get("/bytes/10000000").body), 10_000_000)

    def test_pipelined_requests_in_one_record(self):
        server = self.usual()
        with Secure(server.port) as conn:
            conn.send(GET * 20)
            for _ in range(20):
                self.assertEqual(conn.answer().body, TEXT)

    @needs("curl")
    def test_a_refusal_reaches_a_client_that_is_still_sending(self):
        """As in bodies.py: the shard is held up, and finds more than it reads on for."""
        server = self.usual()
        for _ in range(3):
            with Secure(server.port) as busy, Secure(server.port) as conn:
                busy.send(b"GET /burn/150 HTTP/1.1\r\nHost: test\r\n\r\n")
                conn.send(b"POST /nope HTTP/1.1\r\nHost: test\r\n"
                          b"Content-Length: 1200000\r\n\r\n")
                conn.send(bytes(1200000))
                self.assertEqual(conn.answer().status, 404)
                self.assertTrue(conn.ended())
                self.assertEqual(busy.answer().body, b"burnt\n")

    def test_curl(self):
        server = self.usual()
        done = run(["curl", "-sS", "--cacert", path("ca.pem"), "--resolve",
                    f"server.test:{server.port}:127.0.0.1",
                    f"https://server.test:{server.port}/plaintext"])
        self.assertEqual((done.stdout, done.stderr), (TEXT.decode(), ""))

    @needs("openssl")
    def test_openssl_says_that_all_is_well(self):
        server = self.usual()
        done = run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile",
                    path("ca.pem"), "-verify_hostname", "server.test", "-verify_return_error",
                    "-servername", "server.test", "-tls1_2", "-ign_eof"],
                   input="GET /plaintext HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        self.assertIn("Verify return code: 0 (ok)", done.stdout)
        self.assertIn(TEXT.decode(), done.stdout)
        self.assertIn("Secure Renegotiation IS supported", done.stdout)

    @needs("gnutls-cli")
    def test_gnutls(self):
        server = self.usual()
        said = talk(["gnutls-cli", "--x509cafile", path("ca.pem"), "--verify-hostname",
                     "server.test", "-p", str(server.port), "127.0.0.1"],
                    b"GET /plaintext HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", TEXT)
        self.assertIn(TEXT, said)

    @needs("node")
    def test_node(self):
        server = self.usual()
        script = ("const https = require('https'), fs = require('fs');"
                  "https.get({host: '127.0.0.1', port: +process.argv[1], path: '/plaintext',"
                  "servername: 'server.test', ca: fs.readFileSync(process.argv[2])},"
                  "r => r.pipe(process.stdout));")
        done = run(["node", "-e", script, str(server.port), path("ca.pem")])
        self.assertEqual((done.stdout, done.stderr), (TEXT.decode(), ""))

    def test_addresses_without_tls_beside_it(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        plain = program.Program(*pair("server"), "--listen-plain", "127.0.0.1:0",
                                listen=("127.0.0.1:0", f"unix:{folder}/s"))
        with plain:
            said = plain.said()
            port = int(said.split("listening on http://127.0.0.1:")[1].split("\n")[0])
            with Connection(port) as conn:
                self.assertEqual(conn.get("/plaintext").body, TEXT)
            with Connection(0, path=f"{folder}/s") as conn:
                self.assertEqual(conn.get("/plaintext").body, TEXT)
            with Secure(plain.port) as conn:
                self.assertEqual(conn.get("/plaintext").body, TEXT)


class Resumption(Server):
    """Tickets of one shard are good on all, for both versions."""

    def again(self, server, context, session):
        with Secure(server.port, context, session=session) as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)
            return conn.sock.session_reused, conn.sock.session

    def while_fresh(self, server, context, session):
        """The same with the next ticket where the machine held us up meanwhile: of TLS 1.3 one is
        not taken that seems older to the server than to the client, by ten seconds."""
        while True:
            began = time.monotonic()
            reused, session = self.again(server, context, session)
            if reused or time.monotonic() < began + 2:
                return reused, session

    def test_sessions_are_resumed_on_every_shard(self):
        server = self.usual(cores=2)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = client_context(minimum_version=version, maximum_version=version)
            reused, session = self.again(server, context, None)
            self.assertFalse(reused)
            for _ in range(12):
                reused, session = self.while_fresh(server, context, session)
                self.assertTrue(reused, version)

    def test_a_ticket_is_for_its_own_certificate(self):
        server = self.start(*pair("server"), *pair("other"))
        context = client_context(check_hostname=False)
        _, session = self.again(server, context, None)
        with Secure(server.port, context, name="other.test", session=session) as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)
            self.assertFalse(conn.sock.session_reused)
            self.assertEqual(conn.names(), "other.test")

    @unittest.skipIf(program.SANITIZE, "a sanitizer wants to be the first library")
    def test_tickets_are_taken_for_as_long_as_they_say(self):
        """RFC 8446 section 4.6.1, RFC 5077 section 3.3: 28,800 s, by the clocks of both sides."""
        with tempfile.TemporaryDirectory() as folder:
            clock = os.path.join(folder, "clock")
            env = {**os.environ, "LD_PRELOAD": CLOCK, "HS_TEST_CLOCK": clock}

            def shift(seconds):
                with open(clock, "r+b" if os.path.exists(clock) else "wb") as file:
                    file.write(struct.pack("=q", seconds))

            def ask(version, option, name):
                said = talk(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}",
                             "-servername", "server.test", version, option, name],
                            GET, TEXT, b"erify return code", env=env)
                self.assertIn(TEXT, said)
                return said

            shift(0)
            server = self.usual(env=env)
            for version in "-tls1_2", "-tls1_3":
                saved = os.path.join(folder, "session")
                for seconds, reused in (600, True), (28700, True), (28900, False):
                    shift(0)
                    said = ask(version, "-sess_out", saved)
                    self.assertIn(b"28800", said)
                    shift(seconds)
                    said = ask(version, "-sess_in", saved)
                    self.assertEqual(b"\nReused, " in said, reused, (version, seconds))

    def test_none_where_clients_show_certificates(self):
        server = self.usual("--tls-client-ca", path("ca.pem"))
        context = client_context()
        context.load_cert_chain(path("client.pem"), path("client.key"))
        _, session = self.again(server, context, None)
        if session is not None:
            self.assertFalse(self.again(server, context, session)[0])


class Certificates(Server):
    """Which certificate a client gets, and what is asked of it."""

    def test_the_name_chooses(self):
        server = self.start(*pair("server"), *pair("other"))
        for name, expected in (("server.test", "server.test"), ("a.wild.test", "server.test"),
                               ("other.test", "other.test"), ("exact.wild.test", "other.test")):
            with Secure(server.port, name=name) as conn:
                self.assertEqual(conn.names(), expected)
        context = client_context(check_hostname=False)
        with Secure(server.port, context, name="unknown.test") as conn:
            self.assertEqual(conn.names(), "server.test")

    def test_rsa_and_ecdsa_side_by_side(self):
        server = self.start(*pair("server"), *pair("server_rsa"))
        for cipher, expected in (("ECDHE-RSA-AES128-GCM-SHA256", "server_rsa.test"),
                                 ("ECDHE-ECDSA-AES128-GCM-SHA256", "server.test")):
            done = run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}",
                        "-servername", "server.test", "-tls1_2", "-cipher", cipher, "-sigalgs",
                        "RSA+SHA256" if "RSA-AES" in cipher and "ECDSA" not in cipher
                        else "ECDSA+SHA256"], input="")
            self.assertIn(f"CN = {expected}", done.stdout)

    def test_clients_show_certificates(self):
        flags = ["--tls-client-ca", path("ca.pem")]
        required = self.usual(*flags)
        optional = self.usual(*flags, "--tls-client-auth", "optional")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            good = client_context(maximum_version=version)
            good.load_cert_chain(path("client.pem"), path("client.key"))
            bad = client_context(maximum_version=version)
            bad.load_cert_chain(path("self.pem"), path("self.key"))
            none = client_context(maximum_version=version)
            for server, context, fine in ((required, good, True), (required, none, False),
                                          (required, bad, False), (optional, good, True),
                                          (optional, none, True), (optional, bad, False)):
                if fine:
                    with Secure(server.port, context) as conn:
                        self.assertEqual(conn.get("/plaintext").body, TEXT)
                else:
                    with self.assertRaises((ssl.SSLError, EOFError, ConnectionError)):
                        with Secure(server.port, context) as conn:
                            conn.get("/plaintext")

    def refused(self, *flags):
        done = run([program.PROGRAM, "--listen", "127.0.0.1:0", *flags])
        return done.returncode, done.stderr

    def test_what_cannot_be_used_is_named(self):
        key = ["--tls-key", path("server.key")]
        for flags, status, words in (
                (["--tls-cert", "/nonexistent", *key], 1, "/nonexistent: "),
                (["--tls-cert", path("server.key"), *key], 1, "holds no certificate"),
                (["--tls-cert", path("other.pem"), *key], 1, "is not the key of"),
                (["--tls-cert", path("server.pem"), "--tls-key", path("server.pem")], 1,
                 "server.pem: holds no key"),
                (["--tls-cert", CERTS, *key], 1, "is no file"),
                ([*pair("server"), "--tls-ciphers", "NONSENSE"], 1, "NONSENSE"),
                (["--tls-cert", path("server.pem")], 2, "come together"),
                (key, 2, "come together"),
                (["--tls-min", "1.3"], 2, "--tls-cert"),
                (["--tls-min", "1.1", *pair("server")], 2, "wants 1.2 or 1.3"),
                ([*pair("server"), "--tls-client-auth", "required"], 2, "--tls-client-ca"),
        ):
            found, said = self.refused(*flags)
            self.assertEqual(found, status, said)
            self.assertIn(words, said)
            self.assertEqual(said.count("\n"), 1, said)


class Reload(Server):
    """SIGHUP: new certificates for new connections, on all shards, while others go on."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def use(self, name):
        for suffix in (".pem", ".key"):
            shutil.copy(path(name + suffix), f"{self.folder}/now{suffix}.new")
            os.rename(f"{self.folder}/now{suffix}.new", f"{self.folder}/now{suffix}")

    def begin(self, cores):
        self.use("server")
        return self.start("--tls-cert", f"{self.folder}/now.pem", "--tls-key",
                          f"{self.folder}/now.key", cores=cores)

    def wait_for(self, server, words):
        deadline = time.monotonic() + PATIENCE
        while words not in server.said():
            self.assertLess(time.monotonic(), deadline, server.said())
            time.sleep(0.01)

    def test_new_connections_get_the_new_one_and_running_ones_go_on(self):
        server = self.begin(2)
        running = [Secure(server.port) for _ in range(8)]
        self.assertEqual({conn.names() for conn in running}, {"server.test"})
        self.use("second")
        server.signal(signal.SIGHUP)
        self.wait_for(server, "new connections get the new certificates")
        for _ in range(16):
            with Secure(server.port) as conn:
                self.assertEqual(conn.names(), "second.test")
                self.assertEqual(conn.get("/plaintext").body, TEXT)
        for conn in running:
            self.assertEqual(conn.get("/plaintext").body, TEXT)
            conn.close()

    def test_a_bad_file_is_refused_and_the_old_one_stays(self):
        server = self.begin(1)
        with open(f"{self.folder}/now.pem", "w", encoding="ascii") as file:
            file.write("nonsense\n")
        server.signal(signal.SIGHUP)
        self.wait_for(server, "the old certificates stay")
        self.assertIn(f"{self.folder}/now.pem: holds no certificate", server.said())
        with Secure(server.port) as conn:
            self.assertEqual(conn.names(), "server.test")

    def test_reload_under_load(self):
        server = self.begin(2)
        failures, done = [], threading.Event()
        asked = [0] * 4

        def ask(at):
            try:
                while not done.is_set():
                    with Secure(server.port) as conn:
                        assert conn.get("/plaintext").body == TEXT
                        assert conn.get("/plaintext").body == TEXT
                    asked[at] += 1
            except Exception as e:  # pylint: disable=broad-except
                failures.append(e)

        threads = [threading.Thread(target=ask, args=(at,)) for at in range(4)]
        for thread in threads:
            thread.start()
        for i in range(20):
            before = sum(asked)
            self.use(("second", "server")[i % 2])
            server.signal(signal.SIGHUP)
            # The next files come when these have been read.
            deadline = time.monotonic() + PATIENCE
            while (server.said().count(" reload: ") <= i or sum(asked) < before + 4) \
                    and not failures and time.monotonic() < deadline:
                time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertNotIn("old certificates stay", server.said())


def prefixed(data, size):
    return len(data).to_bytes(size, "big") + data


def record_kinds(data):
    while data:
        yield data[0]
        data = data[5 + int.from_bytes(data[3:5], "big"):]


def hello_12(groups, padding=0):
    """A ClientHello of TLS 1.2 with these groups, as records."""
    names = b"".join(group.to_bytes(2, "big") for group in groups)
    extensions = (extension(10, prefixed(names, 2)) + extension(11, b"\x01\x00") +
                  extension(13, prefixed(b"\x04\x03\x08\x04\x04\x01", 2)))
    while padding > 0:
        extensions += extension(21, bytes(min(padding, 65000)))
        padding -= 65000
    body = (b"\x03\x03" + bytes(range(32)) + b"\x00" + prefixed(b"\xc0\x2b\xc0\x2f", 2) +
            b"\x01\x00" + prefixed(extensions, 2))
    return records(b"\x01" + prefixed(body, 3), 16384)


def records(message, size):
    return b"".join(b"\x16\x03\x01" + prefixed(message[at:at + size], 2)
                    for at in range(0, len(message), size))


def extension(kind, data):
    return kind.to_bytes(2, "big") + prefixed(data, 2)


def hello_13(group, share, more=b""):
    """A ClientHello of TLS 1.3 with one key share (RFC 8446 section 4.1.2), as a record."""
    name = group.to_bytes(2, "big")
    extensions = (extension(43, b"\x02\x03\x04") +  # supported_versions
                  extension(10, prefixed(name, 2)) +  # supported_groups
                  # signature_algorithms
                  extension(13, prefixed(b"\x04\x03\x08\x04\x04\x01", 2)) +
                  extension(51, prefixed(name + prefixed(share, 2), 2)) + more)  # key_share
    body = (b"\x03\x03" + bytes(range(32)) + prefixed(bytes(32), 1) + prefixed(b"\x13\x01", 2) +
            b"\x01\x00" + prefixed(extensions, 2))
    return b"\x16\x03\x01" + prefixed(b"\x01" + prefixed(body, 3), 2)


class Hostile(Server):
    """What is no TLS, or no good TLS."""

    def raw(self, server, data, finish=False):
        with Connection(server.port) as conn:
            conn.send(data)
            if finish:
                conn.sock.shutdown(socket.SHUT_WR)
            got = b""
            try:
                while part := conn.sock.recv(65536):
                    got += part
            except ConnectionError:
                pass
            return got

    def test_plain_http_is_told_so(self):
        server = self.usual()
        got = self.raw(server, b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
        self.assertIn(b"https://", got)

    def test_bad_key_shares_get_an_alert(self):
        """RFC 8446 sections 4.2.8.2 and 7.4.2: points that are not on the curve, of the wrong
        size, or of small order end the handshake; a good one of the same hello does not."""
        server = self.usual()
        good = bytes.fromhex(  # the base points
            "04" "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
        shares = [
            (23, good, True), (23, good[:-1] + b"\xf6", False), (23, b"\x04" + bytes(64), False),
            (23, good[:-1], False), (23, b"\x04" + b"\xff" * 64, False), (24, good, False),
            (29, bytes([9]) + bytes(31), True), (29, bytes(32), False),
            (29, bytes([1]) + bytes(31), False),
            (29, bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
             False),
            (29, bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
             False),
            (25, b"\x04\x00" + b"\x01" * 65 + b"\x00" + b"\x01" * 65, False),
            (29, b"\xec" + b"\xff" * 30 + b"\x7f", False), (29, bytes([9]) + bytes(30), False),
        ]
        for group, share, fits in shares:
            got = self.raw(server, hello_13(group, share), finish=True)
            with self.subTest(group=group, share=share.hex()):
                kinds = list(record_kinds(got))
                self.assertEqual(kinds[:1], [22])  # the ServerHello comes first
                self.assertEqual(23 in kinds, fits, kinds)  # then what is encrypted by the share
                self.assertEqual(21 in kinds, not fits, kinds)

    def test_groups_that_are_not_ours(self):
        """RFC 8422 section 4: no curve that the client has not offered."""
        server = self.usual()
        for groups in ([30], [21, 256], [0x1234, 0xffff]):
            for hello in (hello_12(groups), hello_13(groups[0], bytes(32))):
                self.assertEqual(self.raw(server, hello), b"\x15\x03\x03\x00\x02\x02\x28", groups)
        for group in (23, 24, 25, 29):
            got = self.raw(server, hello_12([0x1234, group]), finish=True)
            exchange = got.index(b"\x03" + group.to_bytes(2, "big"))  # named_curve, in the message
            self.assertGreater(exchange, 0)

    def test_bad_keys_of_tls_1_2_get_an_alert(self):
        """The same in a ClientKeyExchange (RFC 8422 section 5.11)."""
        server = self.usual()
        for group, point in ((23, b"\x04" + bytes(64)), (23, b"\x04" + b"\x01" * 64),
                             (23, b"\x04" + bytes(63)), (24, b"\x04" + b"\x01" * 96),
                             (25, b"\x04\x00" + b"\x01" * 65 + b"\x00" + b"\x01" * 65),
                             (29, bytes(32)), (29, bytes(31))):
            with self.subTest(group=group, point=point.hex()), Connection(server.port) as conn:
                conn.send(hello_12([group]))
                got = b""
                while b"\x0e\x00\x00\x00" not in got:  # ServerHelloDone
                    part = conn.sock.recv(65536)
                    self.assertTrue(part)
                    got += part
                conn.send(records(b"\x10" + prefixed(prefixed(point, 1), 3), 16384))
                self.assertEqual(conn.sock.recv(65536)[:1], b"\x15")

    def test_two_shares_for_a_group(self):
        """RFC 8446 section 4.2.8; CVE-2025-11936."""
        server = self.usual()
        share = b"\x00\x1d" + prefixed(bytes([9]) + bytes(31), 2)
        hello = hello_13(29, bytes([9]) + bytes(31))
        grown = bytearray(hello.replace(extension(51, prefixed(share, 2)),
                                        extension(51, prefixed(share * 2, 2))))
        # Of the record, of the message and of the extensions.
        for at, size in ((3, 2), (6, 3), (9 + 2 + 32 + 33 + 4 + 2, 2)):
            length = int.from_bytes(grown[at:at + size], "big") + len(share)
            grown[at:at + size] = length.to_bytes(size, "big")
        self.assertEqual(self.raw(server, bytes(grown)), b"\x15\x03\x03\x00\x02\x02\x2f")

    def test_a_hello_that_is_too_large(self):
        server = self.usual()
        with Connection(server.port) as conn:
            conn.send(hello_12([23], padding=20000))
            self.assertEqual(conn.sock.recv(1), b"\x16")
        got = self.raw(server, hello_12([23], padding=21000))
        self.assertEqual(got, b"\x15\x03\x03\x00\x02\x02\x50")
        self.assertIn("refused a ClientHello of more than 20480 bytes", server.stop())

    def test_a_hello_in_small_records(self):
        """RFC 8446 section 5.1: messages may be cut anywhere."""
        server = self.usual()
        for size in (1, 3, 4, 100):
            with self.subTest(size=size):
                into, outof = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = client_context().wrap_bio(into, outof, server_hostname="server.test")
                with Connection(server.port) as conn:
                    with self.assertRaises(ssl.SSLWantReadError):
                        tls.do_handshake()
                    hello = outof.read()
                    conn.send(records(hello[5:], size))
                    while True:
                        try:
                            into.write(conn.sock.recv(65536))
                            tls.do_handshake()
                            break
                        except ssl.SSLWantReadError:
                            pass
                    tls.write(GET)
                    conn.send(outof.read())
                    got = b""
                    while TEXT not in got:
                        into.write(conn.sock.recv(65536))
                        try:
                            got += tls.read()
                        except ssl.SSLWantReadError:
                            pass

    def test_a_plain_port_says_so_to_a_client_of_tls(self):
        server = self.start()
        done = run([program.PROGRAM, "fetch", "--insecure", f"https://127.0.0.1:{server.port}/"])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the server does not speak TLS on this port: it said 'HTTP/1.1 400",
                      done.stdout + done.stderr)

    def test_garbage_gets_an_alert(self):
        server = self.usual()
        for data in (b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
                     b"\x80\x2e\x01", b"\0" * 100, b"\x16\x03\x01\xff\xff",
                     b"\x16\x03\x01\x00\x06\x01\0\0\x02\x03\x03"):
            got = self.raw(server, data)
            self.assertEqual(got[:1], b"\x15", (data, got))
        self.assertEqual(self.raw(server, b"\x16\x03", finish=True), b"")
        with Secure(server.port) as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)

    def test_a_hello_in_single_bytes(self):
        server = self.usual()
        into, outof = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(into, outof, server_hostname="server.test")
        with Connection(server.port) as conn:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pass
                for byte in outof.read():
                    conn.send(bytes([byte]))
                into.write(conn.sock.recv(65536))
            conn.send(outof.read())
            tls.write(GET)
            for byte in outof.read():
                conn.send(bytes([byte]))
            got = b""
            while TEXT not in got:
                into.write(conn.sock.recv(65536))
                try:
                    got += tls.read()
                except ssl.SSLWantReadError:
                    pass

    def test_a_broken_record_ends_the_connection(self):
        server = self.usual()
        with Secure(server.port) as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)
            raw = socket.socket(fileno=os.dup(conn.sock.fileno()))
            with raw:
                raw.sendall(b"\x17\x03\x03\x00\x40" + b"x" * 64)
                raw.settimeout(PATIENCE)
                got = b""
                try:
                    while part := raw.recv(65536):
                        got += part
                except ConnectionError:
                    pass
                self.assertEqual(got[:3], b"\x17\x03\x03")  # an alert, encrypted

    def test_many_that_say_nothing_do_not_stop_others(self):
        server = self.usual()
        silent = [Connection(server.port) for _ in range(200)]
        for conn in silent[::2]:
            conn.send(b"\x16\x03\x01\x01\x00\x01")
        for _ in range(5):
            with Secure(server.port) as conn:
                self.assertEqual(conn.get("/plaintext").body, TEXT)
        for conn in silent:
            conn.close()

    @needs("openssl")
    def test_renegotiation_is_refused(self):
        server = self.usual()
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"]
        said = talk(command, b"R\n", b"renegotiation", after=b"Extended master secret").decode()
        self.assertRegex(said, "RENEGOTIATING")
        self.assertRegex(said.split("RENEGOTIATING")[1], "(?i)no renegotiation|error|alert|closed")


class EarlyData(Server):
    """Early data that nobody asked for is skipped (RFC 8446 section 4.2.10)."""

    @needs("openssl")
    def test_a_session_of_another_server_that_had_early_data(self):
        other = Client.other_server(self, ["openssl", "s_server", "-accept", "{port}", "-cert",
                                           path("server.crt"), "-key", path("server.key"), "-www",
                                           "-max_early_data", "16384", "-tls1_3"],
                                    "openssl s_server")
        server = self.usual()
        with tempfile.TemporaryDirectory() as folder:
            session, early = os.path.join(folder, "session"), os.path.join(folder, "early")
            with open(early, "wb") as file:
                file.write(GET * 50)
            connect = ["openssl", "s_client", "-connect"]
            talk([*connect, f"127.0.0.1:{other}", "-sess_out", session],
                 b"GET / HTTP/1.0\r\n\r\n", b"</HTML>", after=b"Early data was not sent")
            said = talk([*connect, f"127.0.0.1:{server.port}", "-sess_in", session, "-early_data",
                         early, "-groups", "X25519"], GET, TEXT, after=b"Early data was rejected")
            self.assertIn(b"Early data was rejected", said)
            self.assertEqual(said.count(b"HTTP/1.1 200 OK"), 1)

    def test_the_amount_is_bounded(self):
        server = self.usual()
        junk = b"\x17\x03\x03" + prefixed(os.urandom(16384), 2)
        hello = hello_13(29, bytes([9]) + bytes(31), extension(42, b""))
        with Connection(server.port) as conn:
            conn.send(hello + junk * 3)
            conn.sock.recv(5)
        # The end of this is the server's.
        Hostile.raw(self, server, hello + junk * 5)
        # Without the extension nothing is skipped.
        Hostile.raw(self, server, hello_13(29, bytes([9]) + bytes(31)) + junk)


class Client(unittest.TestCase):
    """The client's side against other programs' servers."""

    def ask(self, port, host, *text, ca="ca.pem"):
        done = run([ASK, str(port), host, path(ca), *text])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def serve(self, handler, cert="server", **options):
        """A server of python's that handles one connection; its port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path(cert + ".pem"), path(cert + ".key"))
        for name, value in options.items():
            setattr(context, name, value)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def work():
            sock, _ = listener.accept()
            sock.settimeout(PATIENCE)
            try:
                with context.wrap_socket(sock, server_side=True) as secure:
                    handler(secure)
            except (OSError, ssl.SSLError):
                pass

        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)
        return listener.getsockname()[1]

    @staticmethod
    def answer(secure):
        line = b""
        while not line.endswith(b"\n"):
            line += secure.recv(1000)
        secure.sendall(b"you said " + line)

    def echo(self, secure):
        self.answer(secure)
        secure.unwrap().close()

    def cut_off(self, secure):
        self.answer(secure)
        socket.socket.shutdown(secure, socket.SHUT_RDWR)

    def test_python_of_each_version_and_kind_of_key(self):
        for cert in ("server", "server_rsa"):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                port = self.serve(self.echo, cert, minimum_version=version,
                                  maximum_version=version)
                said = self.ask(port, "server.test", "hello")
                self.assertEqual(said, "you said hello\n\nend: OK\n")

    def test_a_connection_that_is_cut_off(self):
        said = self.ask(self.serve(self.cut_off), "server.test", "hello")
        self.assertEqual(said, "you said hello\n\nend: HS_E_TRUNCATED\n")

    def test_a_server_with_a_bad_key_share(self):
        """RFC 8446 sections 4.2.8.2 and 7.4.2, of the client's side."""
        seen = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def work():
                sock, _ = listener.accept()
                with sock:
                    sock.settimeout(PATIENCE)
                    hello = b""
                    while len(hello) < 5 or len(hello) < 5 + int.from_bytes(hello[3:5], "big"):
                        hello += sock.recv(65536)
                    session = hello[44:44 + hello[43]]
                    at = hello.index(b"\x00\x33\x00", 44 + len(session))  # key_share
                    group = hello[at + 6:at + 8]
                    size = int.from_bytes(hello[at + 8:at + 10], "big")
                    share = bytes(32) if size == 32 else b"\x04" + bytes(size - 1)
                    extensions = (extension(43, b"\x03\x04") +
                                  extension(51, group + prefixed(share, 2)))
                    body = (b"\x03\x03" + bytes(range(32)) + prefixed(session, 1) +
                            b"\x13\x01\x00" + prefixed(extensions, 2))
                    sock.sendall(records(b"\x02" + prefixed(body, 3), 16384))
                    seen.append(sock.recv(65536))

            thread = threading.Thread(target=work)
            thread.start()
            said = self.ask(listener.getsockname()[1], "server.test", "hello")
            thread.join()
        self.assertTrue(said.startswith("failed: HS_E_TLS"), said)
        self.assertEqual(seen[0][:1], b"\x15", seen)

    def test_certificates_that_are_not_accepted(self):
        for cert, host, ca, words in (
                ("expired", "server.test", "ca.pem", "HS_E_CERT_TIME: certificate expired"),
                ("too_many_names", "server.test", "ca.pem", "HS_E_CERT: certificate not accepted: "
                 "CN=too_many_names.test (more than 1024 names)"),
                ("server", "elsewhere.test", "ca.pem", "HS_E_CERT_HOST: certificate is not for"),
                ("self", "server.test", "ca.pem", "HS_E_CERT_UNKNOWN: certificate signed by"),
                ("server", "server.test", "ca_other.pem", "HS_E_CERT_UNKNOWN: certificate signed"),
                ("usage", "server.test", "ca.pem", "HS_E_CERT_USAGE: certificate made for")):
            said = self.ask(self.serve(self.echo, cert), host, "hello", ca=ca)
            self.assertTrue(said.startswith(f"failed: {words}"), said)

    def other_server(self, command, name):
        """Start another program's server; it is there once somebody can connect."""
        # Nobody else gets the port: who listens there must share it, and for that be told of it.
        bound = socket.socket()
        self.addCleanup(bound.close)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        server = subprocess.Popen([word.replace("{port}", str(port)) for word in command],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.addCleanup(server.stdin.close)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
                return port
            except OSError:
                self.assertIsNone(server.poll(), f"{name} does not start")
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)

    @needs("openssl")
    def test_openssl(self):
        for flag in ("-tls1_2", "-tls1_3"):
            port = self.other_server(["openssl", "s_server", "-accept", "{port}", "-cert",
                                      path("server.crt"), "-cert_chain", path("inter.crt"), "-key",
                                      path("server.key"), "-www", flag], "openssl s_server")
            said = self.ask(port, "server.test", "GET / HTTP/1.0\r\n\r")
            self.assertIn("HTTP/1.0 200 ok", said)
            self.assertRegex(said, r"Protocol *: TLSv1\." + flag[-1])

    @needs("gnutls-serv")
    def test_gnutls(self):
        port = self.other_server(["gnutls-serv", "--http", "--port", "{port}", "--x509certfile",
                                  path("server.pem"), "--x509keyfile", path("server.key")],
                                 "gnutls-serv")
        said = self.ask(port, "server.test", "GET / HTTP/1.0\r\n\r")
        self.assertIn("HTTP/1.0 200 OK", said)


class Ends(Server):
    """How connections end."""

    def test_the_server_says_that_it_closes(self):
        server = self.usual()
        with Secure(server.port) as conn:
            answer = conn.get("/plaintext", "Connection: close")
            self.assertTrue(answer.closes())
            # An end without close_notify would be an error here.
            self.assertEqual(conn.sock.recv(1), b"")

    def test_the_drain_ends_idle_ones_and_waits_for_busy_ones(self):
        def drain(delay):
            server = self.usual("--drain", str(PATIENCE), cores=2)
            idle = [Secure(server.port) for _ in range(4)]
            busy = Secure(server.port)
            # After an answer the server has seen the end of the handshake, too.
            for conn in [busy, *idle]:
                conn.get("/plaintext")
            silent = Connection(server.port)
            start = time.monotonic()
            busy.send(f"GET /delay/{1000 * delay} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            busy.was_read()
            server.signal(signal.SIGTERM)
            for conn in idle:
                self.assertEqual(conn.sock.recv(1), b"")
                conn.close()
            return (server, busy, silent) if time.monotonic() - start < delay else None

        server, busy, silent = patiently(drain)
        answer = busy.answer()
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.closes())
        busy.close()
        silent.close()
        self.assertEqual(server.wait(), 0)

    def test_a_client_that_vanishes(self):
        server = self.usual()
        for _ in range(20):
            conn = Secure(server.port)
            conn.send(b"GET /bytes/100000000 HTTP/1.1\r\nHost: t\r\n\r\n")
            conn.sock.recv(1000)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            conn.close()
        with Secure(server.port) as conn:
            self.assertEqual(conn.get("/plaintext").body, TEXT)


if __name__ == "__main__":
    make_certs()
    main()
