#!/usr/bin/env python3
"""Sockets that go over exec: to the program that takes a process over, and to children."""

import os
import signal
import subprocess
import unittest

from apps import PYTHON, RingwayTest, free_port, need

ECHO = """
import os, socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
while data := s.recv(65536):
    s.sendall(data.upper())
"""
CLIENT = """
import socket, sys
for i in range(int(sys.argv[2])):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
    s.settimeout(20)
    for text in (b"first", b"second" * 10000):
        s.sendall(text)
        got = b""
        while len(got) < len(text):
            piece = s.recv(100000)
            if not piece: sys.exit("the connection ends after %d bytes" % len(got))
            got += piece
        assert got == (text.upper() if sys.argv[3] == "upper" else text), got[:100]
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b"", "data after the end"
print("done")
"""


class Exec(RingwayTest):
    def check_server(self, source, *arguments, rounds=3, kind="upper"):
        """`source` serves on the port that is its first argument, with ECHO as its second."""
        port = free_port()
        server = self.start(PYTHON, "-c", source, str(port), ECHO, *arguments)
        self.until(lambda: "listening" in server.text() or server.poll() is not None, "the server does not start")
        self.assertEqual(self.python(CLIENT, port, rounds, kind).strip(), "done", self.logs())
        return server

    def test_connection_goes_to_the_program_that_a_forked_child_becomes(self):
        self.check_server("""
import os, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1]))); print("listening", flush=True)
while True:
    c, _ = l.accept()
    if os.fork() == 0:
        os.set_inheritable(c.fileno(), True)
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], str(c.fileno())])
    c.close()
""")

    def test_environment_is_cleared_and_the_connection_is_stdin(self):
        self.check_server("""
import os, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1]))); print("listening", flush=True)
while True:
    c, _ = l.accept()
    if os.fork() == 0:
        os.dup2(c.fileno(), 0); os.dup2(c.fileno(), 1)
        os.execve("/bin/cat", ["cat"], {})
    c.close()
""", kind="same")

    def test_listener_goes_to_a_subprocess(self):
        self.check_server("""
import socket, subprocess, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
child = '''
import socket, sys
l = socket.socket(fileno=int(sys.argv[1])); print("listening", flush=True)
while True:
    c, _ = l.accept()
    while data := c.recv(65536): c.sendall(data.upper())
    c.close()
'''
p = subprocess.Popen([sys.executable, "-c", child, str(l.fileno())], pass_fds=[l.fileno()])
l.close()
p.wait()
""")

    def test_process_becomes_another_program_with_listener_and_connection(self):
        self.check_server("""
import os, socket, sys
if len(sys.argv) < 4:
    l = socket.create_server(("127.0.0.1", int(sys.argv[1]))); print("listening", flush=True)
    c, _ = l.accept()
    early = c.recv(3, socket.MSG_WAITALL)
    c.setblocking(False)
    for s in (l, c): os.set_inheritable(s.fileno(), True)
    # As python does for a program without a directory: tried in several places.
    for directory in ("/nonexistent", os.path.dirname(sys.executable)):
        try: os.execv(directory + "/python3", ["python3", "-c", sys.orig_argv[2], *sys.argv[1:3],
                      str(l.fileno()), str(c.fileno()), early.decode()])
        except OSError: pass
    sys.exit("exec failed")
l, c = (socket.socket(fileno=int(n)) for n in sys.argv[3:5])
assert not os.get_blocking(c.fileno()) and os.get_blocking(l.fileno())
assert os.environ.get("RINGWAY_HANDOVER") is None
c.setblocking(True)
data = sys.argv[5].encode()
while data:
    c.sendall(data.upper())
    data = c.recv(65536)
c.close()
while True:
    c, _ = l.accept()
    while data := c.recv(65536): c.sendall(data.upper())
    c.close()
""")

    def test_spawned_child_gets_the_connection_by_file_actions(self):
        self.check_server("""
import os, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1]))); print("listening", flush=True)
while True:
    c, _ = l.accept()
    pid = os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=[
        (os.POSIX_SPAWN_DUP2, c.fileno(), 0), (os.POSIX_SPAWN_DUP2, c.fileno(), 1),
        (os.POSIX_SPAWN_CLOSE, c.fileno()), (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)],
        setpgroup=0, setsigmask=[])
    c.close()
    assert os.waitpid(pid, 0)[1] == 0
""", kind="same")

    def test_shell_of_system_gets_the_connection(self):
        self.check_server("""
import os, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1]))); print("listening", flush=True)
while True:
    c, _ = l.accept()
    os.set_inheritable(c.fileno(), True)
    assert os.system("cat <&%d >&%d" % (c.fileno(), c.fileno())) == 0
    c.close()
""", kind="same")

    def test_what_is_close_on_exec_is_closed(self):
        port = free_port()
        server = self.start(PYTHON, "-c", """
import os, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1]))); print("listening", flush=True)
kept, _ = l.accept()
closed, _ = l.accept()
os.set_inheritable(kept.fileno(), True)
os.execv("/bin/sleep", ["sleep", "60"])
""", str(port))
        self.until(lambda: "listening" in server.text(), "the server does not start")
        self.assertEqual(self.python("""
import socket, sys
kept, closed = (socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) for i in range(2))
assert closed.recv(1) == b""
kept.settimeout(0.2)
try: kept.recv(1)
except TimeoutError: print("done")
""", port).strip(), "done")

    @need("socat")
    def test_socat_execs_a_program_on_the_connection(self):
        port = free_port()
        self.until_listening(
            self.start("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", "EXEC:/bin/cat,nofork"), port)
        self.assertEqual(self.python(CLIENT, port, 3, "same").strip(), "done", self.logs())


if __name__ == "__main__":
    unittest.main()
