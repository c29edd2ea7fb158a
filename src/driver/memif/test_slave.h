#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/unique_fd.h"
#include "driver/memif/memif_format.h"

namespace ringway::driver::memif {

/// Memory of a slave for tests and fuzzing: two rings, then 64 KiB of buffers.
class TestRegion {
 public:
  explicit TestRegion(unsigned log2, int seals = F_SEAL_SHRINK)
      : log2_(log2), size_((buffers() + 65536 + 4095) / 4096 * 4096) {
    fd_.reset(::memfd_create("test-slave", MFD_ALLOW_SEALING | MFD_CLOEXEC));
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) return;
    if (seals != 0) static_cast<void>(::fcntl(fd_.get(), F_ADD_SEALS, seals));
    base_ = static_cast<std::byte*>(
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0));
    reset();
  }
  ~TestRegion() { ::munmap(base_, size_); }
  TestRegion(const TestRegion&) = delete;
  TestRegion& operator=(const TestRegion&) = delete;

  int fd() const { return fd_.get(); }
  std::uint64_t size() const { return size_; }
  unsigned log2() const { return log2_; }
  std::uint32_t m2s_offset() const { return static_cast<std::uint32_t>(RingLayout::bytes(log2_)); }
  std::uint32_t buffers() const { return 2 * m2s_offset(); }
  std::byte* base() const { return base_; }

  /// Empty rings.
  void reset() {
    std::memset(base_, 0, buffers());
    std::memcpy(base_, &kCookie, sizeof kCookie);
    std::memcpy(base_ + m2s_offset(), &kCookie, sizeof kCookie);
  }
  /// Appends to the ring towards the master.
  void send(const Desc& desc) { append(0, desc); }
  /// Puts a buffer up for the master to fill.
  void post(const Desc& desc) { append(m2s_offset(), desc); }
  void set_s2m_head(std::uint16_t head) { put(RingLayout::kHead, head); }
  std::uint16_t s2m_tail() const { return get(RingLayout::kTail); }

 private:
  void append(std::uint32_t ring, const Desc& desc) {
    const std::uint16_t head = get(ring + RingLayout::kHead);
    const std::size_t index = head & ((1U << log2_) - 1);
    std::memcpy(base_ + ring + RingLayout::kDescs + index * sizeof desc, &desc, sizeof desc);
    put(ring + RingLayout::kHead, static_cast<std::uint16_t>(head + 1));
  }
  std::uint16_t get(std::size_t at) const {
    std::uint16_t value;
    std::memcpy(&value, base_ + at, sizeof value);
    return value;
  }
  void put(std::size_t at, std::uint16_t value) { std::memcpy(base_ + at, &value, sizeof value); }

  unsigned log2_;
  std::uint64_t size_;
  base::UniqueFd fd_;
  std::byte* base_ = nullptr;
};

/// The control channel of a slave that says what it is told to say.
class TestSlave {
 public:
  TestSlave() : bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

  void attach(base::UniqueFd socket) { socket_ = std::move(socket); }
  int bell() const { return bell_.get(); }

  void send_bytes(std::size_t count) {
    const Message message(MessageType::kInit);
    static_cast<void>(::send(socket_.get(), message.bytes.data(), count, MSG_NOSIGNAL));
  }
  void send(const Message& message, int fd = -1) {
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
      rights->cmsg_len = CMSG_LEN(sizeof fd);
      std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    static_cast<void>(::sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT));
  }

  static Message init(std::uint32_t id) {
    Message message(MessageType::kInit);
    message.put(Field::kInitVersion, kVersion);
    message.put(Field::kInitId, id);
    return message;
  }
  static Message add_region(std::uint16_t index, std::uint64_t size) {
    Message message(MessageType::kAddRegion);
    message.put(Field::kRegionIndex, index);
    message.put(Field::kRegionSize, size);
    return message;
  }
  static Message add_ring(bool s2m, std::uint16_t region, std::uint32_t offset, unsigned log2) {
    Message message(MessageType::kAddRing);
    message.put(Field::kRingFlags, s2m ? kRingS2m : std::uint16_t{0});
    message.put(Field::kRingRegion, region);
    message.put(Field::kRingOffset, offset);
    message.put(Field::kRingLog2, static_cast<std::uint8_t>(log2));
    return message;
  }

 private:
  base::UniqueFd socket_;
  base::UniqueFd bell_;
};

}  // namespace ringway::driver::memif
