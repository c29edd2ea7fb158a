#!/usr/bin/env python3
"""Whoever is killed leaves nothing behind, and users do not reach each other's networks."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from apps import BUILD, PYTHON, RingwayTest, free_port, need

NOBODY = 65534

SERVER = """
import os, socket, sys, threading
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", int(sys.argv[1])))
if sys.argv[2] == "fork":
    os.fork()  # both accept and serve
def serve(s):
    while data := s.recv(65536):
        s.sendall(data)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],)).start()
"""

# Keeps 20 connections busy both ways, with more in the pipe than anybody has read.
CLIENT = """
import socket, sys
all = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) for _ in range(20)]
for s in all:
    s.sendall(b"x" * 10000)
    s.recv(100)
print("busy", flush=True)
while True:
    for s in all:
        s.sendall(b"x" * 5000)
        s.recv(5000)
"""


class Leaks(RingwayTest):
    def setUp(self):
        super().setUp()
        self.ringway("up")
        self.addCleanup(self.ringway, "down")
        self.daemon = self.status()["pid"]
        self.clean = self.kept()

    def ringway(self, *arguments):
        return subprocess.run([str(BUILD / "bin/ringway"), *arguments], env=self.environment, check=True,
                              stdout=subprocess.PIPE, timeout=30).stdout

    def status(self):
        return json.loads(self.ringway("status", "--json"))

    def kept(self):
        """Everything that a dead program could leave: descriptors of the daemon by kind, processes, files."""
        kinds = {}
        directory = f"/proc/{self.daemon}/fd"
        for name in os.listdir(directory):
            try:
                kind = os.readlink(f"{directory}/{name}").split("[")[0].rstrip("0123456789:")
            except FileNotFoundError:
                continue
            kinds[kind] = kinds.get(kind, 0) + 1
        with open(f"/proc/{self.daemon}/task/{self.daemon}/children") as file:
            children = file.read().split()
        status = self.status()
        return {
            "descriptors": kinds, "reapers": children, "directory": sorted(os.listdir(self.network)),
            "shm": [name for name in os.listdir("/dev/shm") if "ringway" in name],
            **{what: status[what] for what in ("programs", "stacks", "links")}
        }

    def check_clean(self):
        self.until(lambda: self.kept() == self.clean, f"something stays: {self.kept()} and not {self.clean}", 20)

    def kill(self, *children):
        for child in children:
            os.killpg(child.pid, signal.SIGKILL)
        for child in children:
            child.wait(10)

    def pair(self, how):
        port = free_port()
        server = self.start(PYTHON, "-c", SERVER, str(port), how)
        self.until_listening(server, port)
        client = self.start(PYTHON, "-c", CLIENT, str(port))
        self.until(lambda: "busy" in client.text(), "the client is not served")
        return server, client

    def test_killed_while_busy(self):
        for _ in range(3):
            server, client = self.pair("threads")
            self.assertGreater(self.kept()["stacks"], 1)
            self.kill(server)
            self.kill(client)
            self.check_clean()

    def test_client_killed_first(self):
        server, client = self.pair("threads")
        self.kill(client)
        self.until(lambda: self.status()["programs"] == 1, "the client stays")
        self.kill(server)
        self.check_clean()

    def test_killed_with_a_child_that_shares_the_sockets(self):
        server, client = self.pair("fork")
        self.kill(server, client)
        self.check_clean()

    @need("redis-server", "redis-benchmark")
    def test_redis_killed_under_load(self):
        port = str(free_port())
        server = self.start("redis-server", "--port", port, "--save", "", "--dir", self.directory)
        self.until_listening(server, port)
        load = self.start("redis-benchmark", "-p", port, "-n", "100000000", "-t", "set")
        self.until(lambda: self.status()["stacks"] > 1 and "rps=" in load.text(), "no load")
        self.kill(server)
        self.kill(load)
        self.check_clean()

    def test_many_programs_come_and_go(self):
        for _ in range(20):
            self.run_program(PYTHON, "-c", "import socket; socket.create_server(('127.0.0.1', 4000))")
        self.check_clean()


@unittest.skipIf(os.geteuid() != 0, "needs root, to become another user")
class OtherUser(RingwayTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.port = free_port()
        server = self.start(PYTHON, "-c", SERVER, str(self.port), "threads")
        self.until_listening(server, self.port)

    def as_nobody(self, *command, **environment):
        return subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command],
                              env={**self.environment, **environment}, stdin=subprocess.DEVNULL, cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)

    def connect(self):
        program = f"import socket; socket.create_connection(('127.0.0.1', {self.port}), 5); print('reached')"
        return [str(BUILD / "bin/ringway"), "run", "--", PYTHON, "-c", program]

    def test_network_of_another_is_refused(self):
        outcome = self.as_nobody(*self.connect())
        self.assertNotEqual(outcome.returncode, 0)
        self.assertIn("runtime directory", outcome.stdout)
        self.assertNotIn("reached", outcome.stdout)

    def test_own_network_does_not_have_the_ports_of_another(self):
        own = tempfile.mkdtemp(prefix="ringway-apps-")
        self.addCleanup(shutil.rmtree, own, ignore_errors=True)
        os.chown(own, NOBODY, NOBODY)
        outcome = self.as_nobody(*self.connect(), RINGWAY_DIR=own)
        self.as_nobody(str(BUILD / "bin/ringway"), "down", RINGWAY_DIR=own)
        self.assertIn("ConnectionRefusedError", outcome.stdout)

    def test_daemon_hears_nobody_but_its_user(self):
        """Even if the directory were opened to others."""
        os.chmod(self.network, 0o755)
        sockets = [os.path.join(self.network, name) for name in os.listdir(self.network)]
        for path in sockets:
            os.chmod(path, 0o777)
        program = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
s.connect(sys.argv[1])
try:
    s.send(b"\\0" * 64)
    print("answer", len(s.recv(4096)))
except (ConnectionError, BrokenPipeError):
    print("answer 0")
"""
        control = next(path for path in sockets if not os.path.isfile(path))
        outcome = self.as_nobody(PYTHON, "-c", program, control)
        self.assertEqual(outcome.stdout.strip(), "answer 0")
        with open(os.path.join(self.network, "ringwayd.log")) as log:
            self.assertIn(f"of user {NOBODY} is refused", log.read())


if __name__ == "__main__":
    unittest.main()
