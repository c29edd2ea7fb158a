#pragma once

#include <array>
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
  /// Only takes up what a predecessor left on the device. Errors: kNotFound; its pins are gone
  /// then.
  static base::Result<std::unique_ptr<Steering>> reopen(const Options& options);
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
  /// Lets the program behind guard `number` (1 to RW_MAX_GUARDS - 1) receive by `socket`, which is
  /// bound to the program end of its veth pair, and send what is leased to it from the host end.
  base::Result<void> set_guard(std::uint32_t number, const rw_guard& guard, int socket);
  /// Its leases are the caller's to drop. The veth pair stays.
  void drop_guard(std::uint32_t number);
  rw_guard guard(std::uint32_t number) const;
  /// Number 0 stands for the program that has the device's own queues; it has no veth pair.
  void write_guard(std::uint32_t number, const rw_guard& guard);
  /// What the guard dropped.
  rw_bucket bucket(std::uint32_t number) const;
  /// The only source of the frames that guards let through.
  void set_mac(const base::MacAddress& mac);
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
  explicit Steering(const Options& options) : options_(options) {
    programs_.fill(-1);
    maps_.fill(-1);
  }
  enum MapIndex : std::uint8_t {
    kConfig,
    kLeases,
    kSockets,
    kCounters,
    kGuards,
    kBuckets,
    kEnds,
    kGuardIn,
    kInlets,
    kMaps,
  };
  enum ProgramIndex : std::uint8_t { kSteer, kInlet, kOutlet, kPrograms };

  base::Result<void> load();
  base::Result<void> attach();
  base::Result<void> attach_guard(const rw_guard& guard);
  base::Result<void> set_config(std::uint32_t flags);
  base::Result<void> pin();
  bool take_up();
  bool is_attached(std::uint32_t program_id);
  void forget();

  Options options_;
  bpf_object* object_ = nullptr;
  std::array<int, kPrograms> programs_;
  std::array<int, kMaps> maps_;
  std::uint32_t flags_ = 0;
  bool attached_ = false;
  bool native_ = false;
  bool taken_up_ = false;
};

}  // namespace ringway::driver::xdp
