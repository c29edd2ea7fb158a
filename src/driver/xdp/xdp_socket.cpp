#include "driver/xdp/xdp_socket.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <utility>

#include "base/sys.h"
#include "driver/xdp/xdp_abi.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace ringway::driver::xdp {
namespace {

namespace sys = base::sys;
using base::ErrorCode;
using base::Result;

base::Error error_of(ErrorCode code, int number, std::string what) {
  return {code, number, std::move(what)};
}

Result<base::UniqueFd> make_socket() {
  base::UniqueFd fd(sys::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd) return fd;
  const int saved = errno;
  if (saved == EPERM) {
    return tl::unexpected(error_of(ErrorCode::kPermission, saved,
                                   "AF_XDP sockets need CAP_NET_RAW: run as root, or lease a queue "
                                   "from ringway-netd"));
  }
  return tl::unexpected(
      error_of(ErrorCode::kUnavailable, saved,
               "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS): use the tap or packet driver"));
}

/// Registers the frames; asks for transmit checksums first, which older kernels do not know.
Result<bool> register_umem(int fd, const Umem& umem) {
  UmemRegistration registration{};
  registration.address = reinterpret_cast<std::uint64_t>(umem.base);
  registration.length = umem.length;
  registration.chunk_size = umem.chunk;
  registration.flags = kTxMetadataLength;
  registration.tx_metadata_length = sizeof(TxMetadata);
  if (sys::setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration) == 0) {
    return true;
  }
  registration.flags = 0;
  registration.tx_metadata_length = 0;
  constexpr socklen_t kOldLength = 24;
  if (sys::setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &registration, kOldLength) == 0) return false;
  if (errno == ENOBUFS) {
    return tl::unexpected(error_of(
        ErrorCode::kExhausted, ENOBUFS,
        fmt::format("{} KiB of frames are more than may be locked: ulimit -l, or CAP_IPC_LOCK",
                    umem.length / 1024)));
  }
  return base::fail_errno(fmt::format("{} KiB of frames of {} bytes cannot be shared with a device",
                                      umem.length / 1024, umem.chunk));
}

Result<void> size_rings(int fd) {
  const std::uint32_t entries = kRingEntries;
  for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING}) {
    if (sys::setsockopt(fd, SOL_XDP, ring, &entries, sizeof entries) != 0) {
      return base::fail_errno("no rings could be made for an AF_XDP socket");
    }
  }
  return {};
}

base::Error bind_error(const BindTo& to, int number) {
  const std::string place = fmt::format("queue {} of {}", to.queue, to.device);
  switch (number) {
    case EBUSY:
      return error_of(ErrorCode::kExists, number,
                      place +
                          " is in use by another AF_XDP program: end that one, or take another "
                          "queue (queue=N)");
    case EINVAL:
      return error_of(ErrorCode::kInvalidArgument, number,
                      place + " cannot be used: is there such a queue (ethtool -l)?");
    case EOPNOTSUPP:
      return error_of(ErrorCode::kUnavailable, number,
                      place + " has no zero copy: leave out require=zerocopy");
    case ENODEV:
    case ENXIO:
      return error_of(ErrorCode::kNotFound, number, "there is no interface " + to.device);
    case ENETDOWN:
      return error_of(ErrorCode::kUnavailable, number,
                      fmt::format("{0} is down: ip link set {0} up", to.device));
    case EPERM:
      return error_of(ErrorCode::kPermission, number, place + " needs CAP_NET_RAW: run as root");
    default:
      return error_of(ErrorCode::kSystem, number,
                      fmt::format("{} cannot be bound: {}", place, std::strerror(number)));
  }
}

/// One try; returns 0 or errno.
int try_bind(int fd, const BindTo& to, std::uint16_t flags) {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = to.index;
  address.sxdp_queue_id = to.queue;
  if (to.shared >= 0) {
    // Flags come from the first socket (Documentation/networking/af_xdp.rst, XDP_SHARED_UMEM).
    address.sxdp_flags = XDP_SHARED_UMEM;
    address.sxdp_shared_umem_fd = static_cast<std::uint32_t>(to.shared);
  } else {
    address.sxdp_flags = flags;
  }
  return sys::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0
                                                                                         : errno;
}

