#!/usr/bin/env python3
"""A network joined to the kernel by ringway-gateway: both directions, and what happens when one side goes.

Runs in a network namespace of its own; needs root and /dev/net/tun. HOST is the address of all Ringway
programs here, KERNEL that of the kernel's end of the tap.
"""

import ctypes
import hashlib
import os
import re
import signal
import subprocess
import time
import unittest

from apps import BUILD, PYTHON, RingwayTest, need

HOST, KERNEL = "10.111.0.2", "10.111.0.1"
FILE_BYTES = int(os.environ.get("RINGWAY_GATEWAY_BYTES", 100 << 20))
CLONE_NEWNET = 0x40000000

SERVE = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
c, _ = s.accept()
"""


def ip(*arguments, namespace=None):
    prefix = ["ip", "-n", namespace] if namespace else ["ip"]
    subprocess.run(prefix + list(arguments), check=True, timeout=20)


def setUpModule():
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise unittest.SkipTest("needs root and /dev/net/tun")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise unittest.SkipTest("needs the right to make a network namespace")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    ip("link", "set", "lo", "up")
    with open("/proc/sys/net/ipv6/conf/default/accept_dad", "w", encoding="ascii") as file:
        file.write("0")  # addresses are usable at once


class GatewayTest(RingwayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.start_gateway()
        self.until(lambda: "attached" in self.gateway.text() or self.gateway.poll() is not None, "no gateway")
        self.assertIsNone(self.gateway.poll(), self.logs())

    def start_gateway(self, *arguments):
        self.environment["RINGWAYD"] = str(BUILD / "bin/ringwayd")
        return self.start(str(BUILD / "bin/ringway-gateway"), "--foreground", "--tap", "rwtest", *arguments,
                          ringway=False)

    def serve(self, program, address, port, ringway, *more):
        child = self.start(PYTHON, "-u", "-c", program, address, str(port), *map(str, more), ringway=ringway)
        self.until(lambda: "ready" in child.text() or child.poll() is not None, "the server does not start")
        self.assertIsNone(child.poll(), self.logs())
        return child

    def http_server(self, address, port, ringway):
        child = self.start(PYTHON, "-u", "-m", "http.server", str(port), "--bind", address, ringway=ringway)
        self.until(lambda: "Serving" in child.text() or child.poll() is not None, "no HTTP server")
        return child

    def make_file(self, size=FILE_BYTES):
        data = os.urandom(1 << 20) * (size >> 20)
        with open(os.path.join(self.directory, "file"), "wb") as file:
            file.write(data)
        return hashlib.sha256(data).hexdigest()

    def fetch(self, url, ringway):
        out = os.path.join(self.directory, "fetched")
        self.run_program("curl", "-sS", "--max-time", "50", "-o", out, url, ringway=ringway)
        with open(out, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()


class Addresses(GatewayTest):
    def test_ping_every_host_and_nobody_else(self):
        self.run_program("ping", "-c", "2", "-i", "0.1", "-W", "5", HOST, ringway=False)
        other = self.start(str(BUILD / "bin/ringway"), "run", "--host", "other", "--", PYTHON, "-c",
                           "import socket, time; socket.create_server(('', 80)); time.sleep(50)", ringway=False)
        self.until(lambda: " 10.111.0.3 " in self.hosts() or other.poll() is not None, "no second host")
        self.run_program("ping", "-c", "2", "-i", "0.1", "-W", "5", "10.111.0.3", ringway=False)
        text = self.run_program("ping", "-c", "1", "-W", "1", "10.111.0.77", ringway=False, check=False)
        self.assertIn("100% packet loss", text)

    def hosts(self):
        probe = subprocess.run(["ping", "-c", "1", "-W", "1", "10.111.0.3"], stdout=subprocess.DEVNULL, timeout=10)
        return " 10.111.0.3 " if probe.returncode == 0 else ""

    def test_ipv6(self):
        address = subprocess.run(["ip", "-6", "-o", "addr", "show", "rwtest", "scope", "global"],
                                 capture_output=True, text=True, check=True, timeout=10).stdout
        kernel = re.search(r"inet6 (\S+)/64", address).group(1)
        server = """
