"""OCSP stapling: other programs' clients ask our server, our client asks other servers. And that
our client resumes its sessions."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import program
import tls
from fetch import FETCH
from program import main, needs, PATIENCE, run
from tls import Server, pair, path


class Stapling(Server):
    def staple(self, port, version, *flags):
        """What openssl's client says of the stapled response."""
        return run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile",
                    path("ca.pem"), "-servername", "server.test", version, *flags],
                   input="").stdout

    @needs("openssl")
    def test_openssl_asks(self):
        server = self.usual("--tls-ocsp", path("good.ocsp"))
        for version in ("-tls1_2", "-tls1_3"):
            said = self.staple(server.port, version, "-status")
            self.assertIn("OCSP Response Status: successful", said, version)
            self.assertIn("Cert Status: good", said)
            self.assertNotIn("OCSP", self.staple(server.port, version), "nobody has asked")

    @needs("openssl")
    def test_a_resumed_session_has_no_status_and_is_fine(self):
        server = self.usual("--tls-ocsp", path("good.ocsp"))
        said = self.staple(server.port, "-tls1_2", "-status", "-reconnect")
        self.assertEqual(said.count("\nReused, "), 5, said[-2000:])

    @needs("openssl")
    def test_each_certificate_has_its_own(self):
        server = self.start(*pair("other"), *pair("server"), "--tls-ocsp", path("usual.ocsp"))
        for name, asked in (("server.test", True), ("other.test", False)):
            said = self.staple(server.port, "-tls1_3", "-status", "-servername", name)
            self.assertEqual("Cert Status: good" in said, asked, name)

    @needs("curl")
    def test_curl_requires_one(self):
        for flags, code in ((["--tls-ocsp", path("usual.ocsp")], 0), ([], 91)):
            server = self.usual(*flags)
            done = run(["curl", "-sS", "--cert-status", "--cacert", path("ca.pem"), "--resolve",
                        f"server.test:{server.port}:127.0.0.1",
                        f"https://server.test:{server.port}/plaintext"])
            self.assertEqual(done.returncode, code, done.stderr)

    @needs("gnutls-cli")
    def test_gnutls_asks(self):
        server = self.usual("--tls-ocsp", path("usual.ocsp"))
        for version in ("1.2", "1.3"):
            done = run(["gnutls-cli", "--x509cafile", path("ca.pem"), "-p", str(server.port),
                        "--verify-hostname", "server.test", "--sni-hostname", "server.test",
                        "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "127.0.0.1"],
                       input="")
            self.assertIn("OCSP status request", done.stdout, version)
            self.assertIn("The certificate is trusted", done.stdout)

    def test_what_cannot_be_stapled_is_refused(self):
        for name, words in (("revoked.ocsp", "says that the certificate is revoked"),
                            ("stale.ocsp", "is out of date"),
                            ("second.ocsp", "is the status of another certificate"),
                            ("ca.pem", "is no OCSP response in DER"),
                            ("absent.ocsp", "No such file")):
            done = run([program.PROGRAM, "--listen", "127.0.0.1:0", *pair("server"), "--tls-ocsp",
                        path(name)])
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(f"{path(name)}: ", done.stderr)
            self.assertIn(words.lower(), done.stderr.lower())
        done = run([program.PROGRAM, "--tls-ocsp", path("good.ocsp"), *pair("server")])
        self.assertEqual(done.returncode, 2)
        self.assertIn("--tls-ocsp", done.stderr)

    def wait_for(self, server, words):
        end = time.monotonic() + PATIENCE
        while words not in server.said() and time.monotonic() < end:
            time.sleep(0.02)
        self.assertIn(words, server.said())

    @needs("openssl")
    def test_reload(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        used = os.path.join(folder, "used.ocsp")
        shutil.copy(path("good.ocsp"), used)
        server = self.usual("--tls-ocsp", used, cores=2)
        shutil.copy(path("revoked.ocsp"), used)
        server.signal(signal.SIGHUP)
        self.wait_for(server, "says that the certificate is revoked")
        self.assertIn("Cert Status: good", self.staple(server.port, "-tls1_3", "-status"))
        shutil.copy(path("usual.ocsp"), used)
        server.signal(signal.SIGHUP)
        self.wait_for(server, "reload: ")
        end = time.monotonic() + PATIENCE
        said = ""
        while "2098" in (said or "2098") and time.monotonic() < end:
            said = self.staple(server.port, "-tls1_2", "-status")
        self.assertIn("Cert Status: good", said)
        self.assertNotIn("2098", said)


class Fetch(unittest.TestCase):
    """httpshard fetch against openssl's server, which staples what it is told to."""

    def fetch(self, response, version, *flags, times=1, out=("-o", "/dev/null")):
        with subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-www", version,
                               "-cert", path("server.crt"), "-cert_chain", path("inter.crt"),
                               "-key", path("server.key"), "-status_file", path(response)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as server:
            try:
                port = 0
                for line in server.stdout:
                    if line.startswith(b"ACCEPT"):
                        port = int(line.split(b":")[-1])
                        break
                self.assertGreater(port, 0)
                return run([program.PROGRAM, *FETCH, *out, "--cacert", path("ca.pem"), *flags,
                            *[f"https://localhost:{port}/"] * times], stdin=subprocess.DEVNULL)
            finally:
                server.kill()

    @needs("openssl")
    def test_each_response_has_its_own_end(self):
        for version, response, words in (("-tls1_2", "usual.ocsp", None),
                                         ("-tls1_2", "revoked.ocsp", "certificate revoked"),
                                         ("-tls1_2", "forged.ocsp", "is no good: forged"),
                                         ("-tls1_3", "usual.ocsp", None),
                                         ("-tls1_3", "revoked.ocsp", "certificate revoked"),
                                         ("-tls1_3", "forged.ocsp", "is no good: forged"),
                                         ("-tls1_3", "stale.ocsp", "out of date")):
            done = self.fetch(response, version)
            with self.subTest(version=version, response=response):
                if words is None:
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                else:
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(words, done.stderr)

    @needs("openssl")
    def test_sessions_are_resumed_unless_any_certificate_is_taken(self):
        for flags, resumed in (((), 2), (("--insecure",), 0)):
            done = self.fetch("usual.ocsp", "-tls1_3", "--parallel", "1", *flags, times=3, out=())
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout.count("Reused, TLSv1.3"), resumed)
            self.assertEqual(done.stdout.count("New, TLSv1.3"), 3 - resumed)

    @needs("openssl")
    def test_what_each_handshake_came_to_is_told(self):
        done = self.fetch("usual.ocsp", "-tls1_3", "--parallel", "1", "--json", times=2, out=())
        told = [json.loads(line)["tls"] for line in done.stdout.splitlines()]
        self.assertEqual([t["resumed"] for t in told], [False, True])
        self.assertEqual([t["stapled"] for t in told], [True, False])
        self.assertEqual([t["alpn"] for t in told], [None, None])
        done = self.fetch("usual.ocsp", "-tls1_3", "--parallel", "1", "-v", times=2)
        self.assertEqual(done.stderr.count("* the session was resumed\n"), 1)
        self.assertEqual(done.stderr.count("* OCSP: the stapled response was checked"), 1)

    @needs("openssl")
    def test_who_takes_any_certificate_takes_a_revoked_one(self):
        done = self.fetch("revoked.ocsp", "-tls1_3", "--insecure")
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    tls.make_certs()
    main()
