"""`httpshard fetch` through a proxy that this test is: in absolute form, and through tunnels with
the host's TLS inside."""

import base64
import contextlib
import json
import select
import socket
import ssl
import tempfile
import threading
import unittest

import tls
from fetch import TEXT, fetch
from program import main, PATIENCE, Program

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy:
    """Takes one connection at a time. It remembers each head, and goes wherever it is asked to, but
    answers what `refuse` says, if that is not empty. With a `context` it is spoken to over TLS."""

    def __init__(self, refuse=b"", context=None):
        self.refuse = refuse
        self.context = context
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), conn:
                conn.settimeout(PATIENCE)
                if self.context:
                    conn = self.context.wrap_socket(conn, server_side=True)
                with conn:
                    self.one(conn)

    def one(self, conn):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = conn.recv(1)  # not a byte of what is behind it
            if not byte:
                return
            head += byte
        self.heads.append(head.decode("latin-1"))
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        if self.refuse:
            conn.sendall(self.refuse)
            return
        if method != b"CONNECT":
            # Forwarded as it is: a server takes the absolute form, too.
            target = target.split(b"/")[2]
        host, port = target.decode().rsplit(":", 1)
        with socket.create_connection((host, int(port)), PATIENCE) as upstream:
            if method == b"CONNECT":
                conn.sendall(OPEN)
            else:
                upstream.sendall(head)
            self.join(conn, upstream)

    def join(self, one, other):
        while True:
            # What TLS has decoded already no poll knows of.
            ready = [one] if self.context and one.pending() else \
                select.select([one, other], [], [], PATIENCE)[0]
            for side in ready:
                got = side.recv(65536)
                if not got:
                    return
                (other if side is one else one).sendall(got)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Closing a listener does not wake who accepts on it.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.listener.close()


class Plain(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Program())
        self.proxy = self.enterContext(Proxy())
        self.url = self.server.url + "/plaintext"

    def fine(self, *words, **env):
        got = fetch(*words, self.url, env=env)
        self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))

    def test_by_the_environment(self):
        self.fine(HTTP_PROXY=self.proxy.address)
        self.fine(http_proxy="http://me:secret@" + self.proxy.address)
        self.assertTrue(self.proxy.heads[0].startswith(f"GET {self.url} HTTP/1.1\r\n"))
        self.assertNotIn("Proxy-Authorization", self.proxy.heads[0])
        told = base64.b64encode(b"me:secret").decode()
        self.assertIn(f"\r\nProxy-Authorization: Basic {told}\r\n", self.proxy.heads[1])

    def test_by_a_flag(self):
        self.fine("--proxy", self.proxy.address)
        self.fine("--proxy", self.proxy.address, http_proxy="http://127.0.0.1:1")
        self.assertEqual(len(self.proxy.heads), 2)

    def test_whom_it_is_not_for(self):
        self.fine(HTTP_PROXY=self.proxy.address, NO_PROXY="127.0.0.0/8")
        self.fine("--noproxy", "*", HTTP_PROXY=self.proxy.address)
        self.fine("--proxy", "", HTTP_PROXY=self.proxy.address)
        self.assertEqual(self.proxy.heads, [])
        self.fine("--noproxy", "", HTTP_PROXY=self.proxy.address, no_proxy="*")
        self.fine("--proxy", self.proxy.address, NO_PROXY="other")
        self.assertEqual(len(self.proxy.heads), 2)


class Socks(Proxy):
    """The same by SOCKS5 (RFC 1928), with a name and a password where `login` has them."""

    def __init__(self, login=None):
        self.login = login
        self.targets = []
        super().__init__()

    def exactly(self, conn, size):
        got = b""
        while len(got) < size:
            part = conn.recv(size - len(got))
            if not part:
                raise OSError("it ended")
            got += part
        return got

    def one(self, conn):
        methods = self.exactly(conn, self.exactly(conn, 2)[1])
        method = 2 if self.login else 0
        conn.sendall(bytes([5, method if method in methods else 255]))
        if self.login:
            name = self.exactly(conn, self.exactly(conn, 2)[1])
            password = self.exactly(conn, self.exactly(conn, 1)[0])
            good = (name, password) == self.login
            conn.sendall(bytes([1, 0 if good else 1]))
            if not good:
                return
        kind = self.exactly(conn, 4)[3]
        if kind == 3:
            host = self.exactly(conn, self.exactly(conn, 1)[0]).decode()
        else:
            host = socket.inet_ntoa(self.exactly(conn, 4))
        port = int.from_bytes(self.exactly(conn, 2), "big")
        self.targets.append((host, port))
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as upstream:
            conn.sendall(b"\5\0\0\1\0\0\0\0\0\0")
            self.join(conn, upstream)


