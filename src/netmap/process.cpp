#include "netmap/process.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <mutex>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "control/proto/runtime_dir.h"
#include "netmap/device.h"

namespace ringway::netmap {
namespace {

namespace sys = base::sys;
using base::Result;
using base::UniqueFd;

constexpr int kFds = 1 << 20;
constexpr int kOutOfTheWay = 800;  // our own numbers, away from those that programs count on
// Bytes of the file that are locked by open files: bells, and descriptors by their number.
constexpr off_t kDescriptorLocks = off_t{1} << 45;
constexpr off_t kBellLocks = off_t{1} << 46;
constexpr const char* kSharedMemory = "/dev/shm";

struct Process {
  std::mutex attaching;
  std::string name;  // of the file in the directory
  int directory = -1;
  std::atomic<int> life{-1};       // an open file of this process with a shared flock
  std::atomic<int> bell_file{-1};  // holds the locks of this process's bells
  dev_t device = 0;
  ino_t inode = 0;
  std::atomic<int> writers[kMaxBells];  // fd + 1 of the write ends that were used
};
Process self;
std::atomic<std::uint16_t> known[kFds];  // descriptor + 1
std::atomic<pid_t> known_process{0};

/// Without a system call; a fork is noticed by renew_after_fork().
pid_t process_id() {
  const pid_t known_id = known_process.load(std::memory_order_relaxed);
  if (known_id != 0) return known_id;
  known_process.store(sys::getpid(), std::memory_order_relaxed);
  return known_process.load(std::memory_order_relaxed);
}

int out_of_the_way(int fd) {
  const int high = sys::fcntl(fd, F_DUPFD_CLOEXEC, kOutOfTheWay);
  if (high < 0) return fd;
  sys::close(fd);
  return high;
}

bool lock_byte(int fd, off_t byte) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return sys::fcntl(fd, F_OFD_SETLK, reinterpret_cast<long>(&lock)) == 0;
}

bool byte_is_locked(int fd, off_t byte) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  if (sys::fcntl(fd, F_OFD_GETLK, reinterpret_cast<long>(&lock)) != 0) return true;
  return lock.l_type != F_UNLCK;
}

std::string file_name() {
  const char* network = std::getenv("RINGWAY_NETWORK");
  const std::string_view named = network == nullptr || *network == '\0' ? "default" : network;
  const std::size_t place = std::hash<std::string>{}(control::proto::runtime_directory());
  // The size stands for the layout: programs of two versions do not meet.
  return fmt::format("ringway-{}-{:016x}-{}-{}.netmap", ::geteuid(), place, named,
                     sizeof(Registry));
}

/// A new open file with a shared flock; empty if it cannot be, with errno.
UniqueFd open_shared() {
  for (;;) {
    constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd fd(sys::openat(self.directory, self.name.c_str(), kFlags, 0600));
    if (!fd || sys::flock(fd.get(), LOCK_SH) != 0) return UniqueFd();
    struct stat status {};
    if (sys::fstat(fd.get(), &status) != 0) return UniqueFd();
    if (status.st_uid != ::geteuid() && ::geteuid() != 0) {
      errno = EPERM;
      return UniqueFd();
    }
    if (status.st_nlink != 0) return fd;  // else the last user removed it in between
  }
}

Result<Registry*> map_registry(int fd) {
  if (sys::ftruncate(fd, static_cast<off_t>(kFileBytes)) != 0) {
    return base::fail_errno("netmap memory cannot be made in /dev/shm");
  }
  void* mapped =
      reinterpret_cast<void*>(sys::raw(SYS_mmap, 0, static_cast<long>(kFileBytes),
                                       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0));
  if (reinterpret_cast<long>(mapped) < 0 && reinterpret_cast<long>(mapped) > -4096) {
    errno = static_cast<int>(-reinterpret_cast<long>(mapped));
    return base::fail_errno("netmap memory cannot be mapped: is there a limit (ulimit -v)?");
  }
  sys::raw(SYS_madvise, reinterpret_cast<long>(mapped), static_cast<long>(kFileBytes),
           MADV_DONTDUMP);
  auto* mine = static_cast<Registry*>(mapped);
  mine->bytes = kFileBytes;  // all else starts as zeros
  mine->magic.store(kMagic, std::memory_order_release);
  return mine;
}