import socket, sys
s = socket.socket(socket.AF_INET6); s.bind(("::", 8080)); s.listen(); print("ready", flush=True)
c, peer = s.accept(); print(c.getsockname()[0], flush=True); c.sendall(c.recv(100)); c.recv(1)
"""
        client = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20); print(s.getsockname()[0], flush=True)
s.sendall(b"six"); print(s.recv(100).decode())
"""
        self.serve(server, "::", 8080, False)
        text = self.run_program(PYTHON, "-c", client, kernel, "8080").split()
        self.assertEqual(text[1], "six")
        host = text[0]
        self.run_program("ping", "-6", "-c", "2", "-i", "0.1", "-W", "5", host, ringway=False)
        self.serve(server, "::", 8080, True)
        text = self.run_program(PYTHON, "-c", client, host, "8080", ringway=False).split()
        self.assertEqual(text[1], "six")

    def test_the_interface_goes_with_the_gateway(self):
        self.gateway.send_signal(signal.SIGTERM)
        self.assertEqual(self.gateway.wait(20), 0)
        self.assertFalse(os.path.exists("/sys/class/net/rwtest") and "rwtest" in self.interfaces())

    def interfaces(self):
        return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True, timeout=10).stdout

    def test_refusals_are_one_line(self):
        for arguments, word in ((["--tap", "rw8"], "gateway already"), (["--ip", "192.168.0.1"], "not within"),
                                (["--ip", HOST], "address of a host"), (["--nonsense"], "--nonsense")):
            text = self.run_program(str(BUILD / "bin/ringway-gateway"), "--foreground", *arguments, ringway=False,
                                    check=False)
            self.assertIn(word, text)
            self.assertEqual(len(text.splitlines()), 1, text)
        text = self.run_program("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
                                str(BUILD / "bin/ringway-gateway"), "--network", "other", ringway=False, check=False)
        self.assertIn("Operation not permitted", text)
        self.assertEqual(len(text.splitlines()), 1, text)

    def test_idle_costs_nothing(self):
        self.run_program("ping", "-c", "1", "-W", "5", HOST, ringway=False)

        def ticks():
            with open(f"/proc/{self.gateway.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        time.sleep(0.5)
        before = ticks()
        time.sleep(2)
        self.assertLessEqual(ticks() - before, 2)


class Streams(GatewayTest):
    @need("curl")
    def test_file_from_ringway(self):
        digest = self.make_file()
        self.http_server("0.0.0.0", 8080, True)
        self.assertEqual(self.fetch(f"http://{HOST}:8080/file", False), digest)

    @need("curl")
    def test_file_from_the_kernel(self):
        digest = self.make_file()
        self.http_server(KERNEL, 8080, False)
        self.assertEqual(self.fetch(f"http://{KERNEL}:8080/file", True), digest)

    @need("iperf3")
    def test_iperf(self):
        for ringway in (True, False):
            address = HOST if ringway else KERNEL
            server = self.start("iperf3", "--forceflush", "-s", "-1", "-p", "5201", "-B", address, ringway=ringway)
            self.until(lambda: "listening" in server.text(), "no iperf3 server", 20)
            self.run_program("iperf3", "-c", address, "-p", "5201", "-t", "1", "--bidir", ringway=not ringway)
            server.wait(20)

    def test_connection_refused_both_ways(self):
        client = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 81), 20)
except ConnectionRefusedError:
    print("refused")
"""
        self.assertEqual(self.python(client, HOST, ringway=False).strip(), "refused")
        self.assertEqual(self.python(client, KERNEL).strip(), "refused")

    def test_interactive(self):
        echo = SERVE + """
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while True:
    b = c.recv(1000)
    if not b: break
    c.sendall(b)
