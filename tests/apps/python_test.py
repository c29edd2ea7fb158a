#!/usr/bin/env python3
"""python3 itself: http.server, asyncio, threads, subprocess."""

import unittest

from apps import PYTHON, RingwayTest, free_port, need


class Python(RingwayTest):
    @need("curl")
    def test_http_server(self):
        port = free_port()
        server = self.start(PYTHON, "-m", "http.server", str(port), "--bind", "127.0.0.1")
        self.until_listening(server, port)
        for _ in range(5):
            self.assertIn("Directory listing", self.run_program("curl", "-sS", f"http://127.0.0.1:{port}/"))

    def test_asyncio_echo_with_1000_connections(self):
        port = free_port()
        server = """
import asyncio, sys
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data); await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", int(sys.argv[1]), backlog=2000)
    async with server: await server.serve_forever()
asyncio.run(main())
"""
        client = """
import asyncio, sys
async def one(i):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    for _ in range(5):
        message = b"%06d" % i * 20
        writer.write(message)
        assert await reader.readexactly(len(message)) == message
    writer.close(); await writer.wait_closed()
async def main():
    await asyncio.gather(*(one(i) for i in range(1000)))
    print("done")
asyncio.run(main())
"""
        running = self.start(PYTHON, "-c", server, str(port))
        self.until_listening(running, port)
        self.assertEqual(self.python(client, port).strip(), "done")

    def test_threads(self):
        program = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0)); port = listener.getsockname()[1]
def serve():
    while True:
        s, _ = listener.accept()
        threading.Thread(target=echo, args=(s,), daemon=True).start()
def echo(s):
    with s:
        while data := s.recv(65536): s.sendall(data)
threading.Thread(target=serve, daemon=True).start()
def client(i):
    with socket.create_connection(("127.0.0.1", port)) as s:
        for n in range(50):
            message = bytes([i]) * (n * 97 + 1); s.sendall(message)
            got = b""
            while len(got) < len(message): got += s.recv(65536)
            assert got == message
    good.append(i)
good = []
threads = [threading.Thread(target=client, args=(i,)) for i in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(good))
"""
        self.assertEqual(self.python(program).strip(), "20")

    def test_subprocess_does_not_disturb_connections(self):
        program = """
import socket, subprocess
listener = socket.create_server(("127.0.0.1", 0))
a = socket.create_connection(listener.getsockname()); b, _ = listener.accept()
for i in range(10):
    assert subprocess.check_output(["/bin/echo", "hi"]) == b"hi\\n"
    subprocess.run(["/bin/true"], close_fds=False); subprocess.run("exit 0", shell=True)
    a.sendall(b"x"); assert b.recv(1) == b"x"
try:
    subprocess.run(["/nonexistent"])
except FileNotFoundError:
    pass
a.sendall(b"x"); assert b.recv(1) == b"x"
a.close(); assert b.recv(1) == b""
print("done")
"""
        self.assertEqual(self.python(program).strip(), "done")

    def test_multiprocessing_over_sockets(self):
        program = """
import multiprocessing, multiprocessing.connection as mc
def child(address):
    with mc.Client(address, authkey=b"k") as c:
        for i in range(100): c.send([i] * 100)
        c.send(None)
if __name__ == "__main__":
    with mc.Listener(("127.0.0.1", 0), authkey=b"k") as listener:
        p = multiprocessing.get_context("fork").Process(target=child, args=(listener.address,)); p.start()
        with listener.accept() as c:
            n = 0
            while (got := c.recv()) is not None: n += len(got)
        p.join(); print(n, p.exitcode)
"""
        self.assertEqual(self.python(program).strip(), "10000 0")

    def test_killed(self):
        port = free_port()
        server = self.start(PYTHON, "-c", f"""
import socket
s = socket.create_server(("127.0.0.1", {port}))
keep = []
while True:
    c, _ = s.accept(); keep.append(c)
""")
        self.until_listening(server, port)
        self.killed_peer_resets(server, port)


if __name__ == "__main__":
    unittest.main()
