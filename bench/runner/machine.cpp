#include "bench/runner/machine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "bench/runner/sweeper.h"

namespace ringway::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCongestionFile = "/proc/sys/net/ipv4/tcp_congestion_control";
constexpr const char* kAvailableFile = "/proc/sys/net/ipv4/tcp_available_congestion_control";

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// Fields of /proc/PID/stat from the third on: the name before may hold spaces and brackets.
std::vector<std::string> stat_fields(const std::string& path) {
  const std::string line = first_line(path);
  const std::size_t bracket = line.rfind(')');
  if (bracket == std::string::npos) return {};
  std::istringstream words(line.substr(bracket + 1));
  std::vector<std::string> fields;
  for (std::string word; words >> word;) fields.push_back(word);
  return fields;
}

bool can_bind(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return free;
}

}  // namespace

CpuTimes parse_cpu_times(const std::string& line) {
  std::istringstream words(line);
  std::string name;
  words >> name;
  if (name != "cpu") return {};
  CpuTimes times;
  std::uint64_t value = 0;
  // user nice system idle iowait irq softirq steal; guest time is part of user (proc(5)).
  for (int field = 0; field < 8 && words >> value; ++field) {
    times.total += value;
    if (field == 3 || field == 4) times.idle += value;
    if (field == 7) times.steal = value;
  }
  return times;
}

CpuTimes read_cpu_times() { return parse_cpu_times(first_line("/proc/stat")); }

double steal_percent(const CpuTimes& before, const CpuTimes& after) {
  if (after.total <= before.total) return 0;
  return 100 * static_cast<double>(after.steal - before.steal) /
         static_cast<double>(after.total - before.total);
}

double busy_seconds(const CpuTimes& before, const CpuTimes& after) {
  const std::uint64_t total = after.total - before.total;
  const std::uint64_t quiet = (after.idle - before.idle) + (after.steal - before.steal);
  if (quiet > total) return 0;
  return static_cast<double>(total - quiet) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double group_cpu_seconds(pid_t group) {
  const std::string wanted = std::to_string(group);
  std::uint64_t sum = 0;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::vector<std::string> fields = stat_fields(entry.path() / "stat");
    // proc(5) counts from 1: pgrp is 5, utime stime cutime cstime are 14 to 17; ours start with
    // field 3.
    if (fields.size() < 15 || fields[2] != wanted) continue;
    for (std::size_t i = 11; i <= 14; ++i) sum += std::strtoull(fields[i].c_str(), nullptr, 10);
  }
  return static_cast<double>(sum) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

base::Result<std::uint16_t> free_ports(std::uint16_t count) {
  static std::mt19937 random{std::random_device{}()};
  std::uniform_int_distribution<int> any(20000, 32000 - count);
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto first = static_cast<std::uint16_t>(any(random));
    std::uint16_t free = 0;
    while (free < count && can_bind(static_cast<std::uint16_t>(first + free))) ++free;
    if (free == count) return first;
  }
  return base::fail(base::ErrorCode::kExhausted, "no free TCP ports between 20000 and 32000");
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string kernel_release() {
  utsname names{};
  uname(&names);
  return names.release;
}

std::vector<std::string> congestion_candidates() {
  std::istringstream words(first_line(kAvailableFile));
  std::vector<std::string> found;
  for (std::string word; words >> word;) {
    if (word == "cubic" || word == "bbr") found.push_back(word);
  }
  return found;
}

std::string CongestionSetting::current() { return first_line(kCongestionFile); }

bool CongestionSetting::may_change() { return access(kCongestionFile, W_OK) == 0; }

bool CongestionSetting::change(const std::string& name) {
  if (before_.empty()) {
    before_ = current();
    sweep_file(kCongestionFile, before_);
  }
  std::ofstream file(kCongestionFile);
  file << name << std::flush;
  return file.good();
}

CongestionSetting::~CongestionSetting() {
  if (before_.empty()) return;
  if (before_ != current()) std::ofstream(kCongestionFile) << before_;
  forget_file(kCongestionFile);
}

base::Result<TemporaryFolder> TemporaryFolder::make() {
  const char* root = std::getenv("TMPDIR");
  std::string path = std::string(root == nullptr ? "/tmp" : root) + "/ringway-bench-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return base::fail_errno("cannot make " + path);
  sweep_folder(path);
  return TemporaryFolder(path);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (path_.empty()) return;
  fs::remove_all(path_, ignored);
  forget_folder(path_);
}

}  // namespace ringway::bench