"""
        client = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for i in range(2000):
    word = b"%d" % i * (i % 7 + 1)
    s.sendall(word)
    got = b""
    while len(got) < len(word): got += s.recv(1000)
    assert got == word
print("done")
"""
        for ringway in (True, False):
            address = HOST if ringway else KERNEL
            self.serve(echo, address, 2222, ringway)
            self.assertEqual(self.python(client, address, 2222, ringway=not ringway).strip(), "done")

    def test_many_connections(self):
        self.http_server("0.0.0.0", 8080, True)
        client = """
import concurrent.futures, sys, urllib.request
get = lambda i: urllib.request.urlopen("http://%s:8080/" % sys.argv[1], timeout=40).status
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(1 for status in pool.map(get, range(300)) if status == 200))
"""
        self.assertEqual(self.python(client, HOST, ringway=False).strip(), "300")

    @need("nginx")
    def test_workers_that_share_a_port(self):
        with open(os.path.join(self.directory, "conf"), "w", encoding="ascii") as file:
            file.write(f"""daemon off; worker_processes 2; pid {self.directory}/pid; error_log {self.directory}/error;
events {{}} http {{ access_log off; server {{ listen 8088; location / {{ return 200 "worker $pid"; }} }} }}""")
        server = self.start("nginx", "-p", self.directory, "-c", os.path.join(self.directory, "conf"))
        get = ["curl", "-sS", "--max-time", "20", f"http://{HOST}:8088/"]
        self.until(lambda: server.poll() is not None or "worker" in self.run_program(*get, ringway=False, check=False),
                   "no nginx", 20)
        client = """
import http.client, sys
workers = set()
for i in range(100):
    c = http.client.HTTPConnection(sys.argv[1], 8088, timeout=20)
    for k in range(3):
        c.request("GET", "/"); workers.add(c.getresponse().read())
    c.close()
print(len(workers))
"""
        self.assertEqual(self.python(client, HOST, ringway=False).strip(), "2")

    def test_beyond_the_tap_with_checksums_on_the_wire(self):
        """Through the kernel's forwarding into another namespace, over a veth that computes no checksum."""
        name = f"rwgw{os.getpid()}"
        ip("netns", "add", name)
        self.addCleanup(lambda: subprocess.run(["ip", "netns", "del", name], check=False, timeout=20))
        ip("link", "add", "rwout", "type", "veth", "peer", "name", "eth1", "netns", name)
        self.addCleanup(lambda: subprocess.run(["ip", "link", "del", "rwout"], check=False, timeout=20))
        ip("addr", "add", "10.50.0.1/24", "dev", "rwout")
        ip("link", "set", "rwout", "up")
        for arguments in (("addr", "add", "10.50.0.2/24", "dev", "eth1"), ("link", "set", "eth1", "up"),
                          ("link", "set", "lo", "up"), ("route", "add", "default", "via", "10.50.0.1")):
            ip(*arguments, namespace=name)
        self.checksums_off("rwout")
        subprocess.run(["ip", "netns", "exec", name, PYTHON, "-c", f"{CHECKSUMS_OFF}\noff('eth1')"], check=True,
                       timeout=20)
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
            file.write("1")
        digest = self.make_file(8 << 20)
        server = self.start("ip", "netns", "exec", name, PYTHON, "-u", "-m", "http.server", "8080", ringway=False)
        self.until(lambda: "Serving" in server.text(), "no HTTP server", 20)
        self.assertEqual(self.fetch("http://10.50.0.2:8080/file", True), digest)
        self.http_server("0.0.0.0", 8081, True)
        out = os.path.join(self.directory, "far")
        self.run_program("ip", "netns", "exec", name, "curl", "-sS", "--max-time", "50", "-o", out,
                         f"http://{HOST}:8081/file", ringway=False)
        with open(out, "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), digest)

    def checksums_off(self, interface):
        scope = {}
        exec(CHECKSUMS_OFF, scope)  # pylint: disable=exec-used
        scope["off"](interface)


# ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM of linux/ethtool.h by SIOCETHTOOL: without them nothing is trusted.
CHECKSUMS_OFF = """
import array, fcntl, socket, struct
def off(interface):
    with socket.socket() as s:
        for command in (0x17, 0x15):
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
            fcntl.ioctl(s, 0x8946, request)
"""


class Datagrams(GatewayTest):
    ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(70000)
    s.sendto(data, peer)
"""
    CLIENT = """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
s.connect((sys.argv[1], int(sys.argv[2])))
for size in (1, 100, 1472, 1473, 9000, 20000, 40000, 60000):
    data = os.urandom(size)
    s.send(data)
    assert s.recv(70000) == data, size
print("done")
"""

    def test_all_sizes_both_ways(self):
        for ringway in (True, False):
            address = HOST if ringway else KERNEL
            self.serve(self.ECHO, address, 7000, ringway)
            self.assertEqual(self.python(self.CLIENT, address, 7000, ringway=not ringway).strip(), "done")

    def test_closed_port_is_reported(self):
        client = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
s.connect((sys.argv[1], 7001))
s.send(b"x")
try:
    s.recv(10)
except ConnectionRefusedError:
    print("refused")
"""
        self.assertEqual(self.python(client, HOST, ringway=False).strip(), "refused")
        self.assertEqual(self.python(client, KERNEL).strip(), "refused")


class Bridged(GatewayTest):
    """A second tap, whose kernel end is in another namespace: a station of its own on the same network."""

    FAR = "10.111.0.99"

    def setUp(self):
        super().setUp()
        self.name = f"rwbr{os.getpid()}"
        ip("netns", "add", self.name)
        self.addCleanup(lambda: subprocess.run(["ip", "netns", "del", self.name], check=False, timeout=20))
        self.assertIn("attached", self.ringway("net", "attach", "default", "tap:rwfar"))
        ip("link", "set", "rwfar", "netns", self.name)
        for arguments in (("addr", "add", f"{self.FAR}/16", "dev", "rwfar"), ("link", "set", "rwfar", "up"),
                          ("link", "set", "lo", "up")):
            ip(*arguments, namespace=self.name)

    def ringway(self, *arguments, check=True):
        return self.run_program(str(BUILD / "bin/ringway"), *arguments, ringway=False, check=check)

    def there(self, *arguments):
        return self.run_program("ip", "netns", "exec", self.name, *arguments, ringway=False)

    def test_both_kernels_and_the_hosts_reach_each_other(self):
        self.there("ping", "-c", "2", "-i", "0.1", "-W", "5", HOST)
        self.there("ping", "-c", "2", "-i", "0.1", "-W", "5", KERNEL)
        self.run_program("ping", "-c", "2", "-i", "0.1", "-W", "5", self.FAR, ringway=False)
        digest = self.make_file(8 << 20)
        out = os.path.join(self.directory, "far")

        def fetch_there(address):
            self.there("curl", "-sS", "--max-time", "50", "-o", out, f"http://{address}/file")
            with open(out, "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()

        self.http_server("0.0.0.0", 8081, True)
        self.assertEqual(fetch_there(f"{HOST}:8081"), digest)
        self.http_server(KERNEL, 8082, False)
        self.assertEqual(fetch_there(f"{KERNEL}:8082"), digest)  # from one tap to the other
        far = self.start("ip", "netns", "exec", self.name, PYTHON, "-u", "-m", "http.server", "8083", ringway=False)
        self.until(lambda: "Serving" in far.text() or far.poll() is not None, "no HTTP server")
        self.assertEqual(self.fetch(f"http://{self.FAR}:8083/file", True), digest)
        ports = self.ringway("net", "ports", "default").splitlines()
        self.assertEqual([line.split(":")[0] for line in ports], ["rwtest", "rwfar"])

    def test_interface_deleted_the_rest_goes_on(self):
        self.there("ping", "-c", "1", "-W", "5", HOST)
        ip("link", "del", "rwfar", namespace=self.name)
        self.until(lambda: "rwfar went away" in self.gateway.text(), "the gateway does not notice")
        self.assertEqual(self.gateway.text().count("went away"), 1)
        self.run_program("ping", "-c", "1", "-W", "5", HOST, ringway=False)
        self.assertEqual(len(self.ringway("net", "ports", "default").splitlines()), 1)

    def test_detached_and_wrong_ports_are_one_line(self):
        self.assertIn("detached", self.ringway("net", "detach", "default", "rwfar"))
        self.run_program("ping", "-c", "1", "-W", "5", HOST, ringway=False)
        for arguments, word in ((("detach", "default", "rwfar"), "not attached"),
                                (("attach", "default", "tap:rwtest"), "rwtest"),
                                (("attach", "default", "nonsense:x"), "nonsense"),
                                (("attach", "default", "tap:rw9,ip=192.168.0.1"), "not within"),
                                (("ports", "nowhere"), "not attached")):
            text = self.ringway("net", *arguments, check=False)
            self.assertIn(word, text)
            self.assertEqual(len(text.splitlines()), 1, text)


class Ends(GatewayTest):
    WAIT = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
s.sendall(b"hello")
print("connected", flush=True)
try:
    while s.recv(100000): pass
    print("end", time.monotonic(), flush=True)
except ConnectionError:
    print("reset", time.monotonic(), flush=True)
"""
    STAY = SERVE + """
c.recv(5); print("got", flush=True)
import time; time.sleep(100)
"""

    def killed(self, victim_is_ringway):
        address = HOST if victim_is_ringway else KERNEL
        server = self.serve(self.STAY, address, 3000, victim_is_ringway)
        client = self.start(PYTHON, "-c", self.WAIT, address, "3000", ringway=not victim_is_ringway)
        self.until(lambda: "connected" in client.text() and "got" in server.text(), "no connection")
        at = time.monotonic()
        os.killpg(server.pid, signal.SIGKILL)
        self.until(lambda: client.poll() is not None, "the peer does not learn of the end", 20)
        words = client.text().split()
        self.assertIn(words[1], ("end", "reset"), self.logs())
        self.assertLess(float(words[2]) - at, 1.0)

    def test_ringway_program_killed_the_kernel_peer_learns_it(self):
        self.killed(True)

    def test_kernel_program_killed_the_ringway_peer_learns_it(self):
        self.killed(False)

    def test_gateway_killed_the_ringway_peer_learns_it(self):
        self.serve(self.STAY, KERNEL, 3000, False)
        client = self.start(PYTHON, "-c", self.WAIT, KERNEL, "3000")
        self.until(lambda: "connected" in client.text(), "no connection")
        self.gateway.kill()
        self.until(lambda: client.poll() is not None, "the peer does not learn of the end", 20)
        self.assertEqual(client.text().split()[1], "reset", self.logs())

    def test_daemon_killed_the_gateway_finds_the_next_one(self):
        self.http_server("0.0.0.0", 8080, True)
        url = f"http://{HOST}:8080/"
        self.run_program("curl", "-sS", "--max-time", "20", "-o", "/dev/null", url, ringway=False)
        daemon = int(re.search(r"process (\d+)", self.status()).group(1))
        os.kill(daemon, signal.SIGKILL)
        # A stack that the gateway has not met: the new daemon introduces them.
        self.http_server("0.0.0.0", 8081, True)
        for port in (8080, 8081):
            self.run_program("curl", "-sS", "--max-time", "20", "--retry", "5", "--retry-connrefused", "-o", "/dev/null",
                             f"http://{HOST}:{port}/", ringway=False)
        self.assertIsNone(self.gateway.poll(), self.logs())

    def status(self):
        return self.run_program(str(BUILD / "bin/ringway"), "status", ringway=False)

    def test_data_of_a_program_that_has_ended_arrives(self):
        reader = """
import socket, sys, time, hashlib
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(); print("ready", flush=True)
c, _ = s.accept()
h = hashlib.sha256(); n = 0
while True:
    b = c.recv(8192)
    if not b: break
    h.update(b); n += len(b); time.sleep(0.02)
print(n, h.hexdigest(), time.monotonic(), flush=True)
"""
        writer = """
import hashlib, os, socket, sys, time
data = os.urandom(1 << 20)
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
s.connect((sys.argv[1], int(sys.argv[2])))
s.sendall(data)
print(hashlib.sha256(data).hexdigest(), time.monotonic(), flush=True)
"""
        child = self.serve(reader, KERNEL, 3001, False)
        digest, left = self.python(writer, KERNEL, 3001).split()
        self.until(lambda: child.poll() is not None, "the reader waits for ever", 50)
        words = child.text().split()
        self.assertEqual(words[1:3], [str(1 << 20), digest], self.logs())
        self.assertGreater(float(words[3]), float(left))


if __name__ == "__main__":
    unittest.main()
