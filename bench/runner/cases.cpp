#include "bench/runner/cases.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

namespace ringway::bench {
namespace {

using base::Result;
using Words = std::vector<std::string>;

/// One rw-* program as server and client, with the same extra words on both sides or only on one.
struct PlainWords {
  Words both;
  Words server;
  Words client;
};

Plan plain_plan(const Setting& setting, const std::string& program, const PlainWords& words) {
  const std::string path = setting.programs + "/" + program;
  Plan plan;
  plan.ready_text = "ready";
  plan.server = {path, "server", "--port", std::to_string(setting.port)};
  plan.client = {path,        "client",
                 "--connect", fmt::format("127.0.0.1:{}", setting.port),
                 "--seconds", fmt::format("{:.2f}", setting.seconds)};
  for (Words* command : {&plan.server, &plan.client}) {
    command->insert(command->end(), words.both.begin(), words.both.end());
    if (!setting.congestion.empty()) {
      command->insert(command->end(), {"--cc", setting.congestion});
    }
  }
  plan.server.insert(plan.server.end(), words.server.begin(), words.server.end());
  plan.client.insert(plan.client.end(), words.client.begin(), words.client.end());
  return plan;
}

Result<Plan> pingpong(const Setting& setting) {
  return plain_plan(setting, "rw-pingpong", {{"--mode", "spin"}, {}, {}});
}

Result<Plan> pingpong_native(const Setting& setting) {
  if (setting.side == SideName::kKernel) return pingpong(setting);
  const std::string program = "rw-pingpong-native";
  if (access((setting.programs + "/" + program).c_str(), X_OK) != 0) {
    return base::fail(base::ErrorCode::kNotFound,
                      "there is no " + setting.programs + "/" + program);
  }
  Plan plan = plain_plan(setting, program, {});
  plan.native = true;
  return plan;
}

Result<Plan> pingpong_blocking(const Setting& setting) {
  return plain_plan(setting, "rw-pingpong", {{"--mode", "blocking"}, {}, {}});
}

Result<Plan> udp_pingpong(const Setting& setting) {
  return plain_plan(setting, "rw-pingpong", {{"--mode", "spin", "--udp"}, {}, {}});
}

Result<Plan> rr_100(const Setting& setting) {
  return plain_plan(setting, "rw-rr", {{}, {}, {"--connections", "100"}});
}

Result<Plan> rr_1000(const Setting& setting) {
  return plain_plan(setting, "rw-rr", {{}, {}, {"--connections", "1000"}});
}

Result<Plan> short_1(const Setting& setting) {
  return plain_plan(setting, "rw-short", {{"--ports", "8"}, {}, {"--messages", "1"}});
}

Result<Plan> short_8(const Setting& setting) {
  return plain_plan(setting, "rw-short", {{"--ports", "8"}, {}, {"--messages", "8"}});
}

Result<Plan> stream(const Setting& setting) { return plain_plan(setting, "rw-stream", {}); }

Result<Plan> stream_spin(const Setting& setting) {
  return plain_plan(setting, "rw-stream", {{"--spin"}, {}, {}});
}

Result<Plan> idle(const Setting& setting) {
  const std::string seconds = fmt::format("{:.2f}", setting.seconds);
  return plain_plan(setting, "rw-idle", {{}, {"--seconds", seconds}, {}});
}

Plan redis(const Setting& setting, const std::string& pipeline) {
  const std::string port = std::to_string(setting.port);
  Plan plan;
  plan.server = {find_program("redis-server"),
                 "--port",
                 port,
                 "--bind",
                 "127.0.0.1",
                 "--save",
                 "",
                 "--appendonly",
                 "no",
                 "--dir",
                 setting.folder};
  plan.ready_text = "Ready to accept connections";
  plan.probe = {find_program("redis-cli"), "-p", port, "ping"};
  plan.client = {find_program("redis-benchmark"),
                 "-p",
                 port,
                 "-n",
                 std::to_string(setting.redis_requests),
                 "-c",
                 "50",
                 "-t",
                 "get,set",
                 "-P",
                 pipeline,
                 "--csv"};
  plan.requests_per_test = static_cast<double>(setting.redis_requests);
  return plan;
}

Result<Plan> redis_p1(const Setting& setting) { return redis(setting, "1"); }
Result<Plan> redis_p16(const Setting& setting) { return redis(setting, "16"); }

/// As Debian ships nginx (sendfile, tcp_nopush, master and worker), but one worker, no access log,
/// its own folder.
std::string nginx_configuration(const Setting& setting) {
  // Under root nginx would make the worker another user, who cannot read the temporary folder.
  const std::string user = geteuid() == 0 ? "user root;\n" : "";
  return fmt::format(
      "{0}daemon off;\nworker_processes 1;\npid {1}/nginx.pid;\nerror_log stderr notice;\n"
      "events {{ worker_connections 1024; }}\n"
      "http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  default_type text/plain;\n"
      "  client_body_temp_path {1}/body;\n  proxy_temp_path {1}/proxy;\n"
      "  fastcgi_temp_path {1}/fastcgi;\n  uwsgi_temp_path {1}/uwsgi;\n  scgi_temp_path {1}/scgi;\n"
      "  server {{ listen 127.0.0.1:{2}; root {1}; }}\n}}\n",
      user, setting.folder, setting.port);
}

Result<Plan> nginx_1k(const Setting& setting) {
  const std::string configuration = setting.folder + "/nginx.conf";
  std::ofstream(configuration) << nginx_configuration(setting);
  std::ofstream(setting.folder + "/1k.txt") << std::string(1024, 'r');
  const std::string url = fmt::format("http://127.0.0.1:{}/1k.txt", setting.port);
  Plan plan;
  plan.server = {find_program("nginx"), "-p", setting.folder, "-e", "stderr", "-c", configuration};
  plan.ready_text = "start worker process ";
  if (const std::string curl = find_program("curl"); !curl.empty()) {
    plan.probe = {curl, "-sf", "--max-time", "2", "-o", "/dev/null", url};
  }
  const auto seconds = static_cast<int>(std::max(1.0, std::round(setting.seconds)));
  plan.client = {find_program("wrk"),           "-t1",       "-c64",
                 fmt::format("-d{}s", seconds), "--latency", url};
  return plan;
}

constexpr Metric kP50{"p50_us", "us", false};
constexpr Metric kRate{"rate", "1/s", true};
constexpr Metric kThroughput{"gbit_s", "Gbit/s", true};
constexpr Metric kCpu{"cpu_percent", "%", false};

constexpr Congestion kOption = Congestion::kOption;
constexpr Congestion kSystem = Congestion::kSystem;
constexpr Congestion kNoChoice = Congestion::kNone;
constexpr Target kNoTarget{TargetKind::kNone, 0};

constexpr Target at_least(double ratio) { return {TargetKind::kRatio, ratio}; }
constexpr Target p50_and_p99(double ratio) { return {TargetKind::kRatioAndP99, ratio}; }
constexpr Target at_most(double value) { return {TargetKind::kLimit, value}; }

constexpr const char* kRedis = "redis-server redis-cli redis-benchmark";

constexpr Case kCases[] = {
    {"pingpong-native", "64 B ping-pong, spinning, native API", kP50, p50_and_p99(10), kOption, 1,
     pingpong_native, parse_plain, ""},
    {"pingpong", "64 B ping-pong, spinning sockets", kP50, p50_and_p99(8), kOption, 1, pingpong,
     parse_plain, ""},
    {"pingpong-blocking", "64 B ping-pong, blocking sockets", kP50, at_least(1), kOption, 1,
     pingpong_blocking, parse_plain, ""},
    {"udp-pingpong", "64 B UDP ping-pong, spinning sockets", kP50, kNoTarget, kNoChoice, 1,
     udp_pingpong, parse_plain, ""},
    {"rr-100", "64 B request/response, 100 connections", kRate, at_least(6), kOption, 1, rr_100,
     parse_plain, ""},
    {"rr-1000", "64 B request/response, 1000 connections", kRate, at_least(6), kOption, 1, rr_1000,
     parse_plain, ""},
    {"short-1", "short connections, 1 message", kRate, at_least(8), kOption, 8, short_1,
     parse_plain, ""},
    {"short-8", "short connections, 8 messages", kRate, at_least(8), kOption, 8, short_8,
     parse_plain, ""},
    {"stream", "one stream, 64 KiB writes", kThroughput, at_least(2), kOption, 1, stream,
     parse_plain, ""},
    {"stream-spin", "one stream, 64 KiB writes, spinning", kThroughput, at_least(2), kOption, 1,
     stream_spin, parse_plain, ""},
    {"redis-p1", "redis-benchmark get,set, 50 clients", kRate, at_least(3), kSystem, 1, redis_p1,
     parse_redis_benchmark, kRedis},
    {"redis-p16", "redis-benchmark get,set, pipeline of 16", kRate, at_least(1.5), kSystem, 1,
     redis_p16, parse_redis_benchmark, kRedis},
    {"nginx-1k", "nginx 1 KiB file, wrk, 64 connections", kRate, at_least(2), kSystem, 1, nginx_1k,
     parse_wrk, "nginx wrk"},
    {"idle", "CPU of an idle program", kCpu, at_most(0.3), kNoChoice, 1, idle, parse_plain, ""},
};

}  // namespace

std::span<const Case> all_cases() { return kCases; }

const Case* find_case(const std::string& name) {
  for (const Case& one : kCases) {
    if (name == one.name) return &one;
  }
  return nullptr;
}

}  // namespace ringway::bench
