#!/usr/bin/env python3
"""Programs of the list with a kernel program on the other side of a tap: each way round where it has two."""

import hashlib
import os
import signal
import time
import unittest

from apps import PYTHON, need
from gateway_test import HOST, KERNEL, GatewayTest, setUpModule  # pylint: disable=unused-import

SOCAT_BYTES = int(os.environ.get("RINGWAY_SOCAT_BYTES", 32 << 20))


class Programs(GatewayTest):
    def until_open(self, address, port, ringway):
        probe = f"import socket; socket.create_connection(('{address}', {port}), 5).close()"
        self.until(lambda: self.run_program(PYTHON, "-c", probe, ringway=ringway, check=False) == "",
                   f"nobody listens on {address}:{port}")

    def both_ways(self):
        """Whether the server is on Ringway, and its address."""
        return [(True, HOST), (False, KERNEL)]

    @need("redis-server", "redis-cli", "redis-benchmark")
    def test_redis(self):
        for ringway, address in self.both_ways():
            server = self.start("redis-server", "--port", "6390", "--bind", address, "--save", "", "--protected-mode",
                                "no", ringway=ringway)
            self.until_open(address, 6390, not ringway)
            where = ["-h", address, "-p", "6390"]
            self.assertEqual(self.run_program("redis-cli", *where, "set", "k", "v" * 100000, ringway=not ringway), "OK\n")
            self.assertEqual(self.run_program("redis-cli", *where, "strlen", "k", ringway=not ringway).strip(), "100000")
            for pipeline in ("1", "16"):
                text = self.run_program("redis-benchmark", *where, "-q", "-n", "10000", "-c", "50", "-P", pipeline, "-t",
                                        "get,set", ringway=not ringway)
                self.assertEqual(text.count("requests per second"), 2, text)
            self.end(server)

    @need("memcached", "memcaslap")
    def test_memcached(self):
        for ringway, address in self.both_ways():
            server = self.start("memcached", "-u", "nobody", "-l", address, "-p", "11311", "-U", "0", "-t", "4",
                                ringway=ringway)
            self.until_open(address, 11311, not ringway)
            text = self.run_program("memcaslap", "-s", f"{address}:11311", "-T", "2", "-c", "16", "-x", "10000",
                                    ringway=not ringway)
            self.assertIn("TPS", text)
            self.assertNotIn("rror", text)
            self.end(server)

    @need("socat")
    def test_socat_file_arrives_whole(self):
        source, target = (os.path.join(self.directory, name) for name in ("source", "target"))
        data = os.urandom(1 << 20) + os.urandom(1 << 20) * ((SOCAT_BYTES >> 20) - 1)
        with open(source, "wb") as file:
            file.write(data)
        for ringway, address in self.both_ways():
            receiver = self.start("socat", "-u", f"TCP-LISTEN:4400,bind={address},reuseaddr", f"CREATE:{target}",
                                  ringway=ringway)
            self.run_program("socat", "-u", f"FILE:{source}", f"TCP:{address}:4400,retry=50,interval=0.1",
                             ringway=not ringway)
            receiver.wait(60)
            self.assertEqual(receiver.returncode, 0, self.logs())
            with open(target, "rb") as file:
                self.assertEqual(hashlib.sha256(file.read()).hexdigest(), hashlib.sha256(data).hexdigest())
            os.unlink(target)

    def test_asyncio_with_1000_connections(self):
        server = """
import asyncio, sys
async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    async with await asyncio.start_server(echo, sys.argv[1], int(sys.argv[2]), backlog=2000) as s:
        print("ready", flush=True)
        await s.serve_forever()
asyncio.run(main())
"""
        client = """
import asyncio, resource, sys
async def one(i, ready):
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    await ready.wait()
    for k in range(3):
        word = b"%d.%d" % (i, k)
        writer.write(word)
        assert await reader.readexactly(len(word)) == word
    writer.close()
async def main():
    ready = asyncio.Event()
    tasks = [asyncio.create_task(one(i, ready)) for i in range(1000)]
    await asyncio.sleep(0.5)
    ready.set()
    await asyncio.gather(*tasks)
    print("done")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
asyncio.run(main())
"""
        limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096));"
        for ringway, address in self.both_ways():
            port = 4500 if ringway else 4501
            child = self.serve(limit + server, address, port, ringway)
            self.assertEqual(self.python(client, address, port, ringway=not ringway).strip(), "done", self.logs())
            self.end(child)

    def killed(self, start, port, hello, address=HOST, ringway=True):
        """SIGKILL while data is on its way: the peer across the tap sees a reset within a second."""
        server = self.start(*start, ringway=ringway)
        self.until_open(address, port, not ringway)
        client = self.start(PYTHON, "-c", """
import socket, sys, threading, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
hello = bytes.fromhex(sys.argv[3])
def read():
    try:
        while s.recv(100000): print("data", flush=True)
    except OSError: pass
threading.Thread(target=read, daemon=True).start()
try:
    while True: s.sendall(hello)
except ConnectionError:
    print("reset", time.monotonic(), flush=True)
""", address, str(port), (hello * 100).hex(), ringway=not ringway)
        self.until(lambda: "data" in client.text(), "no answer")
        at = time.monotonic()
        os.killpg(server.pid, signal.SIGKILL)
        self.until(lambda: client.poll() is not None, "the peer does not learn of the end", 20)
        words = client.text().split()
        self.assertEqual(words[-2], "reset", self.logs())
        self.assertLess(float(words[-1]) - at, 1.0)

    @need("redis-server")
    def test_redis_killed_in_the_middle(self):
        for ringway, address in self.both_ways():
            self.killed(["redis-server", "--port", "6391", "--bind", address, "--save", "", "--protected-mode", "no"],
                        6391, b"PING\r\n", address, ringway)

    @need("memcached")
    def test_memcached_killed_in_the_middle(self):
        self.killed(["memcached", "-u", "nobody", "-l", HOST, "-p", "11312", "-U", "0"], 11312, b"version\r\n")

    @need("socat")
    def test_socat_killed_in_the_middle(self):
        self.killed(["socat", f"TCP-LISTEN:4401,bind={HOST},fork,reuseaddr", "PIPE"], 4401, b"hello")

    @need("nginx")
    def test_nginx_killed_in_the_middle(self):
        path = os.path.join(self.directory, "conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""daemon off; worker_processes 2; pid {self.directory}/pid; error_log {self.directory}/error;
events {{}} http {{ access_log off; keepalive_requests 100000000;
server {{ listen 8089; location / {{ return 200 "hello"; }} }} }}""")
        self.killed(["nginx", "-p", self.directory, "-c", path], 8089, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


if __name__ == "__main__":
    unittest.main()
