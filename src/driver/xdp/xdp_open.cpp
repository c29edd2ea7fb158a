// Apart from xdp_device.cpp: whoever is handed his queues is not linked with libbpf.

#include <cerrno>

#include "base/sys.h"
#include "driver/xdp/xdp_device.h"

namespace ringway::driver {

using base::Result;

Result<void> probe_xdp() {
  constexpr int kAfXdp = 44;
  const base::UniqueFd socket(
      base::sys::socket(kAfXdp, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket) return {};
  if (errno == EPERM) {
    return base::fail(base::ErrorCode::kPermission,
                      "AF_XDP needs root: run as root, or lease a device from ringway-netd");
  }
  return base::fail(base::ErrorCode::kUnavailable,
                    "this kernel has no AF_XDP: use one with CONFIG_XDP_SOCKETS");
}

Result<std::unique_ptr<XdpPort>> open_xdp(const XdpOptions& options, mem::FramePool& pool) {
  if (options.lease != LeaseKind::kAuto) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a port that takes all frames of a device has no lease: leave out lease=");
  }
  const auto facts = look_at_device(options.device);
  if (!facts) return tl::unexpected(facts.error());
  const auto umem = umem_of(pool);
  if (!umem) return tl::unexpected(umem.error());
  auto queues = bind_queues(*facts, options, *umem);
  if (!queues) return tl::unexpected(queues.error());
  auto steering = xdp::Steering::open({facts->name, facts->index, options.attach, ""});
  if (!steering) return tl::unexpected(steering.error());
  const auto first = static_cast<std::uint32_t>(options.queue < 0 ? 0 : options.queue);
  for (std::size_t i = 0; i < queues->sockets.size(); ++i) {
    const auto set =
        (*steering)->set_socket(first + static_cast<std::uint32_t>(i), queues->sockets[i].get());
    if (!set) return tl::unexpected(set.error());
  }
  if (auto all = (*steering)->take_all(true); !all) return tl::unexpected(all.error());
  auto port = XdpPort::adopt(std::move(*queues), pool);
  if (port) (*port)->keep(std::move(*steering));
  return port;
}

}  // namespace ringway::driver
