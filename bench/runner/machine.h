#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace ringway::bench {

/// Time of all cores since boot, in clock ticks (/proc/stat).
struct CpuTimes {
  std::uint64_t total = 0;
  std::uint64_t idle = 0;
  std::uint64_t steal = 0;
};

/// The first line of /proc/stat; zeros if it is not one.
CpuTimes parse_cpu_times(const std::string& line);
CpuTimes read_cpu_times();

/// Share of the time between two readings that the hypervisor gave to others.
double steal_percent(const CpuTimes& before, const CpuTimes& after);

/// Seconds of all cores that were neither idle nor stolen.
double busy_seconds(const CpuTimes& before, const CpuTimes& after);

/// CPU seconds of all living processes of a process group and of the children that they waited for.
double group_cpu_seconds(pid_t group);

/// First of `count` consecutive TCP ports that are free on 127.0.0.1, below the range of ephemeral
/// ports.
base::Result<std::uint16_t> free_ports(std::uint16_t count);

std::string cpu_model();
std::string kernel_release();

/// "cubic" and "bbr" as far as the kernel has them.
std::vector<std::string> congestion_candidates();

/// Sets the congestion control of new connections for as long as it lives, where that is allowed.
class CongestionSetting {
 public:
  CongestionSetting() = default;
  CongestionSetting(const CongestionSetting&) = delete;
  CongestionSetting& operator=(const CongestionSetting&) = delete;
  ~CongestionSetting();

  static std::string current();
  static bool may_change();
  bool change(const std::string& name);

 private:
  std::string before_;
};

/// A new folder under TMPDIR, removed with all that is in it.
class TemporaryFolder {
 public:
  static base::Result<TemporaryFolder> make();
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace ringway::bench
