"""nginx, haproxy and node as neighbours: asked by our client, and in front of our server.

They get their listening sockets from the test, so that no port is fixed, and keep all that they
write in a folder of their own."""

import gzip
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import fetch as client
import tls
from program import Connection, Program, established, main

TEXT = b"Hello, World!"
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
HAPROXY = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
NODE = shutil.which("node")
# One in which nothing repeats, and one that a coding makes far smaller.
FILES = {"empty": b"", "hello": TEXT, "random": os.urandom(100 * 1024),
         "large": b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(5 << 15)),
         "zeros": bytes(300_000)}

NGINX_CONF = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 200; }}
http {{
    log_format each '$connection $connection_requests $server_protocol $request_method $uri '
                    '$status';
    access_log {folder}/access.log each;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream ours {{ server 127.0.0.1:{ours}; keepalive 8; }}
    {secure_upstream}
    server {{
        listen 127.0.0.1:{plain};
        {secure_listen}
        root {folder}/www;
        location /gzip/ {{ alias {folder}/www/; gzip on; gzip_min_length 1; gzip_types *; }}
        location /chunked/ {{ alias {folder}/www/; ssi on; ssi_types *; }}
        location /few/ {{ alias {folder}/www/; keepalive_requests 3; }}
        location /brief/ {{ alias {folder}/www/; keepalive_timeout 1ms; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
        location /nowhere/ {{ return 503; }}
        location /ours/ {{ proxy_pass http://ours/; }}
        location /streamed/ {{ proxy_pass http://ours/; proxy_request_buffering off;
                               proxy_buffering off; }}
        {secure_locations}
    }}
}}
"""
# Two, since a pooled connection is not asked which name it was checked for.
NGINX_SECURE_UPSTREAM = """
    upstream ours_secure {{ server 127.0.0.1:{0}; keepalive 8; }}
    upstream ours_other {{ server 127.0.0.1:{0}; }}
"""
NGINX_SECURE_LISTEN = """
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {certs}/server.pem;
        ssl_certificate_key {certs}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
"""
NGINX_SECURE_LOCATIONS = """
        proxy_ssl_server_name on;
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 3;
        proxy_ssl_trusted_certificate {certs}/ca.pem;
        location /secure/ {{ proxy_pass https://ours_secure/; proxy_ssl_name server.test; }}
        location /other/ {{ proxy_pass https://ours_other/; proxy_ssl_name wrong.test; }}
        location /tls12/ {{ proxy_pass https://ours_secure/; proxy_ssl_name server.test;
                            proxy_ssl_protocols TLSv1.2; }}
"""

HAPROXY_CONF = """
global
    maxconn 200
defaults
    mode http
    timeout connect 300s
    timeout client 300s
    timeout server 300s
    http-reuse always
frontend plain
    bind fd@{plain}
    http-request return status 200 content-type text/plain string "own" if {{ path /own }}
    http-request redirect location /ours/plaintext if {{ path /moved }}
    use_backend secure if {{ path_beg /secure/ }}
    use_backend other if {{ path_beg /other/ }}
    default_backend ours
frontend brief
    bind fd@{brief}
    timeout http-keep-alive 1ms
    http-request return status 200 content-type text/plain string "own"
{secure_listen}
backend ours
    http-request replace-path /ours(/.*) \\1
    server ours 127.0.0.1:{ours} pool-purge-delay 300s
backend secure
    http-request replace-path /secure(/.*) \\1
    {secure_server}
backend other
    http-request replace-path /other(/.*) \\1
    {other_server}
"""
HAPROXY_SECURE = "server s 127.0.0.1:{0} ssl verify required ca-file {1}/ca.pem sni str({2})"


class Peer:
    """A process with listening sockets that it inherits, named by `names`."""

    def __init__(self, *names):
        self.folder = tempfile.TemporaryDirectory()
        self.sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
        self.ports = {name: s.getsockname()[1] for name, s in self.sockets.items()}
        self.process = None

    def file(self, name, data):
        path = os.path.join(self.folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def read(self, name):
        with open(os.path.join(self.folder.name, name), encoding="utf-8") as file:
            return file.read()

    def url(self, name, path):
        scheme, host = ("https", "localhost") if name == "tls" else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.ports[name]}{path}"

    def run(self, command, **env):
        with open(os.path.join(self.folder.name, "said"), "wb") as said:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said,
                                            stderr=said, env={**os.environ, **env},
                                            pass_fds=[s.fileno() for s in self.sockets.values()])
        for listener in self.sockets.values():
            listener.close()  # if it dies connections are refused

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def nginx(ours, ours_secure):
    """An nginx before our servers at two ports, with FILES of its own."""
    peer = Peer("plain", *(["tls"] if tls.CERTS else []))
    for name, data in FILES.items():
        peer.file("www/" + name, data)
    where = {"folder": peer.folder.name, "certs": tls.CERTS, "ours": ours, **peer.ports}
    secure = bool(tls.CERTS)
    conf = NGINX_CONF.format(
        user="user root;" if os.geteuid() == 0 else "",
        secure_upstream=NGINX_SECURE_UPSTREAM.format(ours_secure) if secure else "",
        secure_listen=NGINX_SECURE_LISTEN.format(**where) if secure else "",
        secure_locations=NGINX_SECURE_LOCATIONS.format(**where) if secure else "", **where)
    path = peer.file("conf", conf.encode())
    # As it hands them to the process that replaces it.
    handed = "".join(f"{s.fileno()};" for s in peer.sockets.values())
    peer.run([NGINX, "-p", peer.folder.name, "-c", path, "-e",
              os.path.join(peer.folder.name, "error.log")], NGINX=handed)
    return peer


def haproxy(ours, ours_secure):
    peer = Peer("plain", "brief", *(["tls"] if tls.CERTS else []))
    fds = {name: s.fileno() for name, s in peer.sockets.items()}
    listen = server = other = ""
    if tls.CERTS:
        pem = b""
        for end in (".pem", ".key"):
            with open(tls.path("server" + end), "rb") as file:
                pem += file.read()
        listen = ("frontend tls\n    bind fd@%d ssl crt %s\n    default_backend ours" %
                  (fds["tls"], peer.file("pem", pem)))
        server, other = (HAPROXY_SECURE.format(ours_secure, tls.CERTS, host)
                         for host in ("server.test", "wrong.test"))
    path = peer.file("conf", HAPROXY_CONF.format(secure_listen=listen, ours=ours,
                                                 secure_server=server, other_server=other,
                                                 **fds).encode())
    peer.run([HAPROXY, "-db", "-f", path])
    return peer


def node(*_):
    """A server of node's, which is before nobody."""
    peer = Peer("plain", *(["tls"] if tls.CERTS else []))
    words = [str(s.fileno()) for s in peer.sockets.values()]
    if tls.CERTS:
        words += [tls.path("server.pem"), tls.path("server.key")]
    peer.run([NODE, os.path.join(os.path.dirname(os.path.abspath(__file__)), "upstream.js"),
              *words])
    return peer


class Case(unittest.TestCase):
    """Both of our servers, and a peer before them."""

    make = None

    @classmethod
    def setUpClass(cls):
        cls.plain = cls.enterClassContext(Program())
        cls.secure = cls.enterClassContext(Program(*tls.pair("server"))) if tls.CERTS else None
        cls.peer = cls.enterClassContext(
            cls.make(cls.plain.port, cls.secure.port if cls.secure else 0))

    def fetch(self, *words):
        trust = ["--cacert", tls.path("ca.pem")] if tls.CERTS else []
        got = client.fetch(*trust, *words)
        self.assertEqual((got.returncode, got.stderr), (0, ""),
                         (got.stdout[-2000:], self.peer.read("said")))
        return got.stdout

    def told(self, *words):
        """What --json says of each."""
        return [json.loads(line) for line in self.fetch("--json", *words).splitlines()]

    def body(self, *words):
        path = os.path.join(self.peer.folder.name, "got")
        self.fetch("-o", path, *words)
        with open(path, "rb") as file:
            return file.read()

    def same(self, got, want, what):
        self.assertEqual((len(got), hashlib.sha256(got).hexdigest()),
                         (len(want), hashlib.sha256(want).hexdigest()), what)

    def connect(self):
        return Connection(self.peer.ports["plain"])

    def entries(self):
        """Names of the listeners to ask."""
        return [name for name in ("plain", "tls") if name in self.peer.ports]

    def posts(self, prefix, *more):
        """Bodies of each framing, through the peer to /echo and back."""
        with self.connect() as conn:
            for body in (b"", b"x", FILES["random"], *more):
                conn.send(b"POST %s/echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" %
                          (prefix, len(body)))
                self.both(conn, body)
                conn.send(b"POST %s/echo HTTP/1.1\r\nHost: t\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n" % prefix)
                pieces = [body[at:at + 70_000] for at in range(0, len(body), 70_000)]
                self.both(conn, body, b"".join(b"%x\r\n%s\r\n" % (len(piece), piece)
                                               for piece in pieces) + b"0\r\n\r\n")

    def both(self, conn, body, sent=None):
        """Send and receive side by side: the answer of an echo begins before its request ends."""
        sender = client.threading.Thread(target=conn.send, args=(body if sent is None else sent,))
        sender.start()
        answer = conn.answer()
        sender.join()
        self.assertEqual(answer.status, 200)
        self.same(answer.body, body, len(body))


@unittest.skipUnless(NGINX, "nginx is not installed")
class Nginx(Case):
    make = staticmethod(nginx)

    def log(self, prefix):
        """Of each request below `prefix` that it has logged: connection, number on it, status."""
        found = re.findall(r"(?m)^(\d+) (\d+) HTTP/1.1 \S+ (\S+) (\d+)$",
                           self.peer.read("access.log"))
        return [(conn, int(number), int(status)) for conn, number, path, status in found
                if path.startswith(prefix)]

    def test_bodies_as_they_are_gzipped_and_chunked(self):
        asked = [(entry, way, name) for entry in self.entries()
                 for way in ("/", "/gzip/", "/chunked/") for name in FILES]
        words = []
        for number, (entry, way, name) in enumerate(asked):
            words += ["-o", os.path.join(self.peer.folder.name, f"got{number}"),
                      self.peer.url(entry, way + name)]
        self.fetch("--parallel", "4", *words)
        for number, what in enumerate(asked):
            with open(words[3 * number + 1], "rb") as file:
                self.same(file.read(), FILES[what[2]], what)

    def test_it_did_gzip_and_chunk(self):
        def head(path, *words):
            got = client.fetch("-v", *words, self.peer.url("plain", path))
            return got.stderr.lower(), got.stdout
        self.assertIn("< content-encoding: gzip", head("/gzip/zeros")[0])
        self.assertIn("< transfer-encoding: chunked", head("/chunked/large", "-o",
                                                           os.devnull)[0])
        coded = os.path.join(self.peer.folder.name, "coded")
        head("/gzip/zeros", "-H", "Accept-Encoding: gzip", "-o", coded)
        with open(coded, "rb") as file:
            self.same(gzip.decompress(file.read()), FILES["zeros"], "as it came")

    def test_head_and_not_modified(self):
        for entry in self.entries():
            url = self.peer.url(entry, "/random")
            head, = self.told("-X", "HEAD", url)
            self.assertEqual((head["status"], head["bytes"]), (200, 0))
            tag = re.search(r"(?mi)^< etag: (\S+)$", client.fetch(
                "-v", "-X", "HEAD", self.peer.url("plain", "/random")).stderr).group(1)
            again = self.told("--parallel", "1", "-H", "If-None-Match: " + tag, url, url)
            self.assertEqual([(a["status"], a["bytes"]) for a in again], [(304, 0)] * 2)

    def test_redirected(self):
        for entry in self.entries():
            self.same(self.body(self.peer.url(entry, "/moved/hello")), TEXT, entry)
        moved, = self.told("--redirect", "manual", self.peer.url("plain", "/moved/hello"))
        self.assertEqual(moved["status"], 302)

    def test_statuses_of_failure(self):
        got = self.told(self.peer.url("plain", "/absent"), self.peer.url("plain", "/nowhere/"))
        self.assertEqual([one["status"] for one in got], [404, 503])

    def test_connections_are_kept(self):
        url = self.peer.url("plain", "/hello?kept")
        self.fetch("--json", "--parallel", "1", *[url] * 20)
        numbers = [number for _, number, _ in self.log("/hello")]
        self.assertGreaterEqual(max(numbers), 19)  # the last may not be in the log yet

    def test_one_that_closes_after_three_requests(self):
        for entry in self.entries():
            got = self.told("--parallel", "1", *[self.peer.url(entry, "/few/hello")] * 20)
            self.assertEqual([one["status"] for one in got], [200] * 20)
        self.assertEqual(max(number for _, number, _ in self.log("/few/")), 3)

    def test_one_that_closes_a_pooled_connection_at_once(self):
        urls = [self.peer.url("plain", f"/brief/hello?{n}") for n in range(300)]
        got = self.told("--parallel", "5", *urls)
        self.assertEqual([one["status"] for one in got], [200] * 300)

    def test_before_our_server(self):
        for prefix in ("/ours", "/streamed"):
            with self.connect() as conn:
                for _ in range(20):
                    self.assertEqual(conn.get(prefix + "/plaintext").body, TEXT)
                self.assertEqual(len(conn.get(prefix + "/bytes/5000000").body), 5_000_000)
                self.assertEqual(conn.get(prefix + "/nowhere").status, 404)
                conn.send(b"HEAD %s/json HTTP/1.1\r\nHost: t\r\n\r\n" % prefix.encode())
                self.assertEqual(conn.answer("HEAD").status, 200)
        self.assertGreaterEqual(established(self.plain.port), 1)

    def test_request_bodies_buffered_and_streamed_to_our_server(self):
        # What sockets' buffers hold: once an answer begins, nginx sends no more of a request.
        self.posts(b"/ours")
        self.posts(b"/streamed")

    def test_our_client_through_it_to_our_server(self):
        for entry in self.entries():
            got = self.fetch("-d", "a=1", "-H", "Content-Type: text/plain",
                             self.peer.url(entry, "/ours/echo"))
            self.assertEqual(got, "a=1")

    @unittest.skipUnless(tls.CERTS, "built without TLS")
    def test_before_our_server_over_tls(self):
        with self.connect() as conn:
            for prefix in ("/secure", "/tls12"):
                for _ in range(5):
                    self.assertEqual(conn.get(prefix + "/plaintext").body, TEXT)
                self.assertEqual(len(conn.get(prefix + "/bytes/5000000").body), 5_000_000)
            self.assertEqual(conn.get("/other/plaintext").status, 502)
        self.posts(b"/secure")
        self.assertGreaterEqual(established(self.secure.port), 1)
        self.assertIn("does not match", self.peer.read("error.log"))


@unittest.skipUnless(HAPROXY, "haproxy is not installed")
class Haproxy(Case):
    make = staticmethod(haproxy)

    def test_its_own_answers_and_redirections(self):
        own, moved = (self.fetch(self.peer.url("plain", path)) for path in ("/own", "/moved"))
        self.assertEqual((own, moved.encode()), ("own", TEXT))

    def test_our_client_through_it_to_our_server(self):
        want = (b"0123456789abcdef" * 320_000)[:5_000_000]
        for entry in self.entries():
            self.same(self.body(self.peer.url(entry, "/bytes/5000000")), want, entry)
            self.same(self.body("-d", "@" + self.peer.file("sent", FILES["random"]),
                                "-H", "Content-Type: x/y", self.peer.url(entry, "/echo")),
                      FILES["random"], entry)
            head, = self.told("-X", "HEAD", self.peer.url(entry, "/bytes/1000"))
            self.assertEqual((head["status"], head["bytes"]), (200, 0))
            got = self.told("--parallel", "3", *[self.peer.url(entry, "/plaintext")] * 50)
            self.assertEqual([one["status"] for one in got], [200] * 50)

    def test_one_that_closes_a_pooled_connection_at_once(self):
        urls = [self.peer.url("brief", f"/{n}") for n in range(300)]
        got = self.told("--parallel", "5", *urls)
        self.assertEqual([one["status"] for one in got], [200] * 300)

    def test_before_our_server(self):
        with self.connect() as conn:
            for _ in range(20):
                self.assertEqual(conn.get("/plaintext").body, TEXT)
        self.posts(b"", FILES["large"])
        self.assertGreaterEqual(established(self.plain.port), 1)

    @unittest.skipUnless(tls.CERTS, "built without TLS")
    def test_before_our_server_over_tls(self):
        with self.connect() as conn:
            for _ in range(5):
                self.assertEqual(conn.get("/secure/plaintext").body, TEXT)
            self.assertEqual(len(conn.get("/secure/bytes/5000000").body), 5_000_000)
            self.assertEqual(conn.get("/other/plaintext").status, 503)
        self.posts(b"/secure", FILES["large"])


@unittest.skipUnless(NODE, "node is not installed")
class Node(Case):
    make = staticmethod(node)

    def test_bodies_both_ways(self):
        sent = self.peer.file("sent", FILES["random"])
        for entry in self.entries():
            for size in (0, 1, 1_000_000):
                self.same(self.body(self.peer.url(entry, f"/{size}")), b"n" * size, entry)
            self.same(self.body("-d", f"@{sent}", self.peer.url(entry, "/echo")),
                      FILES["random"], entry)

    def test_connections_are_kept(self):
        for entry in self.entries():
            told = self.told("--parallel", "1", *[self.peer.url(entry, "/13")] * 5)
            self.assertEqual([one["reused"] for one in told], [False] + [True] * 4, entry)
            self.assertEqual({one["status"] for one in told}, {200})


if __name__ == "__main__":
    if tls.CERTS:
        tls.make_certs()
    main()
