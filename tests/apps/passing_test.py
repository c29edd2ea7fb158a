#!/usr/bin/env python3
"""Sockets that are passed to other processes in SCM_RIGHTS."""

import os
import signal
import unittest

from apps import PYTHON, RingwayTest, free_port

# Passes each connection that it accepts to whoever connects to the Unix socket, and forgets it.
FRONT = """
import array, os, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
u = socket.socket(socket.AF_UNIX); u.bind(sys.argv[2]); u.listen(); print("ready", flush=True)
"""
# Serves what it is passed, in upper case.
BACK = """
import os, socket, sys, threading
u = socket.socket(socket.AF_UNIX); u.connect(sys.argv[1]); print("ready", flush=True)
"""
CLIENT = """
import socket, sys
for i in range(int(sys.argv[2])):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
    s.settimeout(20)
    for text in (b"first", b"second" * 20000):
        s.sendall(text)
        got = b""
        while len(got) < len(text):
            piece = s.recv(100000)
            if not piece: sys.exit("the connection ends after %d bytes" % len(got))
            got += piece
        assert got == text.upper(), got[:100]
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b"", "data after the end"
print("done")
"""
SERVE = """
def serve(c):
    while data := c.recv(65536): c.sendall(data.upper())
    c.close()
"""


class Passing(RingwayTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.path = os.path.join(self.directory, "unix")

    def program(self, source, *arguments):
        child = self.start(PYTHON, "-c", source, *map(str, arguments))
        self.until(lambda: "ready" in child.text() or child.poll() is not None, "a program does not start")
        return child

    def check(self, rounds=3):
        self.assertEqual(self.python(CLIENT, self.port, rounds).strip(), "done", self.logs())

    def test_connections_go_to_another_program_among_files(self):
        self.program(FRONT + """
b, _ = u.accept()
while True:
    c, _ = l.accept()
    r, w = os.pipe()
    os.write(w, b"mixed")
    socket.send_fds(b, [b"take"], [r, c.fileno(), w])
    for fd in (r, w): os.close(fd)
    c.close()
""", self.port, self.path)
        self.program(BACK + SERVE + """
while True:
    word, fds, _, _ = socket.recv_fds(u, 100, 10)
    assert word == b"take" and len(fds) == 3, (word, fds)
    assert os.read(fds[0], 10) == b"mixed"
    for fd in (fds[0], fds[2]): os.close(fd)
    serve(socket.socket(fileno=fds[1]))
""", self.path)
        self.check()

    def test_listener_and_connection_outlive_the_sender(self):
        self.program(FRONT + """
b, _ = u.accept()
c, _ = l.accept()
socket.send_fds(b, [b"x"], [l.fileno(), c.fileno()])
""", self.port, self.path)
        self.program(BACK + SERVE + """
while u.recv(1, socket.MSG_PEEK) == b"": pass
import time; time.sleep(0.3)  # the sender is gone by then
_, fds, _, _ = socket.recv_fds(u, 1, 2)
l, c = (socket.socket(fileno=fd) for fd in fds)
assert l.getsockname()[1] == c.getsockname()[1]
serve(c)
while True: serve(l.accept()[0])
""", self.path)
        self.check()

    def test_multiprocessing_hands_connections_to_workers(self):
        self.program("""
import multiprocessing, socket, sys
def work(inbox):
    while True:
        c = inbox.recv()
        while data := c.recv(65536): c.sendall(data.upper())
        c.close()
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    pipes = []
    for i in range(2):
        there, here = multiprocessing.Pipe(False)
        multiprocessing.Process(target=work, args=(there,), daemon=True).start()
        pipes.append(here)
    print("ready", flush=True)
    for i in range(100):
        c, _ = l.accept()
        pipes[i % 2].send(c)
        c.close()
""", self.port, "fork")
        self.check(6)

    def test_what_nobody_receives_is_closed(self):
        self.program(FRONT + """
b, _ = u.accept()
c, _ = l.accept()
socket.send_fds(b, [b"x"], [c.fileno()])
c.close()
import time; time.sleep(60)
""", self.port, self.path)
        back = self.program(BACK + "import time; time.sleep(60)", self.path)
        client = self.start(PYTHON, "-c", """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10); s.settimeout(30)
print("connected", flush=True)
try: print("end" if s.recv(1) == b"" else "data")
except ConnectionError: print("end")
""", str(self.port))
        self.until(lambda: "connected" in client.text(), "no connection")
        os.killpg(back.pid, signal.SIGKILL)
        self.until(lambda: client.poll() is not None, "the client does not see the end", 20)
        self.assertIn("end", client.text())

    def test_receiver_is_killed_the_client_sees_the_end(self):
        self.program(FRONT + """
b, _ = u.accept()
c, _ = l.accept()
socket.send_fds(b, [b"x"], [c.fileno()])
c.close()
import time; time.sleep(60)
""", self.port, self.path)
        back = self.program(BACK + """
_, fds, _, _ = socket.recv_fds(u, 1, 2)
s = socket.socket(fileno=fds[0])
s.sendall(b"hello")
import time; time.sleep(60)
""", self.path)
        client = self.start(PYTHON, "-c", """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10); s.settimeout(30)
print(s.recv(5), flush=True)
try: print("end" if s.recv(1) == b"" else "data")
except ConnectionError: print("end")
""", str(self.port))
        self.until(lambda: "hello" in client.text(), "no greeting")
        os.killpg(back.pid, signal.SIGKILL)
        self.until(lambda: client.poll() is not None, "the client does not see the end", 20)
        self.assertIn("end", client.text())

    def test_one_gets_back_what_it_sent(self):
        self.assertEqual(self.python("""
import socket, sys
a, b = socket.socketpair()
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname()); s, _ = l.accept()
socket.send_fds(a, [b"x"], [s.fileno(), s.fileno()])
_, fds, _, _ = socket.recv_fds(b, 1, 2)
one, two = (socket.socket(fileno=fd) for fd in fds)
one.sendall(b"1"); s.sendall(b"2"); two.sendall(b"3")
assert c.recv(3, socket.MSG_WAITALL) == b"123"
one.close(); s.close()
two.sendall(b"4"); assert c.recv(1) == b"4"
two.close(); assert c.recv(1) == b""
print("done")
""").strip(), "done")


if __name__ == "__main__":
    unittest.main()