Result<Registry*> attach_now() {
  UniqueFd directory(sys::openat(AT_FDCWD, kSharedMemory, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return base::fail_errno("cannot open /dev/shm, where netmap's memory lies");
  self.directory = out_of_the_way(directory.release());
  self.name = file_name();
  UniqueFd file = open_shared();
  if (!file) return base::fail_errno(fmt::format("cannot open {}/{}", kSharedMemory, self.name));
  struct stat status {};
  sys::fstat(file.get(), &status);
  auto mapped = map_registry(file.get());
  if (!mapped) return mapped;
  self.device = status.st_dev;
  self.inode = status.st_ino;
  self.life.store(out_of_the_way(file.release()));
  mapped_registry.store(*mapped, std::memory_order_release);
  ::pthread_atfork(nullptr, nullptr, &renew_after_fork);
  return *mapped;
}

}  // namespace

std::atomic<int> fd_limit{0};

constinit std::atomic<Registry*> mapped_registry{nullptr};

Result<Registry*> attach() {
  if (Registry* mine = registry(); mine != nullptr) return mine;
  const std::lock_guard lock(self.attaching);
  if (Registry* mine = registry(); mine != nullptr) return mine;
  return attach_now();
}

void renew_after_fork() {
  forget_thread_id();
  known_process.store(0);
  UniqueFd fresh = open_shared();
  if (!fresh) return;  // the parent's open file serves, as long as the parent lives
  struct stat status {};
  if (sys::fstat(fresh.get(), &status) != 0 || status.st_ino != self.inode) return;
  const int before = self.life.exchange(out_of_the_way(fresh.release()));
  if (before >= 0) sys::close(before);
  const int bells = self.bell_file.exchange(-1);
  if (bells >= 0) sys::close(bells);
}

void leave() {
  Registry* mine = registry();
  const int life = self.life.load();
  if (mine == nullptr || life < 0) return;
  for (std::uint32_t i = 0; i < mine->port_limit; ++i) {
    if (mine->ports[i].kind.load() == PortKind::kPersistent) return;
  }
  for (int fd = 0; fd < fd_limit.load(); ++fd) {
    if (descriptor_of(fd) != kNone) sys::close(fd);
    forget(fd);
  }
  // Alone on it now? Whoever opens it from here on finds it unlinked and makes another.
  for (std::uint32_t i = 0; i < mine->descriptor_limit; ++i) {
    if (mine->descriptors[i].state.load() != State::kFree && is_held(i)) return;
  }
  const int bells = self.bell_file.load();
  if (bells >= 0) sys::flock(bells, LOCK_UN);
  if (sys::flock(life, LOCK_EX | LOCK_NB) != 0) return;
  ::unlinkat(self.directory, self.name.c_str(), 0);
  for (std::uint32_t bell = 0; bell < kMaxBells; ++bell) {
    if (::unlinkat(self.directory, fmt::format("{}.bell-{}", self.name, bell).c_str(), 0) != 0) {
      break;
    }
  }
}

void drop_pages(std::uint64_t offset, std::uint64_t bytes) {
  constexpr int kPunchKeepSize = 3;
  sys::raw(SYS_fallocate, self.life.load(), kPunchKeepSize, static_cast<long>(offset),
           static_cast<long>(bytes));
}

bool reserve_pages(std::uint64_t offset, std::uint64_t bytes) {
  return sys::raw(SYS_fallocate, self.life.load(), 0, static_cast<long>(offset),
                  static_cast<long>(bytes)) == 0;
}

void* map_file(void* where, std::size_t bytes, int protection, int flags, std::uint64_t offset) {
  const long mapped = sys::raw(SYS_mmap, reinterpret_cast<long>(where), static_cast<long>(bytes),
                               protection, flags, self.life.load(), static_cast<long>(offset));
  if (mapped >= 0 || mapped < -4095) return reinterpret_cast<void*>(mapped);
  errno = static_cast<int>(-mapped);
  return MAP_FAILED;
}

// The position of the open file says which descriptor it is, to whoever gets it; the lock of one
// byte says that somebody still has it. Both go with the last reference, whatever ends it.
int make_descriptor_fd(std::uint32_t descriptor, int flags) {
  UniqueFd file = open_shared();
  if (!file) return -errno;
  if (!lock_byte(file.get(), kDescriptorLocks + descriptor)) return -EBUSY;
  sys::raw(SYS_lseek, file.get(), kDescriptorLocks + descriptor, SEEK_SET);
  if ((flags & O_CLOEXEC) == 0) sys::fcntl(file.get(), F_SETFD, 0);
  remember(file.get(), descriptor);
  return file.release();
}

bool is_held(std::uint32_t descriptor) {
  return byte_is_locked(self.life.load(), kDescriptorLocks + descriptor);
}

std::uint32_t descriptor_of(int fd) {
  if (static_cast<unsigned>(fd) >= static_cast<unsigned>(kFds)) return kNone;
  const std::uint32_t entry = known[fd].load(std::memory_order_acquire);
  return entry == 0 ? kNone : entry - 1;
}

std::uint32_t adopt(int fd) {
  if (const std::uint32_t found = descriptor_of(fd); found != kNone) return found;
  const int saved = errno;
  struct stat status {};
  std::uint32_t found = kNone;
  if (fd >= 0 && fd < kFds && sys::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
      status.st_size == static_cast<off_t>(kFileBytes) && attach() &&
      status.st_dev == self.device && status.st_ino == self.inode && !owns_fd(fd)) {
    const long place = sys::raw(SYS_lseek, fd, 0, SEEK_CUR) - kDescriptorLocks;
    if (place >= 0 && place < static_cast<long>(kMaxDescriptors)) {
      found = static_cast<std::uint32_t>(place);
      remember(fd, found);
    }
  }
  errno = saved;
  return found;
}

void remember(int fd, std::uint32_t descriptor) {
  if (fd < 0 || fd >= kFds) return;
  known[fd].store(static_cast<std::uint16_t>(descriptor + 1), std::memory_order_release);
  int limit = fd_limit.load();
  while (limit <= fd && !fd_limit.compare_exchange_weak(limit, fd + 1)) continue;
}

void forget(int fd) {
  if (fd >= 0 && fd < kFds) known[fd].store(0, std::memory_order_release);
}

namespace {

std::atomic<std::uint64_t> bells_taken[kMaxBells / 64];  // by threads of this process
std::atomic<int> bell_fds[kMaxBells];                    // + 1

void unlock_byte(int fd, off_t byte) {
  struct flock lock {};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  sys::fcntl(fd, F_OFD_SETLK, reinterpret_cast<long>(&lock));
}

struct Bell {
  std::uint32_t id = kNone;
  int fd = -1;
  pid_t process = 0;
  ~Bell() {
    if (fd < 0 || process != process_id()) return;
    bell_fds[id].store(0);
    sys::close(fd);
    unlock_byte(self.bell_file.load(), kBellLocks + id);
    bells_taken[id / 64].fetch_and(~(std::uint64_t{1} << (id % 64)));
    id = kNone;
    fd = -1;
  }
};
thread_local Bell bell;

int bell_file() {
  const int have = self.bell_file.load();
  if (have >= 0) return have;
  UniqueFd fresh = open_shared();
  if (!fresh) return -1;
  for (auto& word : bells_taken) word.store(0);
  int expected = -1;
  const int number = out_of_the_way(fresh.release());
  if (self.bell_file.compare_exchange_strong(expected, number)) return number;
  sys::close(number);
  return expected;
}

bool open_bell(std::uint32_t id) {
  const std::string name = fmt::format("{}.bell-{}", self.name, id);
  if (::mkfifoat(self.directory, name.c_str(), 0600) != 0 && errno != EEXIST) return false;
  const int fd =
      sys::openat(self.directory, name.c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  bell.fd = out_of_the_way(fd);
  bell.id = id;
  bell.process = process_id();
  bell_fds[id].store(bell.fd + 1);
  return true;
}

void take_bell() {
  const int file = bell_file();
  if (file < 0) return;
  for (std::uint32_t id = 0; id < kMaxBells; ++id) {
    const std::uint64_t bit = std::uint64_t{1} << (id % 64);
    if ((bells_taken[id / 64].fetch_or(bit) & bit) != 0) continue;
    if (lock_byte(file, kBellLocks + id) && open_bell(id)) return;
  }
}

}  // namespace

std::uint32_t own_bell() {
  if (bell.id == kNone || bell.process != process_id()) {
    bell.id = kNone;
    take_bell();
  }
  return bell.id;
}

int own_bell_fd() { return bell.fd; }

void silence_own_bell() {
  char drain[64];
  const int saved = errno;
  while (sys::read(bell.fd, drain, sizeof drain) == sizeof drain) continue;
  errno = saved;
}

void ring_bell(std::uint32_t id) {
  const int saved = errno;
  int writer = self.writers[id].load(std::memory_order_relaxed) - 1;
  if (writer < 0) {
    const std::string name = fmt::format("{}.bell-{}", self.name, id);
    writer = sys::openat(self.directory, name.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (writer >= 0) {
      writer = out_of_the_way(writer);
      int expected = 0;
      if (!self.writers[id].compare_exchange_strong(expected, writer + 1)) {
        sys::close(writer);
        writer = expected - 1;
      }
    }
  }
  if (writer >= 0) sys::write(writer, "", 1);
  errno = saved;
}

bool owns_fd(int fd) {
  if (registry() == nullptr || fd < 0) return false;
  if (fd == self.directory || fd == self.life.load() || fd == self.bell_file.load()) return true;
  if (fd < kOutOfTheWay) return false;
  const auto is_this = [fd](const auto& entry) { return entry.load() == fd + 1; };
  return std::any_of(std::begin(bell_fds), std::end(bell_fds), is_this) ||
         std::any_of(std::begin(self.writers), std::end(self.writers), is_this) ||
         owns_interface_fd(fd);
}

ControlLock::ControlLock() {
  constexpr std::uint64_t kAll = UINT64_MAX;
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&kAll),
           reinterpret_cast<long>(&before_), 8);
  while (!registry()->lock.lock(1'000'000)) continue;
}

ControlLock::~ControlLock() {
  registry()->lock.unlock();
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&before_), 0, 8);
}

}  // namespace ringway::netmap
