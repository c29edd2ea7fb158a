#!/usr/bin/env python3
"""A device shared with the kernel: programs under Ringway on a veth's own address, by AF_XDP.

Two network namespaces that the test makes: this process's own with rwxa (10.118.0.1), where the programs under
Ringway and ringway-netd run, and a second one with rwxb (10.118.0.2), whose kernel is the other side.
"""

import ctypes
import os
import signal
import subprocess
import unittest

from apps import BUILD, PYTHON, RingwayTest, need

OURS, THEIRS = "10.118.0.1", "10.118.0.2"
OURS6 = "fd18::1"
CLONE_NEWNET = 0x40000000
OTHER = f"rwxdp{os.getpid()}"
NOBODY = 65534

NGINX = """
worker_processes {workers};
user nobody nogroup;
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000;
  server {{
    listen 80;
    root {directory}/www;
  }}
}}
"""

ECHO_UDP = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data, peer)
"""

ASK_UDP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], 7))
for i in range(200):
    s.send(b"%d" % i)
    assert s.recv(100) == b"%d" % i
print("all answered")
"""


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, timeout=20)


def setUpModule():
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise unittest.SkipTest("needs the right to make a network namespace")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for name in ("all", "default"):
        with open(f"/proc/sys/net/ipv6/conf/{name}/accept_dad", "w", encoding="ascii") as file:
            file.write("0")  # addresses are usable at once
    ip("link", "set", "lo", "up")
    ip("netns", "add", OTHER)
    ip("-n", OTHER, "link", "set", "lo", "up")


def tearDownModule():
    subprocess.run(["ip", "netns", "del", OTHER], check=False, timeout=20)


class XdpTest(RingwayTest):
    def setUp(self):
        super().setUp()
        ip("link", "add", "rwxa", "type", "veth", "peer", "name", "rwxb", "netns", OTHER)
        self.addCleanup(subprocess.run, ["ip", "link", "del", "rwxa"], check=False, stderr=subprocess.DEVNULL)
        ip("addr", "add", f"{OURS}/24", "dev", "rwxa")
        # Duplicate address detection would leave them without a source for a second.
        ip("addr", "add", f"{OURS6}/64", "dev", "rwxa", "nodad")
        ip("link", "set", "rwxa", "up")
        ip("-n", OTHER, "addr", "add", f"{THEIRS}/24", "dev", "rwxb")
        ip("-n", OTHER, "addr", "add", "fd18::2/64", "dev", "rwxb", "nodad")
        ip("-n", OTHER, "link", "set", "rwxb", "up")
        self.environment["RINGWAY_NETD"] = os.path.join(self.directory, "netd.sock")
        os.chmod(self.directory, 0o755)
        self.netd = self.start_netd()

    def start_netd(self):
        netd = self.start(str(BUILD / "bin/ringway-netd"), "--trust", str(NOBODY), ringway=False)
        path = self.environment["RINGWAY_NETD"]
        self.until(lambda: os.path.exists(path) or netd.poll() is not None, "no ringway-netd")
        self.assertIsNone(netd.poll(), self.logs())
        return netd

    def end_netd(self, with_signal):
        os.killpg(self.netd.pid, with_signal)
        self.netd.wait(10)
        if os.path.exists(self.environment["RINGWAY_NETD"]):
            os.unlink(self.environment["RINGWAY_NETD"])

    def on_device(self, *arguments, spec="xdp:rwxa", **options):
        return self.start(str(BUILD / "bin/ringway"), "run", "--port", spec, "--", *arguments, ringway=False, **options)

    def other(self, *arguments, **options):
        return self.run_program("ip", "netns", "exec", OTHER, *arguments, ringway=False, **options)

    def serve_http(self, port=80, bind="0.0.0.0", **options):
        www = os.path.join(self.directory, "www")
        os.makedirs(www, exist_ok=True)
        for name, size in (("small", 1024), ("large", 20_000_000)):
            with open(os.path.join(www, name), "w", encoding="ascii") as file:
                file.write("x" * size)
        server = self.on_device(PYTHON, "-u", "-m", "http.server", str(port), "--bind", bind, "--directory", www, **options)
        self.until(lambda: "Serving" in server.text() or server.poll() is not None, "no HTTP server")
        self.assertIsNone(server.poll(), self.logs())
        return server

    def size_of(self, url, *more):
        return self.other("curl", "-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{size_download}", *more, url,
                          check=False)

    def refused(self, port):
        text = self.other("curl", "-sS", "--max-time", "3", f"http://{OURS}:{port}/", check=False)
        return "refused" in text.lower() or "Couldn't connect" in text


