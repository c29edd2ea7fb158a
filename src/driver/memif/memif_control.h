#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "driver/frames.h"
#include "driver/memif/memif_format.h"
#include "driver/memif/memif_memory.h"
#include "driver/memif/memif_options.h"

namespace ringway::driver::memif {

/// The control channel of one memif: finds the peer, agrees with it on memory, and notices when it
/// goes. Never blocks. Whatever the peer sends, it costs at most this connection: step() then says
/// kClosed, and the next one is waited for (master) or tried (slave).
class Control {
 public:
  enum class Event : std::uint8_t { kNone, kConnected, kClosed };

  /// A master listens from here on. Errors: kExists if somebody else does, kPermission.
  static base::Result<Control> open(const MemifOptions& options, const Frames& frames);
  /// A connection that is there already (tests); no other is looked for after it.
  static Control adopt(const MemifOptions& options, const Frames& frames, base::UniqueFd peer);
  Control(Control&&) = default;
  Control& operator=(Control&&) = default;
  ~Control();

  /// Takes what has come, up to the next event.
  Event step(base::Instant now);
  /// Tells the peer why, and forgets it. The memory is gone on return.
  void drop(std::string_view reason);

  bool connected() const { return state_ == State::kConnected; }
  Memory& memory() { return memory_; }
  /// Becomes readable when step() has something to do; changes with each connection.
  int fd() const { return peer_ ? peer_.get() : listener_.get(); }
  /// Connections that ended because the peer broke the protocol.
  std::uint64_t violations() const { return violations_; }
  /// Why the last connection ended.
  const std::string& reason() const { return reason_; }

 private:
  enum class State : std::uint8_t { kAlone, kGreeting, kOffering, kConnected };
  /// What a slave has said about one ring.
  struct RingOffer {
    std::uint16_t region = 0;
    std::uint32_t offset = 0;
    unsigned log2 = 0;
    base::UniqueFd bell;
  };

  Control(const MemifOptions& options, const Frames& frames) : options_(options), frames_(frames) {}
  base::Result<void> listen();
  bool find_peer(base::Instant now);
  void begin(base::UniqueFd peer);
  bool send(const Message& message, int fd = -1);
  void acknowledge() { static_cast<void>(send(Message(MessageType::kAck))); }
  Event handle(const Message& message, base::UniqueFd fd);
  Event violation(std::string_view reason);
  Event close(std::string_view reason);

  Event as_slave(const Message& message);
  Event offer(const Message& hello);
  Event as_master(const Message& message, base::UniqueFd fd);
  const char* take_init(const Message& message);
  const char* take_region(const Message& message, base::UniqueFd fd);
  const char* take_ring(const Message& message, base::UniqueFd fd);
  const char* take_connect();
  const char* place(const RingOffer& offer, Ring& ring) const;

  MemifOptions options_;
  Frames frames_;
  base::UniqueFd listener_;
  base::UniqueFd peer_;
  State state_ = State::kAlone;
  bool adopted_ = false;
  Memory memory_;
  std::optional<RingOffer> s2m_;
  std::optional<RingOffer> m2s_;
  base::Instant retry_{};
  std::uint64_t violations_ = 0;
  std::string reason_;
};

}  // namespace ringway::driver::memif
