"""What the tests of real programs share: a network of their own, processes with bounded lives, skips."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ.get("RINGWAY_BUILD", pathlib.Path(__file__).parents[2] / "build/release"))
PYTHON = "/usr/bin/python3"
PATIENCE = 60  # seconds for one step of a test; a step that takes longer hangs


def need(*programs):
    """Skips a test, saying which Debian program is missing."""
    missing = [name for name in programs if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    return unittest.skipIf(missing, f"needs {', '.join(missing)}")


class RingwayTest(unittest.TestCase):
    """Each test has a RINGWAY_DIR, ports of its own, and ends every process that it started."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="ringway-apps-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.network = os.path.join(self.directory, "network")
        os.mkdir(self.network, 0o700)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("RINGWAY_")}
        self.environment["RINGWAY_DIR"] = self.network
        self.environment["PATH"] += ":/usr/sbin"
        self.children = []
        self.addCleanup(self.end_children)

    def command(self, arguments, ringway):
        return [str(BUILD / "bin/ringway"), "run", "--"] + list(arguments) if ringway else list(arguments)

    def start(self, *arguments, ringway=True, **options):
        """A process in a group of its own; its output goes to a file that a failed test shows."""
        path = os.path.join(self.directory, f"output-{len(self.children)}")
        output = open(path, "w+b")
        child = subprocess.Popen(
            self.command(arguments, ringway), env=self.environment, cwd=self.directory, start_new_session=True,
            stdin=options.pop("stdin", subprocess.DEVNULL), stdout=options.pop("stdout", output),
            stderr=options.pop("stderr", subprocess.STDOUT), **options)
        child.log = path
        child.text = lambda: pathlib.Path(path).read_text(errors="replace")
        self.children.append((child, output))
        return child

    def run_program(self, *arguments, ringway=True, check=True, timeout=PATIENCE, **options):
        """A program to its end; its output as text."""
        child = subprocess.Popen(
            self.command(arguments, ringway), env=self.environment, cwd=self.directory, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=options.pop("stdin", subprocess.DEVNULL),
            **options)
        try:
            output, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.end(child)
            output, _ = child.communicate()
            self.fail(f"{arguments} hangs; so far: {output.decode(errors='replace')}\n{self.logs()}")
        finally:
            self.end(child)
        text = output.decode(errors="replace")
        if check and child.returncode != 0:
            self.fail(f"{arguments} ended with {child.returncode}: {text}\n{self.logs()}")
        return text

    def end(self, child):
        """SIGKILL to the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)

    def end_children(self):
        for child, output in self.children:
            self.end(child)
            output.close()

    def logs(self):
        texts = []
        for child, output in self.children:
            output.flush()
            texts.append(f"--- {' '.join(map(str, child.args[:8]))}\n{child.text()[-3000:]}")
        return "\n".join(texts)

    def until(self, condition, what, patience=PATIENCE):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.02)
        self.fail(f"{what}: not within {patience} s\n{self.logs()}")

    def until_listening(self, child, port, protocol="tcp"):
        """Until the network knows that somebody listens on `port`."""

        def listens():
            if child.poll() is not None:
                self.fail(f"{child.args} ended with {child.returncode}\n{self.logs()}")
            return self.can_connect(port)

        self.until(listens, f"nobody listens on port {port}")

    def can_connect(self, port):
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5).close()"
        return subprocess.run(self.command([PYTHON, "-c", probe], True), env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=PATIENCE).returncode == 0

    def python(self, program, *arguments, **options):
        return self.run_program(PYTHON, "-c", program, *map(str, arguments), **options)

    def killed_peer_resets(self, server, port, hello=b""):
        """A client with an open connection sees the end within a second of its peer's SIGKILL."""
        program = """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
s.settimeout(20)
s.sendall(bytes.fromhex(sys.argv[2]))
if sys.argv[2]:
    s.recv(100)
print("connected", flush=True)
try:
    while s.recv(100000):
        pass
    print("end", time.monotonic(), flush=True)
except ConnectionError:
    print("reset", time.monotonic(), flush=True)
"""
        client = self.start(PYTHON, "-c", program, str(port), hello.hex())
        self.until(lambda: "connected" in client.text(), "the client does not connect")
        killed = time.monotonic()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)
        client.wait(PATIENCE)
        words = client.text().split()
        self.assertIn(words[1], ("end", "reset"), self.logs())
        self.assertLess(float(words[2]) - killed, 1.0, self.logs())


def free_port():
    """A port that is free on the kernel as well, so that a wrong way out is seen as a failure."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
