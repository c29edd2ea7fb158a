#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "driver/xdp/xdp_device.h"
#include "driver/xdp/xdp_steering.h"
#include "netd/client/proto.h"

namespace ringway::netd {

struct Options {
  std::string path;                 ///< of the socket; empty: socket_path()
  std::set<std::uint32_t> trusted;  ///< users besides root who may have a device's own queues
  bool stay = true;                 ///< false: end a while after the last program
  std::uint32_t rate_mbit = 0;      ///< of each guarded program; 0: not limited
  std::function<void(std::string_view)> log = [](std::string_view) {};
};

/// The privileged side of AF_XDP: binds queues of devices to the frames of programs, steers leased
/// ports to them, and passes the sockets on. It keeps neither socket nor frames, so programs go on
/// without it; program and maps are pinned for its successor.
///
/// A program has the queues of the device itself (direct: only root and the trusted), or a veth
/// pair of its own whose host end lets out only what is leased to it (guarded).
class Netd {
 public:
  static base::Result<std::unique_ptr<Netd>> open(const Options& options);
  ~Netd();
  Netd(const Netd&) = delete;
  Netd& operator=(const Netd&) = delete;

  /// Until stop() or, without `stay`, some seconds after the last program has gone.
  void run();
  /// Async-signal-safe.
  void stop();

 private:
  struct Device {
    std::string name;
    std::uint32_t index = 0;
    std::uint16_t mtu = 0;
    std::unique_ptr<driver::xdp::Steering> steering;
    std::uint32_t sessions = 0;
  };
  struct KeyLess {
    bool operator()(const rw_lease_key& a, const rw_lease_key& b) const;
  };
  struct Session {
    base::UniqueFd socket;
    /// Instead of a socket, of a program that a predecessor served and that has not come back:
    /// its pidfd.
    base::UniqueFd life;
    std::uint32_t uid = 0;
    std::uint32_t pid = 0;
    std::uint64_t start_time = 0;
    Device* device = nullptr;
    bool direct = false;      ///< has the device's own queues
    std::uint32_t guard = 0;  ///< its number; 0: none
    std::uint64_t bytes = 0;  ///< of memory that it is charged with
    /// Leases, each with the kernel's socket that keeps the port from others.
    std::map<rw_lease_key, base::UniqueFd, KeyLess> leases;
  };

  explicit Netd(const Options& options) : options_(options) {}
  base::Result<void> listen();
  base::Result<void> watch_links();
  void accept_one();
  void serve(Session& session);
  base::Result<Answer> handle(Session& session, const Request& request, int memfd,
                              std::vector<base::UniqueFd>& fds);
  base::Result<Answer> open_queues(Session& session, const Request& request, int memfd,
                                   std::vector<base::UniqueFd>& fds);
  /// Queues that a session is to have.
  struct Wanted {
    driver::XdpOptions options;
    driver::xdp::Umem umem;
  };
  base::Result<driver::LeaseKind> choose(const Session& session, const Wanted& wanted) const;
  base::Result<driver::XdpQueues> bind_direct(Session& session, Device& device,
                                              const Wanted& wanted);
  base::Result<driver::XdpQueues> bind_guarded(Session& session, Device& device,
                                               const Wanted& wanted);
  base::Result<driver::XdpQueues> bind_behind(Session& session, Device& device,
                                              const Wanted& wanted, std::uint32_t number);
  base::Result<void> check_quota(const Session& session, std::uint64_t bytes) const;
  base::Result<Answer> join(Session& session, const Request& request);
  base::Result<void> lease(Session& session, std::uint8_t protocol, const base::Endpoint& at);
  base::Result<Answer> block(Session& session, const Request& request);
  base::Result<void> resolve(const Session& session, const base::IpAddress& address) const;
  base::Result<Device*> device_of(const std::string& name, driver::xdp::Steering::Attach attach);
  Device& add_device(const driver::DeviceFacts& facts,
                     std::unique_ptr<driver::xdp::Steering> steering);
  void take_up();
  void adopt_programs(Device& device);
  Session* program_of(Device& device, std::uint32_t pid, std::uint64_t start_time);
  void leave(Session& session);
  void end(Session& session);
  void let_go(Device& device);
  void remove_guard(Device& device, std::uint32_t number);
  void links_changed();
  void device_changed(std::uint32_t index);
  void device_gone(std::uint32_t index);
  std::string pin_of(std::uint32_t index) const;

  Options options_;
  std::string pins_;
  base::UniqueFd listener_;
  base::UniqueFd links_;
  base::UniqueFd wake_;
  std::map<std::uint32_t, std::unique_ptr<Device>> devices_;  ///< by index of interface
  std::vector<std::unique_ptr<Session>> sessions_;
};

/// Gives up every capability but those that the daemon needs, and every system call that it does
/// not make.
base::Result<void> confine();

}  // namespace ringway::netd
