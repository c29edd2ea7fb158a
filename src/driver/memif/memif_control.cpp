#include "driver/memif/memif_control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "base/sys.h"

namespace ringway::driver::memif {
namespace {

namespace sys = base::sys;
using base::ErrorCode;
using base::Result;

constexpr std::string_view kName = "ringway";
constexpr std::size_t kMaxRegions = 256;
/// How often a slave looks for its master.
constexpr base::Duration kRetry = base::Duration::milliseconds(20);

struct Address {
  sockaddr_un address{};
  socklen_t length = 0;

  explicit Address(const std::string& path) {
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    if (path.front() == '@') {
      address.sun_path[0] = '\0';
      --length;
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

base::UniqueFd new_socket() {
  return base::UniqueFd(sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// One message and the descriptors that came with it.
struct Received {
  ssize_t bytes = 0;
  Message message;
  base::UniqueFd fd;
  bool too_many = false;
};

/// Takes over every descriptor that was passed; more than one is none of this protocol.
void take_descriptors(msghdr& header, Received& received) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      base::UniqueFd owned(fd);
      if (received.fd) {
        received.too_many = true;
      } else {
        received.fd = std::move(owned);
      }
    }
  }
  if ((header.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) received.too_many = true;
}

/// Whoever rings or looks must never be made to wait by a peer that passed another kind of file.
bool make_bell(const base::UniqueFd& fd) {
  std::array<char, 32> target{};
  const std::string link = fmt::format("/proc/self/fd/{}", fd.get());
  if (::readlink(link.c_str(), target.data(), target.size() - 1) < 0 ||
      std::string_view(target.data()) != "anon_inode:[eventfd]") {
    return false;
  }
  const int flags = sys::fcntl(fd.get(), F_GETFL);
  return flags >= 0 && sys::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) == 0;
}

Received receive(int fd) {
  Received received;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
  iovec part{received.message.bytes.data(), Message::kBytes};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  do {
    received.bytes = sys::recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (received.bytes < 0 && errno == EINTR);
  const int saved = errno;
  if (received.bytes >= 0) take_descriptors(header, received);
  errno = saved;
  return received;
}

}  // namespace

Control::~Control() {
  if (listener_ && options_.path.front() != '@') ::unlink(options_.path.c_str());
}

Result<Control> Control::open(const MemifOptions& options, const Frames& frames) {
  Control control(options, frames);
  if (options.master) {
    if (auto done = control.listen(); !done) return tl::unexpected(done.error());
  }
  return control;
}

Control Control::adopt(const MemifOptions& options, const Frames& frames, base::UniqueFd peer) {
  Control control(options, frames);
  control.adopted_ = true;
  control.begin(std::move(peer));
  return control;
}

Result<void> Control::listen() {
  const Address address(options_.path);
  base::UniqueFd socket = new_socket();
  if (!socket) return base::fail_errno("no socket for a memif");
  int failed = sys::bind(socket.get(), address.get(), address.length);
  if (failed != 0 && errno == EADDRINUSE) {
    // What a dead master left behind refuses connections.
    const base::UniqueFd probe = new_socket();
    if (sys::connect(probe.get(), address.get(), address.length) == 0 || errno != ECONNREFUSED ||
        options_.path.front() == '@') {
      return base::fail(ErrorCode::kExists,
                        fmt::format("another memif master listens at {}: end it, or take another "
                                    "path",
                                    options_.path));
    }
    ::unlink(options_.path.c_str());
    failed = sys::bind(socket.get(), address.get(), address.length);
  }
  if (failed != 0 || sys::listen(socket.get(), 8) != 0) {
    auto error = base::fail_errno(fmt::format("cannot listen at {}", options_.path));
    if (errno == EACCES) error.value().code = ErrorCode::kPermission;
    if (errno == ENOENT) error.value().what += "; make its directory first";
    return error;
  }
  listener_ = std::move(socket);
  return {};
}

bool Control::find_peer(base::Instant now) {
  if (adopted_) return false;
  if (options_.master) {
    base::UniqueFd peer(
        sys::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!peer) return false;
    begin(std::move(peer));
    return true;
  }
  if (now < retry_) return false;
  retry_ = now + kRetry;
  const Address address(options_.path);
  base::UniqueFd socket = new_socket();
  if (!socket || sys::connect(socket.get(), address.get(), address.length) != 0) return false;
  begin(std::move(socket));
  return true;
}

/// A master speaks first.
void Control::begin(base::UniqueFd peer) {
  peer_ = std::move(peer);
  state_ = State::kGreeting;
  if (!options_.master) return;
  Message hello(MessageType::kHello);
  hello.put_text(Field::kHelloName, kName, Message::kNameBytes);
  hello.put(Field::kHelloLeast, kVersion);
  hello.put(Field::kHelloMost, kVersion);
  hello.put(Field::kHelloRegion, static_cast<std::uint16_t>(kMaxRegions - 1));
  hello.put(Field::kHelloM2s, std::uint16_t{0});
  hello.put(Field::kHelloS2m, std::uint16_t{0});
  hello.put(Field::kHelloLog2, static_cast<std::uint8_t>(std::bit_width(options_.ring) - 1));
  static_cast<void>(send(hello));
}

bool Control::send(const Message& message, int fd) {
  iovec part{const_cast<std::byte*>(message.bytes.data()), Message::kBytes};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (fd >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  return sys::sendmsg(peer_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(Message::kBytes);
}

Control::Event Control::step(base::Instant now) {
  if (!peer_ && !find_peer(now)) return Event::kNone;
  // A peer that talks without end does not keep this thread.
  for (std::size_t i = 0; i < kMaxRegions + 8; ++i) {
    Received received = receive(peer_.get());
    if (received.bytes < 0 && errno == EAGAIN) return Event::kNone;
    if (received.bytes <= 0) return close("the peer has gone");
    if (received.bytes != Message::kBytes || received.too_many) {
      return violation("malformed message");
    }
    const Event event = handle(received.message, std::move(received.fd));
    if (event != Event::kNone) return event;
  }
  return Event::kNone;
}

Control::Event Control::handle(const Message& message, base::UniqueFd fd) {
  if (message.type() == MessageType::kDisconnect) {
    const std::string reason(message.get_text(Field::kReason, Message::kReasonBytes));
    return close("the peer ended the connection: " + reason);
  }
  return options_.master ? as_master(message, std::move(fd)) : as_slave(message);
}

Control::Event Control::violation(std::string_view reason) {
  ++violations_;
  drop(reason);
  return Event::kClosed;
}

Control::Event Control::close(std::string_view reason) {
  reason_ = reason;
  peer_.reset();
  memory_ = {};
  s2m_.reset();
  m2s_.reset();
  state_ = State::kAlone;
  return Event::kClosed;
}

void Control::drop(std::string_view reason) {
  if (peer_) {
    Message message(MessageType::kDisconnect);
    message.put_text(Field::kReason, reason, Message::kReasonBytes);
    static_cast<void>(send(message));
  }
  close(reason);
}

Control::Event Control::as_slave(const Message& message) {
  switch (message.type()) {
    case MessageType::kHello:
      return state_ == State::kGreeting ? offer(message) : violation("unexpected hello");
    case MessageType::kAck:
      return Event::kNone;
    case MessageType::kConnected:
      if (state_ != State::kOffering) return violation("unexpected connected");
      state_ = State::kConnected;
      return Event::kConnected;
    default:
      return violation("unexpected message");
  }
}

/// All messages of an offer at once: the master takes them in order, whether it acknowledges each
/// or not.
Control::Event Control::offer(const Message& hello) {
  if (hello.get<std::uint16_t>(Field::kHelloLeast) > kVersion ||
      hello.get<std::uint16_t>(Field::kHelloMost) < kVersion) {
    return violation("incompatible version");
  }
  const unsigned log2 =
      std::min<unsigned>(hello.get<std::uint8_t>(Field::kHelloLog2),
                         static_cast<unsigned>(std::bit_width(options_.ring) - 1));
  const unsigned regions = options_.zero_copy ? 2 : 1;
  if (hello.get<std::uint16_t>(Field::kHelloRegion) + 1U < regions || log2 == 0) {
    return violation("the master takes too little");
  }
  auto memory = Memory::offer(options_, frames_, log2);
  if (!memory) return violation("out of memory");
  memory_ = std::move(*memory);
  Message init(MessageType::kInit);
  init.put(Field::kInitVersion, kVersion);
  init.put(Field::kInitId, options_.id);
  init.put(Field::kInitMode, kModeEthernet);
  std::memcpy(init.bytes.data() + Field::kInitSecret, options_.secret.data(),
              options_.secret.size());
  init.put_text(Field::kInitName, kName, Message::kNameBytes);
  bool sent = send(init);
  for (std::size_t i = 0; i < memory_.regions.size(); ++i) {
    Message region(MessageType::kAddRegion);
    region.put(Field::kRegionIndex, static_cast<std::uint16_t>(i));
    region.put(Field::kRegionSize, memory_.regions[i].size());
    sent = sent && send(region, memory_.regions[i].fd());
  }
  for (const bool s2m : {true, false}) {
    Message ring(MessageType::kAddRing);
    ring.put(Field::kRingFlags, s2m ? kRingS2m : std::uint16_t{0});
    ring.put(Field::kRingOffset, s2m ? memory_.s2m_offset : memory_.m2s_offset);
    ring.put(Field::kRingLog2, static_cast<std::uint8_t>(log2));
    sent = sent && send(ring, s2m ? memory_.s2m_bell.get() : memory_.m2s_bell.get());
  }
  Message connect(MessageType::kConnect);
  connect.put_text(Field::kName, kName, Message::kNameBytes);
  if (!sent || !send(connect)) return close("the master does not listen");
  state_ = State::kOffering;
  return Event::kNone;
}

Control::Event Control::as_master(const Message& message, base::UniqueFd fd) {
  const char* wrong = "unexpected message";
  switch (message.type()) {
    case MessageType::kAck:
      return Event::kNone;
    case MessageType::kInit:
      if (state_ == State::kGreeting) wrong = take_init(message);
      break;
    case MessageType::kAddRegion:
      if (state_ == State::kOffering) wrong = take_region(message, std::move(fd));
      break;
    case MessageType::kAddRing:
      if (state_ == State::kOffering) wrong = take_ring(message, std::move(fd));
      break;
    case MessageType::kConnect:
      if (state_ == State::kOffering) wrong = take_connect();
      if (wrong == nullptr) return Event::kConnected;
      break;
    default:
      break;
  }
  if (wrong != nullptr) return violation(wrong);
  acknowledge();
  return Event::kNone;
}

const char* Control::take_init(const Message& message) {
  if (message.get<std::uint16_t>(Field::kInitVersion) != kVersion) return "incompatible version";
  if (message.get<std::uint32_t>(Field::kInitId) != options_.id) return "id not found";
  if (message.get<std::uint8_t>(Field::kInitMode) != kModeEthernet) {
    return "only Ethernet mode is supported";
  }
  if (!options_.secret.empty() &&
      message.get_text(Field::kInitSecret, Message::kSecretBytes) != options_.secret) {
    return "incorrect secret";
  }
  state_ = State::kOffering;
  return nullptr;
}

const char* Control::take_region(const Message& message, base::UniqueFd fd) {
  const auto index = message.get<std::uint16_t>(Field::kRegionIndex);
  if (!fd) return "missing region fd";
  if (index != memory_.regions.size() || index >= kMaxRegions) return "invalid region index";
  auto region = Region::map(std::move(fd), message.get<std::uint64_t>(Field::kRegionSize));
  if (!region) return "invalid region";
  memory_.regions.push_back(std::move(*region));
  return nullptr;
}

const char* Control::take_ring(const Message& message, base::UniqueFd fd) {
  if (!fd) return "missing interrupt fd";
  const bool s2m = (message.get<std::uint16_t>(Field::kRingFlags) & kRingS2m) != 0;
  std::optional<RingOffer>& offer = s2m ? s2m_ : m2s_;
  if (message.get<std::uint16_t>(Field::kRingIndex) != 0 || offer) return "invalid ring index";
  if (!make_bell(fd)) return "invalid interrupt fd";
  offer.emplace();
  offer->region = message.get<std::uint16_t>(Field::kRingRegion);
  offer->offset = message.get<std::uint32_t>(Field::kRingOffset);
  offer->log2 = message.get<std::uint8_t>(Field::kRingLog2);
  offer->bell = std::move(fd);
  return nullptr;
}

/// Rings are used directly, so their memory must be such that it cannot go away.
const char* Control::place(const RingOffer& offer, Ring& ring) const {
  if (offer.log2 > kMaxLog2 || offer.log2 == 0) return "invalid ring size";
  if (offer.region >= memory_.regions.size()) return "invalid region of a ring";
  const Region& region = memory_.regions[offer.region];
  if (!region.stable()) return "rings must lie in a file that is sealed against shrinking";
  if (offer.offset % alignof(Desc) != 0 ||
      !region.contains(offer.offset, static_cast<std::uint32_t>(RingLayout::bytes(offer.log2)))) {
    return "invalid offset of a ring";
  }
  ring = Ring(region.base() + offer.offset, offer.log2);
  return ring.cookie() == kCookie ? nullptr : "wrong cookie in a ring";
}

const char* Control::take_connect() {
  if (!s2m_ || !m2s_) return "a ring is missing";
  if (const char* wrong = place(*s2m_, memory_.s2m)) return wrong;
  if (const char* wrong = place(*m2s_, memory_.m2s)) return wrong;
  memory_.s2m_bell = std::move(s2m_->bell);
  memory_.m2s_bell = std::move(m2s_->bell);
  memory_.s2m.want_bell(false);
  Message connected(MessageType::kConnected);
  connected.put_text(Field::kName, kName, Message::kNameBytes);
  if (!send(connected)) return "the slave does not listen";
  state_ = State::kConnected;
  return nullptr;
}

}  // namespace ringway::driver::memif
