#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mem/frame_pool.h"
#include "netd/client/client.h"
#include "port/port.h"
#include "runtime/kernel_view.h"
#include "stack/stack.h"
#include "steering/stack_id.h"

namespace ringway::runtime {

/// A sealed memfd that holds a frame pool: its state in the first pages, then the frames. Forked
/// processes share it.
class FrameMemory {
 public:
  static base::Result<FrameMemory> create(std::uint32_t frames);
  FrameMemory() = default;
  FrameMemory(FrameMemory&& other) noexcept { swap(other); }
  FrameMemory& operator=(FrameMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~FrameMemory();

  static constexpr std::uint32_t kFrameBytes = 4096;
  static constexpr std::uint64_t kOffset = 4096;  ///< of the frames

  mem::FramePool& pool() { return pool_; }
  int fd() const { return fd_.get(); }

 private:
  void swap(FrameMemory& other) noexcept;

  base::UniqueFd fd_;
  std::byte* at_ = nullptr;
  std::size_t length_ = 0;
  mem::FramePool pool_;
};

/// The external port of a program (`--port SPEC`) and who else has a say in it.
///
/// Every call is made under the runtime's control mutex. On a device that is shared with the kernel
/// (xdp) the kernel owns addresses, routes and neighbours, and ringway-netd the ports; on one of
/// its own (tap) the stack has what the spec says.
class Device {
 public:
  /// Opens the port that `spec` describes. The line that it returns says what was chosen.
  static base::Result<std::unique_ptr<Device>> open(const std::string& spec);

  /// Joins the stack. The caller holds its lock or has it alone.
  base::Result<void> join(stack::Stack& stack);
  std::uint16_t port() const { return number_; }
  const std::string& said() const { return said_; }

  bool leases() const { return client_.has_value(); }
  bool has(const base::IpAddress& address) const;
  /// The address from which `remote` is reached by this device; nothing if it is not.
  std::optional<base::IpAddress> source_for(const stack::Stack& stack,
                                            const base::IpAddress& remote) const;
  /// Takes the port at an address of the device, or at all of them (any). 0 or -errno.
  int lease(steering::Protocol protocol, const base::Endpoint& at);
  void release(steering::Protocol protocol, const base::Endpoint& at);
  /// A port for an outgoing connection from `source`; 0: none.
  std::uint16_t choose_port(stack::Stack& stack, steering::Protocol protocol,
                            const base::IpAddress& source, const base::Endpoint& remote);
  /// The neighbours that the stack waits for are asked. Blocks for the daemon's answer.
  void resolve(const std::vector<base::IpAddress>& wanted);

  int kernel_fd() const { return view_ ? view_->fd() : -1; }
  int daemon_fd() const { return client_ ? client_->fd() : -1; }
  /// What changed in the kernel; to be applied to the stack under its lock.
  std::vector<KernelFact> changes();
  /// Applies facts. True if the device is gone.
  bool apply(stack::Stack& stack, const std::vector<KernelFact>& facts);
  /// The daemon said something or hung up. True if the device is gone.
  bool daemon_event();
  bool daemon_lost() const { return client_ && client_->lost(); }
  bool owns_fd(int fd) const;
  /// After apply(), without the stack's lock: a program that listens on any address does so on new
  /// ones too.
  void follow_addresses();

 private:
  struct Leased {
    steering::Protocol protocol;
    base::Endpoint at;  ///< the any address: of every address of the device
  };
  struct Block {
    steering::Protocol protocol;
    base::IpAddress address;
    std::uint16_t first = 0;
    std::uint16_t count = 0;
    std::uint16_t next = 0;
  };

  base::Result<void> open_shared(const std::string& spec);
  base::Result<void> open_own(const std::string& spec);
  netd::Client* client();
  int lease_each(const Leased& leased, bool take);
  void address_changed(const base::Prefix& address, bool gone);

  FrameMemory memory_;
  std::unique_ptr<port::Port> port_;
  std::optional<netd::Client> client_;
  std::optional<KernelView> view_;
  std::string name_;
  std::string said_;
  std::uint32_t index_ = 0;
  std::uint16_t number_ = 0;
  int owner_pid_ = 0;  ///< the process that talks to the daemon; forked ones only keep the lease
  bool new_addresses_ = false;
  std::vector<KernelFact> first_facts_;
  std::vector<base::Prefix> addresses_;
  std::vector<Leased> leased_;
  std::vector<Block> blocks_;
};

}  // namespace ringway::runtime