/// The kernel takes a dead program's socket off its queue with a delay (16 to 36 ms seen).
int bind_patiently(int fd, const BindTo& to, std::uint16_t flags) {
  constexpr timespec kPause{0, 5'000'000};
  for (int i = 0;; ++i) {
    const int error = try_bind(fd, to, flags);
    if (error != EBUSY || i == 40) return error;
    sys::raw(SYS_nanosleep, reinterpret_cast<long>(&kPause), 0);
  }
}

}  // namespace

Result<BoundSocket> bind_socket(const BindTo& to, const Umem& umem) {
  auto fd = make_socket();
  if (!fd) return tl::unexpected(fd.error());
  BoundSocket made;
  if (to.shared < 0) {
    const auto checksum = register_umem(fd->get(), umem);
    if (!checksum) return tl::unexpected(checksum.error());
    made.binding.tx_checksum = *checksum;
  }
  if (auto sized = size_rings(fd->get()); !sized) {
    return tl::unexpected(sized.error());
  }
  const std::uint16_t mode = to.mode == CopyMode::kCopy       ? XDP_COPY
                             : to.mode == CopyMode::kZeroCopy ? XDP_ZEROCOPY
                                                              : 0;
  // Without pieces for kernels and devices that do not have them.
  int error = EINVAL;
  for (const std::uint16_t pieces : {kUseSg, std::uint16_t{0}}) {
    const auto flags = static_cast<std::uint16_t>(mode | XDP_USE_NEED_WAKEUP | pieces);
    error = bind_patiently(fd->get(), to, flags);
    made.binding.pieces = pieces != 0;
    if (error != EINVAL && error != EOPNOTSUPP) break;
  }
  if (error != 0) return tl::unexpected(bind_error(to, error));
  xdp_options options{};
  socklen_t length = sizeof options;
  if (sys::getsockopt(fd->get(), SOL_XDP, XDP_OPTIONS, &options, &length) == 0) {
    made.binding.zero_copy = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  }
  // With zero copy the device computes checksums, and whether it can is not asked here.
  if (made.binding.zero_copy) made.binding.tx_checksum = false;
  made.fd = std::move(*fd);
  return made;
}

Result<Socket> Socket::map(base::UniqueFd fd) {
  Socket socket;
  socket.fd_ = std::move(fd);
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (sys::getsockopt(socket.fd(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0 ||
      length != sizeof offsets) {
    return base::fail_errno("the descriptor that was passed is no AF_XDP socket");
  }
  const auto rx = socket.map_ring(0, sizeof(xdp_desc), offsets.rx.desc);
  const auto tx = socket.map_ring(1, sizeof(xdp_desc), offsets.tx.desc);
  const auto fill = socket.map_ring(2, sizeof(std::uint64_t), offsets.fr.desc);
  const auto completion = socket.map_ring(3, sizeof(std::uint64_t), offsets.cr.desc);
  for (const auto* ring : {&rx, &tx, &fill, &completion}) {
    if (!*ring) return tl::unexpected(ring->error());
  }
  socket.rx = UserRing<xdp_desc>(*rx, offsets.rx);
  socket.tx = UserRing<xdp_desc>(*tx, offsets.tx);
  socket.fill = UserRing<std::uint64_t>(*fill, offsets.fr);
  socket.completion = UserRing<std::uint64_t>(*completion, offsets.cr);
  return socket;
}

Result<std::byte*> Socket::map_ring(std::size_t which, std::uint64_t entry_bytes,
                                    std::uint64_t desc_offset) {
  constexpr off_t kPages[] = {XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
                              static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING),
                              static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING)};
  Mapping& mapping = mappings_[which];
  mapping.length = desc_offset + kRingEntries * entry_bytes;
  void* at = ::mmap(nullptr, mapping.length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                    fd(), kPages[which]);
  if (at == MAP_FAILED) {
    return base::fail_errno("the rings of an AF_XDP socket cannot be mapped");
  }
  mapping.at = at;
  return static_cast<std::byte*>(at);
}

Socket::~Socket() {
  for (const Mapping& mapping : mappings_) {
    if (mapping.at != nullptr) ::munmap(mapping.at, mapping.length);
  }
}

void Socket::swap(Socket& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(mappings_, other.mappings_);
  std::swap(fill, other.fill);
  std::swap(completion, other.completion);
  std::swap(rx, other.rx);
  std::swap(tx, other.tx);
}

}  // namespace ringway::driver::xdp
