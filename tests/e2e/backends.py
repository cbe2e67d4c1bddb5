"""Where io_uring cannot be used, or not all of it: the server serves, and says why.

Each denial is a seccomp filter, as container runtimes have them; each feature is switched off by
HS_CAPS_DISABLE. Every case is a whole server with real connections.
"""

import contextlib
import ctypes
import glob
import os
import re
import resource
import signal
import subprocess
import time
import unittest

import program
from program import Program, main, run

DENY = os.environ.get("HTTPSHARD_DENY", "")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LISTEN = ("--listen", "127.0.0.1:0")
TEXT = b"Hello, World!"
FILTER = "a seccomp profile with io_uring_setup, io_uring_enter and io_uring_register"

PR_CAPBSET_DROP = 24

# What is denied, the cause that is told, and the remedy.
DENIALS = (
    ("io_uring_setup=EPERM", r"io_uring_setup: EPERM \(a seccomp filter\)", FILTER),
    ("io_uring_setup=ENOSYS",
     r"io_uring_setup: ENOSYS \(a seccomp filter, or a kernel without io_uring\)", FILTER),
    ("io_uring_enter=EPERM", r"io_uring_enter: EPERM \(a seccomp filter\)", FILTER),
    ("io_uring_register=EPERM", r"io_uring_register: EPERM \(a seccomp filter\)", FILTER),
    ("io_uring_setup=EPERM,io_uring_enter=EPERM,io_uring_register=EPERM",
     r"io_uring_setup: EPERM \(a seccomp filter\)", FILTER),
)


