#include <fcntl.h>
#include <fmt/format.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <numeric>
#include <thread>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "cli/checks.h"
#include "mem/arena.h"

namespace ringway::cli {

namespace {

using base::UniqueFd;
namespace sys = base::sys;

Check memfd_seals() {
  auto memory = mem::make_sealed_memfd("doctor", 1U << 20);
  if (!memory) {
    return {"memfd with seals", Verdict::kBroken, memory.error().what,
            "use Linux 3.17 or later; in a container, allow memfd_create in its seccomp profile"};
  }
  const UniqueFd owned(*memory);
  return {"memfd with seals", Verdict::kGood, "arenas and links can be made", ""};
}

Check large_mappings() {
  constexpr std::size_t kArena = std::size_t{4} << 30;
  void* at = ::mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return {"address space", Verdict::kBroken, "4 GiB cannot be reserved", "ulimit -v unlimited"};
  }
  ::munmap(at, kArena);
  return {"address space", Verdict::kGood, "large arenas can be reserved", ""};
}

Check membarrier() {
  const int commands = sys::membarrier(MEMBARRIER_CMD_QUERY);
  constexpr int kWanted =
      MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
  if (commands < 0 || (commands & kWanted) != kWanted) {
    return {"membarrier", Verdict::kLimited, "sleeping programs are woken with a fence per send",
            "use Linux 4.16 or later with CONFIG_MEMBARRIER"};
  }
  return {"membarrier", Verdict::kGood, "global expedited", ""};
}

// A process takes the lock in shared memory and dies with it; the next one is told.
Check robust_mutex() {
  Check broken{"robust futex", Verdict::kBroken, "a dead holder of a shared lock is not found out",
               "use a kernel with CONFIG_FUTEX; in a container, allow set_robust_list"};
  void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return broken;
  auto* mutex = static_cast<pthread_mutex_t*>(at);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(mutex, &attributes);
  const pid_t child = ::fork();
  if (child == 0) {
    pthread_mutex_lock(mutex);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  const int outcome = child > 0 ? pthread_mutex_trylock(mutex) : EAGAIN;
  ::munmap(at, 4096);
  if (outcome != EOWNERDEAD) return broken;
  return {"robust futex", Verdict::kGood, "a dead holder of a lock is found out", ""};
}

Check descriptors() {
  const UniqueFd bell(sys::eventfd(0, EFD_CLOEXEC));
  const UniqueFd process(sys::pidfd_open(::getpid(), 0));
  if (!bell || !process) {
    return {"eventfd and pidfd", Verdict::kBroken, "doorbells or process handles do not work",
            "use Linux 5.3 or later"};
  }
  return {"eventfd and pidfd", Verdict::kGood, "doorbells and process handles work", ""};
}

Check file_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  constexpr rlim_t kPlenty = 4096;
  const auto text = fmt::format("{} soft, {} hard", limit.rlim_cur, limit.rlim_max);
  if (limit.rlim_max < kPlenty) {
    return {"open files", Verdict::kLimited, text + ": a link takes up to 5 in a program",
            "raise the hard limit in /etc/security/limits.conf: `* hard nofile 1048576`"};
  }
  return {"open files", Verdict::kGood, text, ""};
}

Check tun() {
  const UniqueFd device(sys::openat(AT_FDCWD, "/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (device)
    return {"/dev/net/tun", Verdict::kGood, "tap ports can be made with CAP_NET_ADMIN", ""};
  if (errno == ENOENT || errno == ENXIO || errno == ENODEV) {
    return {"/dev/net/tun", Verdict::kMissing, "no port to the local kernel",
            "modprobe tun; in a container, pass --device /dev/net/tun"};
  }
  return {"/dev/net/tun", Verdict::kMissing, "may not be opened",
          "run as root, or chmod 666 /dev/net/tun"};
}

Check user_namespaces() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : 1);
  int status = 1;
  if (child > 0) ::waitpid(child, &status, 0);
  if (status == 0) return {"user namespaces", Verdict::kGood, "the interop tests can run", ""};
  return {"user namespaces", Verdict::kMissing, "interop tests need root instead",
          "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000"};
}

Check processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  const int count = CPU_COUNT(&set);
  if (count >= 2)
    return {"processors", Verdict::kGood, fmt::format("{} for this program", count), ""};
  return {"processors", Verdict::kLimited,
          "two programs that poll share one core: each waits for the other",
          "give this program a second core (taskset, cpuset of the container)"};
}

/// user, nice, system, idle, iowait, irq, softirq, steal of all processors, in ticks.
std::array<std::uint64_t, 8> processor_times() {
  std::ifstream file("/proc/stat");
  std::string word;
  std::array<std::uint64_t, 8> times{};
  file >> word;
  for (auto& time : times) file >> time;
  return times;
}

Check steal() {
  const auto before = processor_times();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  auto after = processor_times();
  for (std::size_t i = 0; i < after.size(); ++i) after[i] -= std::min(after[i], before[i]);
  const auto all = std::accumulate(after.begin(), after.end(), std::uint64_t{0});
  const auto percent = all == 0 ? 0 : after[7] * 100 / all;
  if (percent < 5) return {"stolen time", Verdict::kGood, fmt::format("{} %", percent), ""};
  return {
      "stolen time", Verdict::kLimited,
      fmt::format("{} % of processor time goes to other guests now: latencies are theirs", percent),
      "measure at another time or on a machine of one's own"};
}

Check shared_memory() {
  struct statvfs status {};
  if (::statvfs("/dev/shm", &status) != 0)
    return {"memory", Verdict::kGood, "no /dev/shm to ask", ""};
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::uint64_t kib = 0;
  while (file >> word && word != "MemAvailable:") {
  }
  file >> kib;
  const auto text = fmt::format("{} MiB available", kib / 1024);
  constexpr std::uint64_t kLittleKib = 256 * 1024;
  if (kib >= kLittleKib) return {"memory", Verdict::kGood, text, ""};
  return {"memory", Verdict::kLimited, text + ": a busy program takes some 10 MiB",
          "free some memory"};
}

}  // namespace

std::vector<Check> check_machine() {
  return {memfd_seals(), large_mappings(), membarrier(), robust_mutex(), descriptors(),
          file_limit(),  shared_memory(),  processors(), steal(),        tun(),
          check_xdp(),   user_namespaces()};
}

}  // namespace ringway::cli
