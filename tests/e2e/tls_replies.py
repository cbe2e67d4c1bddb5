"""Peers over TLS that make the other side reply and do not read: OpenSSL's library, by ctypes."""

import ctypes
import ctypes.util
import os
import select
import socket
import subprocess
import sys
import threading
import unittest

from program import main, PATIENCE, Program, PROGRAM
from tls import make_certs, pair, path

GET = b"GET /plaintext HTTP/1.1\r\nHost: server.test\r\n\r\n"
# What a flood may get rid of before it has to wait: the system's buffers both ways, far below this.
FLOOD_BYTES = 16 << 20
MEMORY_BYTES = 4 << 20


SANITIZE = os.environ.get("HTTPSHARD_SANITIZE", "")  # keeps freed memory for a while


def library():
    name = ctypes.util.find_library("ssl")
    if not name:
        return None
    lib = ctypes.CDLL(name)
    for function in ("TLS_method", "SSL_CTX_new", "SSL_new", "BIO_new", "BIO_s_mem"):
        getattr(lib, function).restype = ctypes.c_void_p
    return lib


LIB = library()


def needs_library(test):
    return unittest.skipUnless(LIB and hasattr(LIB, "SSL_key_update"),
                               "SKIP: no libssl with SSL_key_update")(test)


class Ssl:
    """One end of a connection on OpenSSL; the bytes go through memory."""

    def __init__(self, sock, server=False):
        self.sock = sock
        self.left = b""
        context = ctypes.c_void_p(LIB.SSL_CTX_new(ctypes.c_void_p(LIB.TLS_method())))
        if server:
            assert LIB.SSL_CTX_use_certificate_chain_file(context, path("server.pem").encode()) == 1
            assert LIB.SSL_CTX_use_PrivateKey_file(context, path("server.key").encode(), 1) == 1
        self.ssl = ctypes.c_void_p(LIB.SSL_new(context))
        self.into = ctypes.c_void_p(LIB.BIO_new(ctypes.c_void_p(LIB.BIO_s_mem())))
        self.outof = ctypes.c_void_p(LIB.BIO_new(ctypes.c_void_p(LIB.BIO_s_mem())))
        LIB.SSL_set_bio(self.ssl, self.into, self.outof)
        (LIB.SSL_set_accept_state if server else LIB.SSL_set_connect_state)(self.ssl)
        while LIB.SSL_do_handshake(self.ssl) != 1:
            self.sock.sendall(self.made())
            self.receive()
        self.sock.sendall(self.made())

    def made(self):
        """What the library wants to have sent."""
        buffer = ctypes.create_string_buffer(65536)
        out = b""
        while (n := LIB.BIO_read(self.outof, buffer, len(buffer))) > 0:
            out += buffer.raw[:n]
        return out

    def receive(self):
        data = self.sock.recv(65536)
        assert data, "the peer has ended the connection"
        LIB.BIO_write(self.into, data, len(data))

    def write(self, data):
        assert LIB.SSL_write(self.ssl, data, len(data)) == len(data)
        self.sock.sendall(self.made())

    def read_until(self, text):
        """Read on until `text` was said."""
        buffer = ctypes.create_string_buffer(65536)
        said = b""
        while text not in said:
            n = LIB.SSL_read(self.ssl, buffer, len(buffer))
            if n > 0:
                said += buffer.raw[:n]
            else:
                self.receive()
        return said

    def ask_for_reply(self):
        """A message that the peer answers by itself."""
        assert LIB.SSL_key_update(self.ssl, 1) == 1
        LIB.SSL_do_handshake(self.ssl)
        return self.made()

    def flood(self):
        """Ask for replies and read none, until nothing more can be sent for a while. Returns how
        much was."""
        self.sock.setblocking(False)
        sent, left = 0, b""
        while sent < FLOOD_BYTES:
            while len(left) < 1 << 16:
                left += self.ask_for_reply()
            try:
                n = self.sock.send(left)
                sent += n
                left = left[n:]
            except BlockingIOError:
                # A peer that is slow only makes this one leave early.
                if not select.select([], [self.sock], [], 1)[1]:
                    break
        self.sock.setblocking(True)
        self.left = left
        return sent

    def go_on(self, data):
        """Send the flood's last records and `data`, while reading what was not read."""
        assert LIB.SSL_write(self.ssl, data, len(data)) == len(data)
        left = self.left + self.made()
        thread = threading.Thread(target=self.sock.sendall, args=(left,))
        thread.start()
        return thread


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Replies(unittest.TestCase):

    @needs_library
    def test_key_updates_of_a_client_that_does_not_read(self):
        server = Program(*pair("server"))
        self.addCleanup(server.__exit__, None)
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.settimeout(PATIENCE)
            conn = Ssl(sock)
            conn.write(GET)
            conn.read_until(b"Hello, World!")
            before = resident(server.process.pid)
            self.assertLess(conn.flood(), FLOOD_BYTES)
            if not SANITIZE:
                self.assertLess(resident(server.process.pid), before + MEMORY_BYTES)
            # A client that reads at last is served on.
            sock.settimeout(PATIENCE)
            thread = conn.go_on(GET)
            conn.read_until(b"Hello, World!")
            thread.join()

    @needs_library
    def test_a_server_that_does_not_read(self):
        """KeyUpdates in the middle of a response."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fetch = subprocess.Popen(
                [PROGRAM, "fetch", "--insecure", "--max-time", str(PATIENCE),
                 f"https://127.0.0.1:{listener.getsockname()[1]}/"],
                stdout=subprocess.PIPE)
            self.addCleanup(fetch.wait)
            self.addCleanup(fetch.kill)
            sock, _ = listener.accept()
        with sock:
            sock.settimeout(PATIENCE)
            conn = Ssl(sock, server=True)
            conn.read_until(b"\r\n\r\n")
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            before = resident(fetch.pid)
            self.assertLess(conn.flood(), FLOOD_BYTES)
            if not SANITIZE:
                self.assertLess(resident(fetch.pid), before + MEMORY_BYTES)
            sock.settimeout(PATIENCE)
            thread = conn.go_on(b"world")
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass  # it has its response, and does not wait for more
            thread.join()
        self.assertEqual(fetch.communicate()[0], b"helloworld")


if __name__ == "__main__":
    make_certs()
    main()