def environment(**changes):
    """The environment without what chooses a backend, and with `changes`."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("HS_IO", "HS_CAPS_DISABLE")}
    return {**kept, **changes}


def have_uring():
    """Whether io_uring can be used here at all."""
    with Program(env=environment()) as server:
        return "io=uring" in server.stop()


def have_filters():
    return subprocess.run([DENY, "io_uring_setup=EPERM", "true"], check=False,
                          stdout=subprocess.DEVNULL).returncode == 0


def switches():
    """Every name that the sources ask HS_CAPS_DISABLE for."""
    found = set()
    for path in glob.glob(os.path.join(ROOT, "*", "*.c")):
        with open(path, encoding="utf-8") as file:
            found.update(re.findall(r'\bhs_caps_off\("(\w+)"\)', file.read()))
    return sorted(found)


def lock_at_most(kib):
    """What runs in the child: so much memory may be locked, as for any user."""
    def limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (kib * 1024, kib * 1024))
        # CAP_IPC_LOCK (14) would lift the limit; an exec goes without what is not in this set.
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, 14, 0, 0, 0)
    return limit


class Serves(unittest.TestCase):
    """What every server here is put through."""

    def smoke(self, server):
        conns = []
        for _ in range(20):
            conns.append(server.connect())
            self.addCleanup(conns[-1].close)
            self.assertEqual(conns[-1].get("/plaintext").body, TEXT)
        body = os.urandom(100_000)
        conns[0].send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n" + body)
        self.assertEqual(conns[0].answer().body, body)
        conns[1].send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n" * 50)
        for _ in range(50):
            self.assertEqual(conns[1].answer().body, TEXT)
        self.assertEqual(len(conns[2].get("/bytes/3000000").body), 3_000_000)
        self.assertEqual(conns[3].get("/delay/20").body, b"delayed\n")
        for conn in conns:
            conn.close()


class Denied(Serves):
    """Seccomp filters: auto falls back, and says why and how to mend it, in one line."""

    def setUp(self):
        if not have_filters():
            self.skipTest("this machine has no seccomp filters")

    def test_auto_falls_back(self):
        for denied, cause, remedy in DENIALS:
            for flags in ((), ("--io", "auto")):
                with self.subTest(denied=denied, flags=flags):
                    with Program(*flags, cores=2, prefix=(DENY, denied),
                                 env=environment()) as server:
                        self.smoke(server)
                        said = server.stop()
                    self.assertRegex(said, cause + r": using epoll; to allow: .*\n")
                    self.assertIn(remedy, said)
                    self.assertIn("io=epoll", said)

    def test_uring_fails_with_the_reason(self):
        for denied, cause, remedy in DENIALS:
            for flags, env in ((("--io", "uring"), {}), ((), {"HS_IO": "uring"}),
                               (("--io=uring",), {"HS_IO": "epoll"})):
                with self.subTest(denied=denied, flags=flags, env=env):
                    got = run([DENY, denied, program.PROGRAM, *LISTEN, *flags],
                              env=environment(**env))
                    self.assertEqual(got.returncode, 1, got.stderr)
                    self.assertRegex(got.stderr, cause + "; to allow: ")
                    self.assertIn(remedy, got.stderr)
                    self.assertNotIn("listening on", got.stdout)

    def test_epoll_does_not_even_ask(self):
        for denied, _, _ in DENIALS:
            with self.subTest(denied=denied):
                with Program("--io", "epoll", prefix=(DENY, denied),
                             env=environment()) as server:
                    self.smoke(server)
                    said = server.stop()
                self.assertIn("io=epoll", said)
                self.assertNotIn("io_uring", said)


class Chosen(Serves):
    def test_by_flag_and_by_environment(self):
        best = "uring" if have_uring() else "epoll"
        for flags, said, expected in (((), "", best), (("--io", "auto"), "auto", best),
                                      (("--io", "epoll"), "uring", "epoll"), ((), "epoll", "epoll"),
                                      (("--io", best), "epoll", best)):
            with self.subTest(flags=flags, HS_IO=said):
                env = environment(HS_IO=said) if said else environment()
                with Program(*flags, env=env) as server:
                    self.smoke(server)
                    self.assertRegex(server.stop(), f"io={expected} ")

    def test_what_is_no_backend(self):
        got = run([program.PROGRAM, *LISTEN, "--io", "kqueue"])
        self.assertEqual(got.returncode, 2)
        self.assertRegex(got.stderr, "--io: wants auto, uring or epoll")
        got = run([program.PROGRAM, *LISTEN], env=environment(HS_IO="kqueue"))
        self.assertEqual(got.returncode, 1)
        self.assertRegex(got.stderr, "HS_IO wants auto, uring or epoll")


class SwitchedOff(Serves):
    """Each feature of the kernel that has a fallback, without it."""

    def serve_without(self, names, **environ):
        env = environment(HS_CAPS_DISABLE=names, **environ)
        with Program(cores=2, env=env) as server:
            self.smoke(server)
            return server.stop()

    def test_each_one(self):
        found = switches()
        self.assertTrue({"io_uring", "msg_ring", "ring_fd"} <= set(found), found)
        uring = have_uring()
        for name in found:
            with self.subTest(name=name):
                said = self.serve_without(name)
                if uring and name in ("msg_ring", "ring_fd"):
                    self.assertRegex(said, rf"io=uring .*{name}=no\b")
                if name == "io_uring":
                    self.assertRegex(said, r"HS_CAPS_DISABLE\): using epoll; to allow: ")

    def test_all_of_them(self):
        names = switches()
        self.serve_without(",".join(names))
        names.remove("io_uring")
        self.serve_without(",".join(names))
        self.serve_without(",".join(names), HS_IO="epoll")


class Doctor(unittest.TestCase):
    """`httpshard doctor` tells what a server would run on, and why."""

    TOPICS = ("kernel", "io_uring", "guard_madv", "seccomp", "sysctl", "memlock", "files",
              "cpu.max", "memory.max", "pids.max", "processors", "backend")

    def doctor(self, *flags, prefix=(), status=0, **environ):
        """The findings as {topic: (grade, text, remedy)}."""
        got = run([*prefix, program.PROGRAM, "doctor", *flags],
                  env=environment(**environ))
        self.assertEqual(got.returncode, status, got.stdout + got.stderr)
        found = {}
        topic = None
        for line in got.stdout.splitlines():
            remedy = re.match(r" +-> (.+)$", line)
            if remedy:
                found[topic] = (*found[topic][:2], remedy[1])
                continue
            grade, topic, text = re.match(r"(ok|warn|bad) +(\S+) +(\S.*)$", line).groups()
            self.assertNotIn(topic, found)
            found[topic] = (grade, text, None)
        for topic, (grade, text, remedy) in found.items():
            if grade == "ok":
                self.assertIsNone(remedy, topic + ": " + text)
        self.assertLessEqual(set(self.TOPICS), set(found))
        return found

    def test_here(self):
        found = self.doctor()
        best = "uring" if have_uring() else "epoll"
        self.assertRegex(found["backend"][1], rf"^{best}\b")
        self.assertIn(os.uname().release, found["kernel"][1])
        cpus = len(os.sched_getaffinity(0))
        self.assertRegex(found["processors"][1], rf"^{cpus} may be used")

    def test_what_denies_io_uring(self):
        if not have_filters():
            self.skipTest("this machine has no seccomp filters")
        for denied, cause, remedy in DENIALS:
            with self.subTest(denied=denied):
                found = self.doctor(prefix=(DENY, denied))
                self.assertEqual(found["io_uring"][0], "warn")
                self.assertRegex(found["io_uring"][1], cause)
                self.assertIn(remedy, found["io_uring"][2])
                self.assertRegex(found["seccomp"][1], "a filter")
                self.assertEqual(found["backend"][0], "warn")
                self.assertRegex(found["backend"][1], "^epoll")
                found = self.doctor("--io", "uring", prefix=(DENY, denied), status=1)
                self.assertEqual(found["backend"][0], "bad")
                self.assertIn(remedy, found["backend"][2])
                self.assertEqual(self.doctor("--io=epoll", prefix=(DENY, denied))["backend"][0],
                                 "ok")

    def test_what_is_switched_off(self):
        if not have_uring():
            self.skipTest("io_uring cannot be used here")
        for name in ("msg_ring", "ring_fd", "guard_madv"):
            with self.subTest(name=name):
                grade, text, remedy = self.doctor(HS_CAPS_DISABLE=name)[name]
                self.assertEqual(grade, "warn")
                self.assertRegex(text, "^switched off: ")
                self.assertIn("HS_CAPS_DISABLE", remedy)

    def test_too_few_files(self):
        grade, text, remedy = self.doctor(prefix=("prlimit", "--nofile=70:70"), status=1)["files"]
        self.assertEqual(grade, "bad")
        self.assertRegex(text, "^70 may be open")
        self.assertIn("LimitNOFILE", remedy)
        self.assertEqual(self.doctor(prefix=("prlimit", "--nofile=1000:1000"))["files"][0], "warn")

    def test_what_is_no_backend(self):
        self.assertEqual(self.doctor(status=1, HS_IO="kqueue")["backend"][0], "bad")
        for flags in (("--io", "kqueue"), ("--io",), ("--colour",), ("here",)):
            got = run([program.PROGRAM, "doctor", *flags])
            self.assertEqual(got.returncode, 2, flags)
            self.assertIn("httpshard doctor --help", got.stderr)
        got = run([program.PROGRAM, "doctor", "--help"])
        self.assertEqual(got.returncode, 0)
        self.assertTrue(got.stdout.startswith("usage: httpshard doctor"))


# Calls that start, turn and stop make, which a filter denies: the server serves without.
SPARED = ("capget", "clone", "fcntl", "getrandom", "getsockopt", "madvise", "prctl", "prlimit64",
          "rt_sigaction", "rt_sigtimedwait", "sched_getaffinity", "sched_setaffinity",
          "sigaltstack", "sysinfo", "tgkill", "uname")
if program.SANITIZE:  # a sanitizer makes most of these calls itself
    SPARED = ("capget", "rt_sigtimedwait", "sched_setaffinity", "uname")
# It cannot start, and says so.
FATAL = ("bind", "clone3", "eventfd2", "getsockname", "listen", "setsockopt", "socket")
# What epoll needs: the log tells what each connection, or the shard, goes without.
TOLD = (("accept4", "accept: EPERM"),
        ("epoll_wait", "epoll_wait: EPERM: the shard cannot wait"),
        ("recvfrom", "a connection ended: receive: EPERM"),
        ("sendto", "a connection ended: send: EPERM"))


class Refused(Serves):
    """Any system call may be denied: no abort, no spinning, a line with the call or the error."""

    def setUp(self):
        if not have_filters():
            self.skipTest("this machine has no seccomp filters")

    def each_backend(self):
        return ("uring", "epoll") if have_uring() else ("epoll",)

    def test_calls_that_it_can_do_without(self):
        for io in self.each_backend():
            for call in SPARED + (("timerfd_settime",) if io == "epoll" else ()):
                with self.subTest(io=io, call=call):
                    with Program("--io", io, cores=2, prefix=(DENY, call + "=EPERM"),
                                 env=environment()) as server:
                        self.smoke(server)

    def test_calls_that_it_cannot_start_without(self):
        for io in self.each_backend():
            for call in FATAL:
                with self.subTest(io=io, call=call):
                    got = run([DENY, call + "=EPERM", program.PROGRAM, *LISTEN, "--io", io],
                              env=environment())
                    self.assertEqual(got.returncode, 1, got.stderr)
                    self.assertIn("EPERM", got.stderr)
        got = run([DENY, "clone3=EPERM", program.PROGRAM, *LISTEN], env=environment())
        self.assertRegex(got.stderr, "cannot make a thread: EPERM .*clone3")

    def test_what_epoll_goes_without_is_told(self):
        for call, words in TOLD:
            with self.subTest(call=call):
                server = Program("--io", "epoll", "--drain", "1", prefix=(DENY, call + "=EPERM"),
                                 env=environment())
                self.addCleanup(server.output.close)
                self.addCleanup(server.kill)
                with contextlib.suppress(OSError), server.connect() as conn:
                    conn.send(b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n")
                deadline = time.monotonic() + program.PATIENCE
                while words not in server.said() and time.monotonic() < deadline:
                    time.sleep(0.01)
                self.assertIn(words, server.said())
                server.signal(signal.SIGTERM)
                self.assertIn(server.wait(), (0, 3), server.said())


class LockedMemory(Serves):
    """RLIMIT_MEMLOCK, which a ring and its buffers count against."""

    def test_a_server_starts_whatever_may_be_locked(self):
        uring = have_uring()
        for kib in (8, 16, 32, 64, 96, 128, 192, 256, 8192):
            with self.subTest(kib=kib), Program(cores=2, preexec=lock_at_most(kib),
                                                env=environment()) as server:
                self.smoke(server)
                said = server.said()
                if "io=epoll" in said and uring:
                    self.assertRegex(said, r"ENOMEM: using epoll; to allow: .*ulimit -l")

    def test_many_shards_share_what_may_be_locked(self):
        with Program(cores=64, preexec=lock_at_most(8192), env=environment()) as server:
            self.smoke(server)
            self.assertEqual("io=epoll" in server.said(), not have_uring())


if __name__ == "__main__":
    main()
