#!/usr/bin/env python3
import contextlib
import os
import pathlib
import shutil
import signal
import unittest

from apps import PYTHON, RingwayTest, free_port, need

CONFIGURATION = """
worker_processes {workers};
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
  sendfile on;
  keepalive_requests 1000000;
  server {{
    listen 127.0.0.1:{port};
    root {directory}/www;
  }}
}}
"""


def end(leader):
    """What made itself a daemon is in no group of the test."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


@need("nginx", "curl")
class Nginx(RingwayTest):
    def serve(self, workers, daemon="off"):
        self.port = free_port()
        www = os.path.join(self.directory, "www")
        os.mkdir(www)
        with open(os.path.join(www, "small"), "w") as file:
            file.write("x" * 1024)
        with open(os.path.join(www, "large"), "w") as file:
            file.write("y" * 20_000_000)
        os.chmod(self.directory, 0o755)  # workers are another user
        configuration = os.path.join(self.directory, "nginx.conf")
        with open(configuration, "w") as file:
            file.write(CONFIGURATION.format(workers=workers, directory=self.directory, port=self.port))
        # With its directory: it starts itself again as what it was called.
        program = shutil.which("nginx", path=self.environment["PATH"])
        self.server = self.start(program, "-c", configuration, "-g", f"daemon {daemon};")
        if daemon == "on":
            self.server.wait(20)
            self.until(lambda: self.can_connect(self.port), "nobody listens")
        else:
            self.until_listening(self.server, self.port)
        return f"http://127.0.0.1:{self.port}"

    def test_curl_small_and_large(self):
        for workers in (1, 2):
            with self.subTest(workers=workers):
                url = self.serve(workers)
                self.assertEqual(len(self.run_program("curl", "-sS", f"{url}/small")), 1024)
                size = self.run_program("curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", f"{url}/large")
                self.assertEqual(size, "20000000")
                self.assertIn("404", self.run_program("curl", "-sS", f"{url}/none"))
                self.tearDown()
                self.end_children()
                self.doCleanups()
                self.setUp()

    @need("wrk")
    def test_wrk(self):
        for workers in (1, 2):
            with self.subTest(workers=workers):
                url = self.serve(workers)
                text = self.run_program("wrk", "-t", "1", "-c", "64", "-d", "2s", f"{url}/small")
                self.assertIn("Requests/sec", text)
                self.assertNotIn("Socket errors", text)
                self.assertNotIn("Non-2xx", text)
                self.end_children()
                self.doCleanups()
                self.setUp()

    @need("ab")
    def test_ab(self):
        url = self.serve(2)
        for extra in ([], ["-k"]):
            text = self.run_program("ab", "-q", "-n", "3000", "-c", "20", *extra, f"{url}/small")
            self.assertIn("Complete requests:      3000", text)
            self.assertIn("Failed requests:        0", text)

    def test_reload_keeps_serving(self):
        url = self.serve(1)
        self.run_program("curl", "-sS", f"{url}/small")
        self.run_program("nginx", "-c", os.path.join(self.directory, "nginx.conf"), "-s", "reload")
        self.until(lambda: len(self.run_program("curl", "-sS", f"{url}/small", check=False)) == 1024,
                   "no answer after reload")

    def test_binary_upgrade_refuses_nobody(self):
        url = self.serve(2, "on")  # one in the foreground ignores the signal
        pid_file = pathlib.Path(self.directory, "nginx.pid")
        clients = self.start(PYTHON, "-c", """
import http.client, sys, time
end = time.monotonic() + 60
count = 0
while time.monotonic() < end:
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
    c.request("GET", "/small")
    assert len(c.getresponse().read()) == 1024
    c.close()
    count += 1
    print(count, flush=True)
""", str(self.port))
        served = lambda: int((["0"] + clients.text().split())[-1]) if clients.poll() is None else -1
        self.until(lambda: served() > 10, "the clients do not start")
        old = int(pid_file.read_text())
        self.addCleanup(end, old)
        os.kill(old, signal.SIGUSR2)
        self.until(lambda: pid_file.exists() and pid_file.read_text().strip() not in ("", str(old)), "no new master")
        new = int(pid_file.read_text())
        self.addCleanup(end, new)
        before = served()
        self.until(lambda: served() > before + 20, "both at once do not serve")
        os.kill(old, signal.SIGQUIT)
        self.until(lambda: not os.path.exists(f"/proc/{old}"), "the old master stays")
        before = served()
        self.until(lambda: served() > before + 20, "the new one does not serve")
        self.assertEqual(len(self.run_program("curl", "-sS", f"{url}/small")), 1024)
        self.assertIsNone(clients.poll(), clients.text()[-2000:])

    def test_killed(self):
        self.serve(1)
        self.killed_peer_resets(self.server, self.port)


if __name__ == "__main__":
    unittest.main()