class BySocks(unittest.TestCase):
    def fetch(self, proxy, url, *flags, scheme="socks5h", login=""):
        return fetch(*flags, url, env={"ALL_PROXY": f"{scheme}://{login}{proxy.address}"})

    def test_http(self):
        with Program() as server, Socks() as proxy:
            for scheme in ("socks5", "socks5h"):
                got = self.fetch(proxy, f"http://nowhere.test:{server.port}/plaintext",
                                 scheme=scheme)
                self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))
            self.fetch(proxy, server.url + "/plaintext")
            self.assertEqual(proxy.targets, 2 * [("nowhere.test", server.port)] +
                             [("127.0.0.1", server.port)])

    def test_a_name_and_a_password(self):
        with Program() as server, Socks((b"me", b"sec:ret")) as proxy:
            url = server.url + "/plaintext"
            got = self.fetch(proxy, url, login="me:sec%3aret@")
            self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))
            for login, text in (("me:no@", "does not take our name and password"),
                                ("", "wants a name and a password")):
                got = self.fetch(proxy, url, login=login)
                self.assertEqual(got.returncode, 1)
                self.assertIn(text, got.stderr)

    @unittest.skipUnless(tls.CERTS, "built without TLS")
    def test_https(self):
        with Program(*tls.pair("server")) as server, Socks() as proxy:
            got = self.fetch(proxy, f"https://server.test:{server.port}/bytes/3000000",
                             "--cacert", tls.path("ca.pem"))
            self.assertEqual((len(got.stdout), got.stderr, got.returncode), (3000000, "", 0))


class Bad(unittest.TestCase):
    def fails(self, error, phase, text, *words, **env):
        got = fetch("--json", *words, env=env)
        self.assertEqual(got.returncode, 1, got.stderr)
        line = json.loads(got.stdout)
        self.assertEqual((line["error"], line["phase"]), (error, phase), line)
        self.assertIn(text, line["text"])

    def test_not_there(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
            self.fails("ECONNREFUSED", "connect", f"the proxy {address}: Connection refused",
                       "http://one.test/", HTTP_PROXY=address)

    @unittest.skipUnless(tls.CERTS, "built without TLS")
    def test_it_wants_a_name(self):
        with Proxy(b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n") as proxy:
            self.fails("EACCES", "tunnel", "it wants a name and a password (407)",
                       "https://one.test/", HTTPS_PROXY=proxy.address)

    @unittest.skipUnless(tls.CERTS, "built without TLS")
    def test_it_does_not_reach_the_host(self):
        with Proxy(b"HTTP/1.1 502 x\r\n\r\n") as proxy:
            self.fails("ECONNREFUSED", "tunnel", "it does not reach the host",
                       "https://one.test/", HTTPS_PROXY=proxy.address)

    def test_no_proxy_at_all(self):
        got = fetch("http://one.test/", env={"ALL_PROXY": "gopher://me:secret@x"})
        self.assertEqual(got.returncode, 1)
        self.assertIn("one.test: ALL_PROXY=gopher://*@x: not a proxy", got.stderr)
        self.assertNotIn("secret", got.stderr)

    def test_a_bad_variable_concerns_nobody_else(self):
        bad = {"ALL_PROXY": "gopher://x"}
        with Program() as server, Proxy() as proxy:
            url = server.url + "/plaintext"
            for env in ({"NO_PROXY": "*"}, {"no_proxy": "127.0.0.1"},
                        {"http_proxy": proxy.address}):
                got = fetch(url, env=bad | env)
                self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))
            self.assertEqual(len(proxy.heads), 1)
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/socket"
            with Program(listen=("unix:" + path,)):
                got = fetch("--unix-socket", path, "http://any.test/plaintext", env=bad)
            self.assertEqual((got.returncode, got.stdout, got.stderr), (0, TEXT, ""))


@unittest.skipUnless(tls.CERTS, "built without TLS")
class OverTls(unittest.TestCase):
    OURS = ("--cacert", tls.path("ca.pem"))

    def setUp(self):
        self.server = self.enterContext(Program(*tls.pair("server")))
        self.url = f"https://localhost:{self.server.port}"

    def tunnelled(self, proxy, path, *flags):
        address = ("https://" if proxy.context else "") + proxy.address
        return fetch(*flags, self.url + path, env={"HTTPS_PROXY": address})

    def test_a_tunnel(self):
        with Proxy() as proxy:
            got = self.tunnelled(proxy, "/bytes/3000000", *self.OURS)
            self.assertEqual((len(got.stdout), got.stderr, got.returncode), (3000000, "", 0))
            self.assertTrue(proxy.heads[0].startswith(f"CONNECT localhost:{self.server.port} "))

    def test_the_host_is_verified_inside_of_it(self):
        with Proxy() as proxy:
            got = self.tunnelled(proxy, "/plaintext", "--json")
            self.assertEqual(json.loads(got.stdout)["error"], "HS_E_CERT_UNKNOWN")
            self.assertEqual(self.tunnelled(proxy, "/plaintext", "--insecure").stdout, TEXT)

    def test_a_tunnel_inside_of_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.path("server.pem"), tls.path("server.key"))
        with Proxy(context=context) as proxy:
            got = self.tunnelled(proxy, "/bytes/300000", *self.OURS)
            self.assertEqual((len(got.stdout), got.stderr, got.returncode), (300000, "", 0))
            # Its own certificate counts, whatever is said of the hosts'.
            got = self.tunnelled(proxy, "/plaintext", "--json", "--insecure")
            line = json.loads(got.stdout)
            self.assertEqual((line["error"], line["phase"]), ("HS_E_CERT_UNKNOWN", "tls"))
            self.assertIn("the proxy 127.0.0.1", line["text"])
            self.assertEqual(len(proxy.heads), 1)


if __name__ == "__main__":
    if tls.CERTS:
        tls.make_certs()
    main()
