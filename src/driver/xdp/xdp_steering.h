#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "driver/xdp/bpf/steer.h"
#include "driver/xdp/xdp_port.h"

struct bpf_object;

namespace ringway::driver::xdp {

/// The steering program on one device, and its maps. Needs CAP_NET_ADMIN and CAP_BPF.
class Steering final : public Kept {
 public:
  enum class Attach : std::uint8_t { kAuto, kNative, kGeneric };
  struct Options {
    std::string device;
    std::uint32_t index = 0;
    Attach attach = Attach::kAuto;
    /// A directory of a BPF file system in which program and maps are pinned, so that a successor
    /// finds them; empty: they end with this object.
    std::string pin;
  };

  /// Loads and attaches the program; takes up the pinned one if it is still on the device, with all
  /// that its maps hold. Errors: kExists if another program is attached there.
  static base::Result<std::unique_ptr<Steering>> open(const Options& options);
  /// Detaches the program, unless release() was called.
  ~Steering() override;
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;

  bool native() const { return native_; }
  /// Program and maps are those of a predecessor.
  bool taken_up() const { return taken_up_; }

  base::Result<void> take_all(bool on);
  base::Result<void> set_socket(std::uint32_t queue, int fd);
  base::Result<void> set_lease(const rw_lease_key& key, const rw_lease& lease);
  void drop_lease(const rw_lease_key& key);
  /// All that are in the map.
  std::vector<std::pair<rw_lease_key, rw_lease>> leases() const;
  /// Of all processors.
  std::uint64_t counter(std::uint32_t which) const;
  /// The program stays on the device when this object ends (and as long as it is pinned).
  void release() { attached_ = false; }
  /// Takes the program off and the pins away.
  void remove();

  static rw_lease_key key(const base::IpAddress& address, std::uint8_t protocol,
                          std::uint16_t port);

 private:
  explicit Steering(const Options& options) : options_(options) {}
  base::Result<void> load();
  base::Result<void> attach();
  base::Result<void> pin();
  bool take_up();

  Options options_;
  bpf_object* object_ = nullptr;
  int program_ = -1;
  std::uint32_t flags_ = 0;
  int maps_[4] = {-1, -1, -1, -1};
  bool attached_ = false;
  bool native_ = false;
  bool taken_up_ = false;
};

}  // namespace ringway::driver::xdp
