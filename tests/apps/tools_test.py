#!/usr/bin/env python3
"""memcached, iperf3, socat, curl."""

import hashlib
import json
import os
import subprocess
import unittest

from apps import RingwayTest, free_port, need

# Bytes through socat; the long run sends a gibibyte.
FILE_BYTES = int(os.environ.get("RINGWAY_SOCAT_BYTES", 64 << 20))


@need("memcached", "memcaslap")
class Memcached(RingwayTest):
    def setUp(self):
        super().setUp()
        self.port = str(free_port())
        self.server = self.start("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", self.port, "-U", "0", "-t", "4")
        self.until_listening(self.server, self.port)

    def test_load(self):
        text = self.run_program("memcaslap", "-s", f"127.0.0.1:{self.port}", "-T", "2", "-c", "16", "-x", "50000")
        self.assertIn("TPS", text)
        self.assertNotIn("rror", text)

    def test_get_after_set(self):
        program = f"""
import socket
s = socket.create_connection(("127.0.0.1", {self.port})); f = s.makefile("rb")
for i in range(1000):
    value = b"v" * (i * 13 % 5000)
    s.sendall(b"set k%d 0 0 %d\\r\\n%b\\r\\n" % (i, len(value), value)); assert f.readline() == b"STORED\\r\\n"
    s.sendall(b"get k%d\\r\\n" % i); f.readline(); assert f.read(len(value) + 2)[:-2] == value; f.readline()
print("done")
"""
        self.assertEqual(self.python(program).strip(), "done")

    def test_killed(self):
        self.killed_peer_resets(self.server, self.port, b"version\r\n")


@need("iperf3")
class Iperf(RingwayTest):
    def setUp(self):
        super().setUp()
        self.port = str(free_port())
        self.server = self.start("iperf3", "-s", "-p", self.port)
        self.until_listening(self.server, self.port)

    def client(self, *arguments):
        text = self.run_program("iperf3", "-c", "127.0.0.1", "-p", self.port, "-t", "1", "-J", *arguments)
        result = json.loads(text)
        self.assertNotIn("error", result, text)
        return result["end"]

    def test_one_stream(self):
        self.assertGreater(self.client()["sum_received"]["bytes"], 0)

    def test_reverse(self):
        self.assertGreater(self.client("-R")["sum_received"]["bytes"], 0)

    def test_four_streams(self):
        self.assertEqual(len(self.client("-P", "4")["streams"]), 4)

    def test_udp(self):
        total = self.client("-u", "-b", "100M")["sum"]
        self.assertGreater(total["packets"], 0)
        self.assertLess(total["lost_percent"], 5)

    def test_killed(self):
        client = self.start("iperf3", "-c", "127.0.0.1", "-p", self.port, "-t", "30", "--forceflush")
        self.until(lambda: "connected to" in client.text() or client.poll() is not None, "no connection")
        self.end(self.server)
        client.wait(20)
        self.assertNotEqual(client.returncode, 0)


@need("socat")
class Socat(RingwayTest):
    def test_file_arrives_whole(self):
        port = free_port()
        source, target = (os.path.join(self.directory, name) for name in ("source", "target"))
        digest = hashlib.sha256()
        with open(source, "wb") as file:
            for _ in range(FILE_BYTES >> 20):
                piece = os.urandom(1 << 20)
                digest.update(piece)
                file.write(piece)
        receiver = self.start("socat", "-u", f"TCP-LISTEN:{port},bind=127.0.0.1", f"CREATE:{target}")
        self.run_program("socat", "-u", f"FILE:{source}", f"TCP:127.0.0.1:{port},retry=50,interval=0.1", timeout=600)
        receiver.wait(60)
        self.assertEqual(receiver.returncode, 0, self.logs())
        with open(target, "rb") as file:
            self.assertEqual(hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest")
                             else subprocess.check_output(["sha256sum", target], text=True).split()[0],
                             digest.hexdigest())

    def test_echo_by_forked_children(self):
        port = free_port()
        server = self.start("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", "PIPE")
        self.until_listening(server, port)
        program = f"""
import socket
for i in range(5):
    s = socket.create_connection(("127.0.0.1", {port}))
    s.sendall(b"e" * 10000)
    got = b""
    while len(got) < 10000: got += s.recv(10000)
    s.close()
print("done")
"""
        self.assertEqual(self.python(program).strip(), "done")

    def test_killed(self):
        port = free_port()
        server = self.start("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", "PIPE")
        self.until_listening(server, port)
        self.killed_peer_resets(server, port, b"hello")


class Outside(RingwayTest):
    @need("curl")
    def test_a_service_of_the_kernel_is_still_reached(self):
        port = free_port()
        server = self.start("/usr/bin/python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", ringway=False)
        self.until(lambda: subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL,
                                          timeout=20).returncode == 0, "http.server does not start")
        self.assertIn("Directory listing", self.run_program("curl", "-sS", f"http://127.0.0.1:{port}/"))
        self.assertIsNone(server.poll())

    @need("curl")
    def test_policy_leaves_a_port_to_the_kernel(self):
        port = free_port()
        self.environment["RINGWAY_EXCEPT"] = f":{port}"
        self.start("/usr/bin/python3", "-m", "http.server", str(port), "--bind", "127.0.0.1")
        self.until(lambda: subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL,
                                          timeout=20).returncode == 0, "the kernel's curl does not get through")

    def test_nobody_listens(self):
        program = "import socket; print(socket.socket().connect_ex(('127.0.0.1', %d)))" % free_port()
        self.assertEqual(self.python(program).strip(), "111")


if __name__ == "__main__":
    unittest.main()
