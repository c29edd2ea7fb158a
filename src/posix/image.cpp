#include "posix/image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <map>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "posix/context.h"
#include "posix/environment.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;
using runtime::SocketId;
using runtime::StackHandover;

/// An fd, and which of the sockets it is of.
struct ImageFd {
  std::int32_t fd = -1;
  std::uint32_t socket = 0;
};

/// First in the memfd; stacks, sockets and fds follow.
struct ImageHeader {
  static constexpr std::uint64_t kMagic = 0x52696e67'45786531U;  // "RingExe1"

  std::uint64_t magic = kMagic;
  std::uint32_t layout = sizeof(StackHandover) << 16 | sizeof(ImageSocket);
  std::uint32_t pid = 0;  ///< exec keeps it; a stale variable in a child is found out
  std::uint32_t stacks = 0;
  std::uint32_t sockets = 0;
  std::uint32_t fds = 0;
  std::uint32_t reserved = 0;
};

struct Image {
  std::vector<StackHandover> stacks;
  std::vector<ImageSocket> sockets;
  std::vector<ImageFd> fds;
};

}  // namespace

ImageSocket describe(const Description& d) {
  constexpr std::uint32_t kGone = Description::kInEpoll;  // interests stay with the old image
  return {d.id(),        d.flags.load() & ~kGone,     d.domain.load(),
          d.type.load(), d.receive_timeout_ns.load(), d.send_timeout_ns.load()};
}

std::uint32_t make_description(const ImageSocket& socket) {
  const std::uint32_t index = fds.new_socket(socket.id, socket.domain, socket.type);
  if (index == 0) return 0;
  Description& d = fds.socket_at(index);
  d.flags.store(socket.flags);
  d.receive_timeout_ns.store(socket.receive_timeout_ns);
  d.send_timeout_ns.store(socket.send_timeout_ns);
  return index;
}

namespace {

/// The sockets of all fds that stay open over exec.
Image survivors() {
  Image image;
  std::map<const Description*, std::uint32_t> seen;  // dup() makes several fds of one
  for (int fd = 0; fd < fds.limit(); ++fd) {
    const Description* d = fds.socket(fd);
    if (d == nullptr) continue;
    const int flags = sys::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0) continue;
    const auto [at, fresh] = seen.emplace(d, static_cast<std::uint32_t>(image.sockets.size()));
    if (fresh) image.sockets.push_back(describe(*d));
    image.fds.push_back({fd, at->second});
  }
  return image;
}

std::vector<SocketId> ids_of(const Image& image) {
  std::vector<SocketId> ids;
  for (const ImageSocket& socket : image.sockets) ids.push_back(socket.id);
  return ids;
}

void renumber(Image& image) {
  for (ImageSocket& socket : image.sockets) {
    for (std::uint32_t i = 0; i < image.stacks.size(); ++i) {
      if (image.stacks[i].number != socket.id.arena) continue;
      socket.id.arena = i;
      break;
    }
  }
}

template <typename T>
bool put(int fd, const T* from, std::size_t count) {
  const auto size = static_cast<ssize_t>(sizeof(T) * count);
  return sys::write(fd, from, static_cast<std::size_t>(size)) == size;
}

template <typename T>
bool take(int fd, std::vector<T>& to, std::uint32_t count) {
  if (count > FdTable::kSockets) return false;
  to.resize(count);
  const auto size = static_cast<ssize_t>(sizeof(T) * count);
  return sys::read(fd, to.data(), static_cast<std::size_t>(size)) == size;
}

/// A memfd that survives exec, out of the way of low numbers; -1.
int write_image(const Image& image) {
  const auto low = static_cast<int>(
      sys::raw(SYS_memfd_create, reinterpret_cast<long>("ringway-exec"), MFD_CLOEXEC));
  const base::UniqueFd file(low < 0 ? -1 : low);
  if (!file) return -1;
  ImageHeader header;
  header.pid = static_cast<std::uint32_t>(getpid());
  header.stacks = static_cast<std::uint32_t>(image.stacks.size());
  header.sockets = static_cast<std::uint32_t>(image.sockets.size());
  header.fds = static_cast<std::uint32_t>(image.fds.size());
  const bool written = put(low, &header, 1) && put(low, image.stacks.data(), header.stacks) &&
                       put(low, image.sockets.data(), header.sockets) &&
                       put(low, image.fds.data(), header.fds);
  constexpr long kOutOfTheWay = 700;
  return written ? sys::fcntl(low, F_DUPFD, kOutOfTheWay) : -1;
}

bool read_image(int fd, Image& image) {
  ImageHeader header;
  const ImageHeader expected;
  if (sys::raw(SYS_lseek, fd, 0, SEEK_SET) != 0) return false;
  if (sys::read(fd, &header, sizeof header) != sizeof header) return false;
  if (header.magic != expected.magic || header.layout != expected.layout ||
      header.pid != static_cast<std::uint32_t>(getpid())) {
    return false;
  }
  return take(fd, image.stacks, header.stacks) && take(fd, image.sockets, header.sockets) &&
         take(fd, image.fds, header.fds);
}

void install(const Image& image) {
  std::vector<std::uint32_t> made;
  for (const ImageSocket& socket : image.sockets) made.push_back(make_description(socket));
  std::vector<bool> used(made.size());
  for (const ImageFd& at : image.fds) {
    if (at.socket >= made.size() || made[at.socket] == 0) continue;
    const FdEntry entry{FdKind::kSocket, made[at.socket]};
    if (used[at.socket]) fds.hold(entry);  // the first fd has the reference that it was made with
    used[at.socket] = true;
    fds.put(at.fd, entry);
  }
}

}  // namespace

Departure::Departure(const char* path) {
  runtime::Runtime* joined = network();
  // Most attempts that fail do so because there is no such file: then nothing has to be undone.
  if (joined == nullptr || has_left() || access(path, X_OK) != 0) return;
  Image image;
  if (loads_shim(path)) image = survivors();
  image.stacks = joined->before_exec(ids_of(image));
  departing_ = true;
  if (image.stacks.empty()) return;
  renumber(image);
  fd_ = write_image(image);
  handed_ = std::move(image.stacks);
  if (fd_ >= 0) let_over(true);
}

Departure::~Departure() {
  if (!departing_) return;
  const KeepErrno keep;
  if (fd_ >= 0) {
    let_over(false);
    sys::close(fd_);
  }
  network()->after_failed_exec();
}

void Departure::let_over(bool on) {
  for (const StackHandover& stack : handed_) {
    for (const int fd : stack.fds) {
      if (fd >= 0) sys::fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC);
    }
  }
}

void arrive() {
  const char* number = getenv(ImageEnvironment::kHandover);
  if (number == nullptr) return;
  int fd = -1;
  std::from_chars(number, number + std::strlen(number), fd);
  unsetenv(ImageEnvironment::kHandover);
  Image image;
  if (fd < 0 || !read_image(fd, image)) return;
  sys::close(fd);
  for (const StackHandover& stack : image.stacks) {
    for (const int over : stack.fds) {
      if (over >= 0) sys::fcntl(over, F_SETFD, FD_CLOEXEC);
    }
  }
  take_over_network(image.stacks, ids_of(image));
  install(image);
}

}  // namespace ringway::posix