@need("curl", "socat", "nginx")
class Shared(XdpTest):
    def test_nginx_at_80_while_the_kernel_has_22(self):
        www = os.path.join(self.directory, "www")
        os.mkdir(www)
        for name, size in (("small", 1024), ("large", 20_000_000)):
            with open(os.path.join(www, name), "w", encoding="ascii") as file:
                file.write("x" * size)
        configuration = os.path.join(self.directory, "nginx.conf")
        with open(configuration, "w", encoding="ascii") as file:
            file.write(NGINX.format(workers=2, directory=self.directory))
        self.start("socat", "TCP-LISTEN:22,fork,reuseaddr", "SYSTEM:echo kernel", ringway=False)
        server = self.on_device("nginx", "-c", configuration, "-g", "daemon off;")
        self.until(lambda: self.size_of(f"http://{OURS}/small") == "1024" or server.poll() is not None, "no nginx")
        self.assertEqual(self.size_of(f"http://{OURS}/large"), "20000000", self.logs())
        self.assertEqual(self.other("socat", "-u", f"TCP:{OURS}:22", "STDOUT"), "kernel\n")
        self.other("ping", "-c", "2", "-i", "0.1", "-W", "5", OURS)
        self.assertIn("direct lease", server.text())
        self.assertTrue(self.refused(81))

    def test_both_families_and_a_large_file(self):
        self.serve_http(bind="::")
        self.assertEqual(self.size_of(f"http://{OURS}/large"), "20000000")
        self.assertEqual(self.size_of(f"http://[{OURS6}]/large"), "20000000")

    def test_udp_both_ways(self):
        server = self.on_device(PYTHON, "-u", "-c", ECHO_UDP)
        self.until(lambda: "ready" in server.text() or server.poll() is not None, "no echo")
        self.assertIn("all answered", self.other(PYTHON, "-c", ASK_UDP, OURS))

    def test_a_client_reaches_the_other_side(self):
        server = self.start("ip", "netns", "exec", OTHER, PYTHON, "-u", "-m", "http.server", "8000", "--directory",
                            "/usr/share/common-licenses", ringway=False)
        self.until(lambda: "Serving" in server.text(), "no server there")
        text = self.run_program(str(BUILD / "bin/ringway"), "run", "--port", "xdp:rwxa", "--", "curl", "-sS",
                                f"http://{THEIRS}:8000/BSD", ringway=False)
        self.assertIn("Regents", text)
        self.assertIn("direct lease", text)

    def test_a_port_of_the_kernel_is_not_taken(self):
        self.start("socat", "TCP-LISTEN:8022,fork,reuseaddr", "SYSTEM:echo kernel", ringway=False)
        self.until(lambda: self.other("socat", "-u", f"TCP:{OURS}:8022", "STDOUT", check=False) == "kernel\n", "no socat")
        server = self.on_device(PYTHON, "-u", "-m", "http.server", "8022")
        server.wait(30)
        self.assertIn("Address already in use", server.text())
        self.assertEqual(self.other("socat", "-u", f"TCP:{OURS}:8022", "STDOUT"), "kernel\n")

    def test_localhost_stays_the_networks(self):
        self.serve_http(8080)
        text = self.run_program("curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", "http://127.0.0.1:8080/small")
        self.assertEqual(text, "1024")

    def test_an_address_that_comes_later(self):
        self.serve_http(8080)
        ip("addr", "add", "10.118.0.77/24", "dev", "rwxa")
        self.until(lambda: self.size_of("http://10.118.0.77:8080/small") == "1024", "the new address is not served")


