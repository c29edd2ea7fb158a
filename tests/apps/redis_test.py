#!/usr/bin/env python3
import unittest

from apps import RingwayTest, free_port, need


@need("redis-server", "redis-cli", "redis-benchmark")
class Redis(RingwayTest):
    def setUp(self):
        super().setUp()
        self.port = str(free_port())
        self.server = self.start("redis-server", "--port", self.port, "--save", "", "--dir", self.directory)
        self.until_listening(self.server, self.port)

    def cli(self, *arguments, **options):
        return self.run_program("redis-cli", "-p", self.port, *arguments, **options).strip()

    def test_ping(self):
        self.assertEqual(self.cli("ping"), "PONG")

    def test_values_of_many_sizes(self):
        for size in (0, 1, 1000, 65536, 5_000_000):
            with self.file_of(size) as value:
                self.cli("-x", "set", "key", stdin=value)
            self.assertEqual(self.cli("strlen", "key"), str(size))

    def file_of(self, size):
        path = f"{self.directory}/value"
        with open(path, "wb") as file:
            file.write(b"v" * size)
        return open(path, "rb")

    def test_benchmark(self):
        text = self.run_program("redis-benchmark", "-p", self.port, "-q", "-n", "50000", "-c", "50", "-t", "get,set")
        self.assertEqual(text.count("requests per second"), 2, text)

    def test_pipelined_benchmark(self):
        text = self.run_program("redis-benchmark", "-p", self.port, "-q", "-n", "100000", "-c", "50", "-P", "16",
                                "-t", "get,set,lrange_100")
        self.assertIn("requests per second", text)

    def test_background_save_forks_with_live_connections(self):
        self.cli("set", "a", "1")
        self.cli("bgsave")
        self.until(lambda: "rdb_bgsave_in_progress:0" in self.cli("info", "persistence"), "bgsave does not end")
        self.assertIn("rdb_last_bgsave_status:ok", self.cli("info", "persistence"))
        self.assertEqual(self.cli("get", "a"), "1")

    def test_replica(self):
        port = str(free_port())
        replica = self.start("redis-server", "--port", port, "--save", "", "--dir", self.directory, "--dbfilename",
                             "replica.rdb", "--replicaof", "127.0.0.1", self.port)
        self.until_listening(replica, port)
        self.cli("set", "copied", "yes")
        self.until(lambda: self.run_program("redis-cli", "-p", port, "get", "copied").strip() == "yes",
                   "the replica does not follow")

    def test_killed(self):
        self.killed_peer_resets(self.server, self.port, b"PING\r\n")


if __name__ == "__main__":
    unittest.main()
