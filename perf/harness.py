"""What the commands in perf/ share: servers as child processes, and what the kernel says of them.

Owns: starting a server pinned and learning where it listens, its CPU time, its private memory, how
busy the machine was otherwise. Must not know: which load is put on the server.
Checked by: perf/compare and perf/idle, which refuse to quote what they could not verify.
"""

import glob
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h: all of a process's threads, as scheduled
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
PARTS = 5  # of a run, each with a ratio of its own: how far they are apart tells what it is worth
LISTENING = re.compile(rb"listening on https?://(\S+):(\d+)")


class Failure(Exception):
    """Something that makes a figure unfit to quote; the text says what and what to do."""


def run_command(name, main):
    """Run main() as a command: whatever ends it, the servers that it started end too."""
    def told(number, _):
        raise SystemExit(128 + number)
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, told)
    try:
        main()
    except Failure as failure:
        sys.exit(f"{name}: {failure}")


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def build_program(preset, name):
    path = os.path.join(ROOT, "build", preset, "bin", name)
    if not os.access(path, os.X_OK):
        raise Failure(f"{path} is missing: build it with "
                      f"'cmake --preset {preset} && cmake --build build/{preset} --target {name}'")
    return path


class Server:
    """A server process (with its children) that runs on the given processors only.

    `command` is a list of words; "{port}" in them is replaced by a free port, and then the server
    is up once that port answers. Without it the server says "listening on http://ADDR:PORT" itself.
    """

    def __init__(self, command, cpus, start_s=300.0):
        self.port = None
        if any("{port}" in word for word in command):
            self.port = free_port()
            command = [word.replace("{port}", str(self.port)) for word in command]
        self.command = command
        self.address = "127.0.0.1"
        self.output = tempfile.TemporaryFile()  # a file and no pipe: nobody has to empty it
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self.output,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        except OSError as error:
            raise Failure(f"cannot run {command[0]}: {error.strerror}") from error
        try:
            self._await_up(time.monotonic() + start_s)
        except Failure:
            self.stop()
            raise

    def said(self):
        """What it wrote so far."""
        return os.pread(self.output.fileno(), 65536, 0)

    def _await_up(self, deadline):
        while time.monotonic() < deadline:
            if not self.alive():
                break
            if self.port is None:
                found = LISTENING.search(self.said())
                if found:
                    self.port = int(found.group(2))
            if self.port is not None and self._answers_connect():
                return
            time.sleep(0.01)
        what = "did not listen in time" if self.alive() else "ended at start"
        raise Failure(f"{self.command[0]} {what}: {self.said().decode(errors='replace').strip()}")

    def _answers_connect(self):
        try:
            socket.create_connection((self.address, self.port), 1).close()
            return True
        except OSError:
            return False

    def pids(self):
        """The process and its descendants."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for children in glob.glob(f"/proc/{pid}/task/*/children"):
                try:
                    todo += [int(word) for word in read(children).split()]
                except (FileNotFoundError, ProcessLookupError):
                    pass  # a thread that has just ended
        return found

    def cpu(self):
        """CPU time of all threads so far: seconds in all, and ticks of it in user and system mode.

        The sum is the process's CPU clock (clock_getcpuclockid(3)): nanoseconds, threads that have
        ended included. The ticks tell how to divide it.
        """
        seconds, user, system = 0.0, 0, 0
        for pid in self.pids():
            seconds += time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
            fields = read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        return seconds, user, system

    def private_bytes(self):
        """Memory that belongs to these processes alone (user memory; no sockets, no page cache).

        Clean pages are the program's file, but for those given back with MADV_FREE: they count as
        private or shared by whether another process runs the same file at that moment.
        """
        total_kb = 0
        for pid in self.pids():
            for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
                if line.startswith(("Private_Dirty:", "LazyFree:")):
                    total_kb += int(line.split()[1])
        return total_kb * 1024

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        """End it and everything it started."""
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(3)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.output.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


class Batches:
    """A program, pinned to one processor, that answers each line "N" by "N CPU_NS WALL_NS": what N
    of something took."""

    def __init__(self, command, cpu, env=None):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, **(env or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))

    def batch(self, count):
        """CPU and wall time of one, in us: of a batch of `count`."""
        try:
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it says why
        line = self.process.stdout.readline()
        if not line:
            raise Failure(self.process.stderr.read().strip() or "the load ended without a word")
        done, cpu_ns, wall_ns = map(int, line.split())
        return cpu_ns / done / 1e3, wall_ns / done / 1e3

    def stop(self):
        self.process.kill()
        self.process.communicate()


def rounds_within(rounds, seconds):
    """Numbers of rounds: `rounds` of them, or fewer where a busy machine would make them last
    longer than so many seconds, but no fewer than two for each part."""
    end = time.monotonic() + seconds
    for number in range(rounds):
        if number >= 2 * PARTS and time.monotonic() > end:
            return
        yield number


def quiet(values):
    """The tenth percentile. What disturbs only adds: the quietest batches are the server's own, and
    the very least of them would be luck."""
    return sorted(values)[len(values) // 10]


def ratio_with_band(ours, base):
    """Of the quiet batches' CPU time; the least and largest of each fifth of the run alone."""
    def ratio(part):
        return quiet([cpu for cpu, _ in part(ours)]) / quiet([cpu for cpu, _ in part(base)])

    parts = [ratio(lambda rows, at=at: rows[at::PARTS]) for at in range(PARTS)]
    return ratio(lambda rows: rows), min(parts), max(parts)


def cpu_busy_s(cpu):
    """Seconds that processor `cpu` has worked for anyone, and those stolen by the host, so far."""
    for line in read("/proc/stat").splitlines():
        words = line.split()
        if words[0] == f"cpu{cpu}":
            ticks = [int(word) for word in words[1:]]
            idle, steal = ticks[3] + ticks[4], ticks[7]
            return (sum(ticks[:8]) - idle - steal) * TICK_S, steal * TICK_S
    raise Failure(f"there is no processor {cpu}")


def cpus_allowed():
    return sorted(os.sched_getaffinity(0))


def require_cpus(server_cpu, client_cpu):
    allowed = cpus_allowed()
    for cpu in (server_cpu, client_cpu):
        if cpu not in allowed:
            raise Failure(f"processor {cpu} is not ours to use (allowed: {allowed})")
    if server_cpu == client_cpu:
        raise Failure("server and client need a processor each: on a single one they would "
                      "measure each other")


def choose_cpus(args):
    """Set args.server_cpu and args.client_cpu where they are None; a processor each."""
    allowed = cpus_allowed()
    if args.server_cpu is None:
        args.server_cpu = allowed[-1]
    if args.client_cpu is None:
        args.client_cpu = next((cpu for cpu in allowed if cpu != args.server_cpu), allowed[0])
    require_cpus(args.server_cpu, args.client_cpu)


def get(address, port, path, timeout_s=5.0):
    """One request over a fresh connection: the raw answer (head and body)."""
    with socket.create_connection((address, port), timeout_s) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        return read_answer(sock)


def read_answer(sock):
    """One answer with a Content-Length from a socket: its raw bytes."""
    data = b""
    while True:
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            length = re.search(rb"\r\ncontent-length:\s*(\d+)", data[:end + 2], re.I)
            if not length:
                raise Failure("the answer has no Content-Length")
            if len(data) >= end + 4 + int(length.group(1)):
                return data
        part = sock.recv(65536)
        if not part:
            raise Failure("the server closed the connection before its answer was whole")
        data += part