@need("curl", "setpriv")
class Rights(XdpTest):
    def unprivileged(self, user, *arguments, spec="xdp:rwxa"):
        network = os.path.join(self.directory, f"network-{user}")
        if not os.path.exists(network):
            os.mkdir(network, 0o700)
            os.chown(network, user, user)
        return self.start("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
                          "env", f"RINGWAY_DIR={network}", str(BUILD / "bin/ringway"), "run", "--port", spec, "--", *arguments,
                          ringway=False)

    def serve_unprivileged(self, user, port, **options):
        server = self.unprivileged(user, PYTHON, "-u", "-m", "http.server", str(port), "--directory", "/usr/share/common-licenses",
                                   **options)
        self.until(lambda: "Serving" in server.text() or server.poll() is not None, "no HTTP server")
        self.assertIsNone(server.poll(), self.logs())
        return server

    def serves(self, port):
        return self.size_of(f"http://{OURS}:{port}/BSD") not in ("", "0")

    def test_a_trusted_program_without_any_right_has_the_queue(self):
        server = self.serve_unprivileged(NOBODY, 8080, spec="xdp:rwxa,lease=direct")
        self.assertIn("direct lease", server.text())
        self.assertTrue(self.serves(8080), self.logs())

    def test_programs_of_several_users_behind_guards_and_roots(self):
        first = self.serve_unprivileged(NOBODY, 8080)
        second = self.serve_unprivileged(12345, 8081)
        roots = self.serve_http(8082)
        self.assertIn("guarded lease", first.text())
        self.assertIn("guarded lease", second.text())
        self.assertIn("direct lease", roots.text())
        self.assertTrue(self.serves(8080) and self.serves(8081), self.logs())
        self.assertEqual(self.size_of(f"http://{OURS}:8082/large"), "20000000")
        self.end(first)
        self.until(lambda: self.refused(8080), "the kernel does not answer")
        self.assertTrue(self.serves(8081), self.logs())

    def test_guarded_program_outlives_the_daemon_and_its_death_is_seen_by_the_next(self):
        server = self.serve_unprivileged(NOBODY, 8080)
        self.end_netd(signal.SIGKILL)
        self.assertTrue(self.serves(8080), self.logs())
        self.netd = self.start_netd()
        self.assertTrue(self.serves(8080), self.logs())
        self.end(server)
        self.until(lambda: self.refused(8080), "the kernel does not answer")
        self.serve_unprivileged(NOBODY, 8080)
        self.assertTrue(self.serves(8080), self.logs())

    def test_a_large_file_from_behind_a_guard(self):
        self.serve_http(8080, spec="xdp:rwxa,lease=guarded")
        self.assertEqual(self.size_of(f"http://{OURS}:8080/large"), "20000000")

    def test_a_port_for_root_and_a_stranger_are_refused(self):
        server = self.unprivileged(NOBODY, PYTHON, "-u", "-m", "http.server", "80")
        server.wait(30)
        self.assertIn("Permission denied", server.text())
        stranger = self.unprivileged(12345, PYTHON, "-u", "-m", "http.server", "8081", spec="xdp:rwxa,lease=direct")
        stranger.wait(30)
        self.assertIn("--trust", stranger.text())


@need("curl")
class Ends(XdpTest):
    def test_program_dies_and_the_kernel_answers(self):
        server = self.serve_http(8080)
        self.assertEqual(self.size_of(f"http://{OURS}:8080/small"), "1024")
        self.end(server)
        self.until(lambda: self.refused(8080), "the kernel does not answer")
        self.serve_http(8080)  # and the queue is free again
        self.assertEqual(self.size_of(f"http://{OURS}:8080/small"), "1024")

    def test_daemon_dies_and_its_successor_takes_up(self):
        server = self.serve_http(8080)
        self.end_netd(signal.SIGKILL)
        self.assertEqual(self.size_of(f"http://{OURS}:8080/small"), "1024")
        self.netd = self.start_netd()
        self.assertEqual(self.size_of(f"http://{OURS}:8080/small"), "1024")
        # A second program asks for the same device: the live lease is left alone.
        second = self.on_device(PYTHON, "-u", "-m", "http.server", "8081", spec="xdp:rwxa,lease=direct")
        second.wait(30)
        self.assertIn("in use", second.text())
        self.assertEqual(self.size_of(f"http://{OURS}:8080/small"), "1024")
        self.end(server)
        self.until(lambda: self.refused(8080), "the kernel does not answer")
        self.serve_http(8080)
        self.assertEqual(self.size_of(f"http://{OURS}:8080/small"), "1024")

    def test_device_is_deleted(self):
        server = self.serve_http(8080)
        ip("link", "del", "rwxa")
        text = self.run_program("curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", "http://127.0.0.1:8080/small")
        self.assertEqual(text, "1024", "the rest of the program lives on")
        self.assertIsNone(server.poll())

    def test_device_goes_down_and_up(self):
        self.serve_http(8080)
        ip("link", "set", "rwxa", "down")
        ip("link", "set", "rwxa", "up")
        self.until(lambda: self.size_of(f"http://{OURS}:8080/small") == "1024", "it does not go on")


if __name__ == "__main__":
    unittest.main()
