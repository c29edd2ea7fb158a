#pragma once

#include <ringway/operation.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// Raw packets for new programs, in netmap's spirit: a port is a few rings of slots in memory that
/// the program shares with its peers. The program fills or reads slots, moves on by whole batches,
/// and forwards by swapping two buffers instead of copying.
///
///   auto in = Port::open("vale0:a");
///   auto out = Port::open("vale1:b", in->get());      // the same memory: buffers may be swapped
///   in->receive();
///   const std::uint32_t n = std::min(in->rx().available(), out->tx().available());
///   for (std::uint32_t i = 0; i < n; ++i) swap(in->rx()[i], out->tx()[i]);
///   in->rx().advance(n), out->tx().advance(n);
///   out->send();
///
/// One thread at a time uses a port. Nothing throws.
namespace ringway::packet {

/// One buffer's place in a ring. What a peer wrote into it is not to be trusted.
struct Slot {
  std::uint32_t buffer;  ///< number of the buffer; to be swapped, never invented
  std::uint16_t length;  ///< bytes of the frame
  std::uint16_t flags;
  std::uint64_t user;  ///< goes along a pipe
};

enum SlotFlag : std::uint16_t {
  kBufferChanged = 0x1,  ///< the program put another buffer here
  kMore = 0x20,          ///< the frame goes on in the next slot
};

/// The slots of a ring that are the program's now.
class Ring {
 public:
  /// How many the program has: frames to read, or room for frames to send.
  std::uint32_t available() const { return tail_ >= head_ ? tail_ - head_ : tail_ + size_ - head_; }
  /// The i-th of them; i < available().
  Slot& operator[](std::uint32_t i) const {
    const std::uint32_t at = head_ + i;
    return slots_[at < size_ ? at : at - size_];
  }
  /// The bytes of a slot's buffer; a number that is none leads to buffer 0, never outside.
  std::byte* data(const Slot& slot) const {
    const std::uint32_t number = slot.buffer;
    return buffers_ + std::size_t{number < buffer_count_ ? number : 0U} * buffer_bytes_;
  }
  /// The received frame: at most a buffer, whatever the peer wrote.
  std::span<const std::byte> frame(const Slot& slot) const {
    const std::uint32_t length = slot.length;
    return {data(slot), length < buffer_bytes_ ? length : buffer_bytes_};
  }
  std::uint32_t buffer_bytes() const { return buffer_bytes_; }
  /// Slots altogether: available() is always less.
  std::uint32_t size() const { return size_; }
  /// Gives the first n back; they take effect with send() or receive(). n <= available().
  void advance(std::uint32_t n) {
    head_ += n;
    if (head_ >= size_) head_ -= size_;
  }

 private:
  friend class Port;
  Slot* slots_ = nullptr;
  std::byte* buffers_ = nullptr;
  std::uint32_t size_ = 0, head_ = 0, tail_ = 0;
  std::uint32_t buffer_count_ = 0, buffer_bytes_ = 0;
};

/// Exchanges the buffers and lengths of two slots of ports in one memory.
inline void swap(Slot& a, Slot& b) {
  std::swap(a.buffer, b.buffer);
  std::swap(a.length, b.length);
  a.flags = static_cast<std::uint16_t>(a.flags | kBufferChanged);
  b.flags = static_cast<std::uint16_t>(b.flags | kBufferChanged);
}

/// A port: "vale0:a" on a software switch, "x{1" or "x}1" of a pipe, or an interface by its name.
class RINGWAY_API Port {
 public:
  /// With `share`, in the memory of that port, if it is not open elsewhere already. nullptr on
  /// failure; then `error` says in one line what is wrong.
  static std::unique_ptr<Port> open(std::string_view name, const Port* share = nullptr,
                                    std::string* error = nullptr);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  Ring& rx(std::uint32_t i = 0) { return rx_[i]; }
  Ring& tx(std::uint32_t i = 0) { return tx_[i]; }
  std::uint32_t rx_rings() const { return rx_count_; }
  std::uint32_t tx_rings() const { return tx_count_; }
  /// True if buffers may be swapped between the two.
  bool shares_memory(const Port& other) const { return memory_ == other.memory_; }

  /// Takes up what the program advanced over and brings new frames. Never blocks.
  void receive();
  /// Hands over what the program advanced over and finds room that is free again. Never blocks.
  void send();
  /// Sleeps until one of them has frames, at most `milliseconds` (< 0: for ever); receives on all.
  /// False at the end of the time or by a signal.
  static bool wait(std::span<Port* const> ports, int milliseconds);

 private:
  Port() = default;
  static constexpr std::uint32_t kMaxRings = 16;
  int fd_ = -1;
  std::uint32_t descriptor_ = 0, memory_ = 0;
  std::uint32_t rx_count_ = 0, tx_count_ = 0;
  Ring rx_[kMaxRings], tx_[kMaxRings];
};

}  // namespace ringway::packet
