#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <vector>

#include "base/result.h"
#include "port/port.h"
#include "port/test_pool.h"

namespace ringway::port {

/// A port under test and whatever is on the other side of it, as the conformance suite drives them.
class ConformanceWire {
 public:
  virtual ~ConformanceWire() = default;

  virtual Port& port() = 0;
  /// The pool that the port was opened with; it must have slots for the largest plain frame.
  virtual TestPool& pool() = 0;
  /// The other side sends a frame to the port, and it has arrived on return. False: no room.
  virtual bool inject(std::span<const std::byte> frame) = 0;
  /// The next frame that the other side has received from the port; empty: none.
  virtual std::optional<std::vector<std::byte>> collect() = 0;
  /// Closes the port, which must give all its frames back.
  virtual void close() = 0;

  /// Frames shorter than this do not exist on this medium.
  virtual std::size_t min_frame() const { return 1; }
  /// The other side keeps all frames that the port has taken, however late it looks.
  virtual bool lossless() const { return true; }
  /// The port holds frames of the pool ready for what comes, even while nothing moves.
  virtual bool keeps_frames() const { return false; }
  /// Files that a library of others leaves open with every end of the port.
  virtual std::size_t files_lost() const { return 0; }
  /// The device or peer goes down, or away, and comes back, as far as the port can know on return.
  /// False: this medium has no such thing.
  virtual bool take_down() { return false; }
  virtual bool bring_up() { return false; }
  /// The medium has another MTU from now on. False: this one's is fixed.
  virtual bool set_mtu(std::uint16_t) { return false; }
};

/// One driver, or one configuration of it.
struct ConformanceCase {
  const char* name;
  /// Errors kPermission and kUnavailable mean that this machine cannot run it: the test is skipped
  /// with their text. Any other error is a failure.
  std::function<base::Result<std::unique_ptr<ConformanceWire>>()> open;
};
inline void PrintTo(const ConformanceCase& c, std::ostream* out) { *out << c.name; }

/// The contract of Port, as tests. A driver's test program links `ringway_port_conformance` and
/// says:
///
///   INSTANTIATE_TEST_SUITE_P(Loop, PortConformance, testing::Values(ConformanceCase{"plain",
///   open_plain}),
///                            conformance_name);
class PortConformance : public testing::TestWithParam<ConformanceCase> {
 public:
  Port& port() { return wire_->port(); }
  TestPool& pool() { return wire_->pool(); }
  std::size_t max_plain_frame();
  std::vector<std::byte> pattern(std::size_t length, unsigned seed) const;
  /// All that rx_burst returns now, a burst of `burst` at a time; the frames are freed.
  std::vector<std::vector<std::byte>> receive_all(std::size_t burst = 32);
  bool send(std::span<const std::byte> frame);
  bool is_readable(int fd);

  ConformanceWire& wire() { return *wire_; }
  /// Ends port and wire, and opens them anew.
  void restart();

 protected:
  void SetUp() override;
  /// Ownership: after the end of the port, every frame is back in the pool.
  void TearDown() override;

  std::unique_ptr<ConformanceWire> wire_;
};

inline std::string conformance_name(const testing::TestParamInfo<ConformanceCase>& info) {
  return info.param.name;
}

}  // namespace ringway::port
