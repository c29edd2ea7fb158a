#!/usr/bin/env python3
"""ringway dump on running programs: text, pcapng that others read, filters, and that it leaves nothing behind."""

import os
import signal
import subprocess
import unittest

from apps import BUILD, PYTHON, RingwayTest, need

RINGWAY = str(BUILD / "bin/ringway")
SERVER = """
import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); print("ready", flush=True)
while True:
    c, _ = s.accept()
    while data := c.recv(65536):
        c.sendall(data)
    c.close()
"""
CLIENT = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
for n in range(int(sys.argv[2])):
    s.sendall(b"x" * int(sys.argv[3])); left = int(sys.argv[3])
    while left: left -= len(s.recv(65536))
s.close()
"""


class DumpTest(RingwayTest):
    def setUp(self):
        super().setUp()
        self.server = self.start(PYTHON, "-u", "-c", SERVER, "7000")
        self.until(lambda: "ready" in self.server.text() or self.server.poll() is not None, "no server")

    def dump(self, *arguments):
        child = self.start(RINGWAY, "dump", *arguments, ringway=False)
        self.until(lambda: "capturing" in child.text() or child.poll() is not None, "no capture")
        return child

    def finish(self, child):
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(20), 0, self.logs())
        return child.text()

    def test_text_shows_the_connection(self):
        child = self.dump("--program", str(self.server.pid), "tcp", "port", "7000")
        self.python(CLIENT, 7000, 2, 100)
        text = self.finish(child)
        self.assertRegex(text, r"In  IP 127\.0\.0\.1\.\d+ > 127\.0\.0\.1\.7000: Flags \[S\], seq \d+")
        self.assertRegex(text, r"Out IP 127\.0\.0\.1\.7000 > 127\.0\.0\.1\.\d+: Flags \[S\.\]")
        self.assertRegex(text, r"seq 1:101, ack 1, win \d+.*, length 100")
        self.assertRegex(text, r"Flags \[F\.?\]|Flags \[F")
        self.assertIn(" 0 lost", text)

    def test_filter_takes_only_what_it_says(self):
        child = self.dump("udp")
        self.python(CLIENT, 7000, 1, 10)
        self.assertNotIn(" IP ", self.finish(child))

    @need("tcpdump")
    def test_tcpdump_reads_the_file_and_finds_right_checksums(self):
        path = os.path.join(self.directory, "capture.pcapng")
        child = self.dump("-w", path)
        self.python(CLIENT, 7000, 3, 3000)
        self.finish(child)
        text = subprocess.run(["tcpdump", "-nvv", "-r", path], capture_output=True, text=True, timeout=20,
                              check=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}).stdout
        self.assertIn("127.0.0.1.7000", text)
        self.assertIn("length 3000", text)
        self.assertNotIn("incorrect", text)
        self.assertNotIn("bad cksum", text)

    def test_killed_dump_holds_nobody_up(self):
        child = self.dump("-w", os.path.join(self.directory, "one.pcapng"))
        self.end(child)
        self.python(CLIENT, 7000, 1, 10)
        again = self.dump()
        self.python(CLIENT, 7000, 1, 10)
        self.assertIn("7000", self.finish(again))


if __name__ == "__main__":
    unittest.main()
