#include "driver/xdp/xdp_steering.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

extern "C" {
extern const char ringway_steer_begin[];
extern const char ringway_steer_end[];
}
// The object file of the steering program as a part of this one.
asm(".pushsection .rodata\n"
    ".balign 16\n"
    ".globl ringway_steer_begin\n"
    ".globl ringway_steer_end\n"
    ".hidden ringway_steer_begin\n"
    ".hidden ringway_steer_end\n"
    "ringway_steer_begin:\n"
    ".incbin \"" RINGWAY_STEER_OBJECT
    "\"\n"
    "ringway_steer_end:\n"
    ".popsection\n");

namespace ringway::driver::xdp {
namespace {

using base::ErrorCode;
using base::Result;

// As in MapIndex and ProgramIndex.
constexpr std::array kMapNames{"rw_config",  "rw_leases", "rw_sockets",  "rw_counters", "rw_guards",
                               "rw_buckets", "rw_ends",   "rw_guard_in", "rw_inlets"};
constexpr std::array kProgramNames{"rw_steer", "rw_inlet", "rw_outlet"};

tl::unexpected<base::Error> fail(int number, std::string what) {
  ErrorCode code = ErrorCode::kSystem;
  if (number == EPERM || number == EACCES) {
    code = ErrorCode::kPermission;
    what += ": it needs CAP_NET_ADMIN and CAP_BPF (run as root)";
  } else if (number == EEXIST || number == EBUSY) {
    code = ErrorCode::kExists;
    what += ": another XDP program is there; take it off with `ip link set DEVICE xdp off`";
  } else if (number == EOPNOTSUPP) {
    code = ErrorCode::kUnavailable;
    what += ": neither the driver nor the kernel can run XDP there";
  } else {
    what += std::string(": ") + std::strerror(number);
  }
  return tl::unexpected(base::Error{code, number, std::move(what)});
}

int quiet(enum libbpf_print_level, const char*, va_list) { return 0; }

}  // namespace

Result<std::unique_ptr<Steering>> Steering::open(const Options& options) {
  libbpf_set_print(quiet);  // a library never prints
  std::unique_ptr<Steering> steering(new Steering(options));
  if (!options.pin.empty() && steering->take_up()) return steering;
  if (auto loaded = steering->load(); !loaded) return tl::unexpected(loaded.error());
  if (auto attached = steering->attach(); !attached) return tl::unexpected(attached.error());
  if (options.pin.empty()) return steering;
  if (auto pinned = steering->pin(); !pinned) return tl::unexpected(pinned.error());
  return steering;
}

Result<std::unique_ptr<Steering>> Steering::reopen(const Options& options) {
  libbpf_set_print(quiet);
  std::unique_ptr<Steering> steering(new Steering(options));
  if (steering->take_up()) return steering;
  steering->remove();
  return base::fail(ErrorCode::kNotFound, "no steering of a predecessor is on " + options.device);
}

Steering::~Steering() {
  if (attached_) bpf_xdp_detach(static_cast<int>(options_.index), flags_, nullptr);
  if (object_ != nullptr) {
    bpf_object__close(object_);
    return;
  }
  forget();
}

/// Closes what was taken up.
void Steering::forget() {
  for (int& fd : maps_) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  for (int& fd : programs_) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
}

Result<void> Steering::load() {
  const auto size = static_cast<std::size_t>(ringway_steer_end - ringway_steer_begin);
  object_ = bpf_object__open_mem(ringway_steer_begin, size, nullptr);
  if (object_ == nullptr) return fail(errno, "the steering program cannot be read");
  const int error = bpf_object__load(object_);
  if (error != 0) {
    return fail(-error, "the kernel does not take the steering program");
  }
  for (std::size_t i = 0; i < kProgramNames.size(); ++i) {
    programs_[i] = bpf_program__fd(bpf_object__find_program_by_name(object_, kProgramNames[i]));
  }
  for (std::size_t i = 0; i < kMapNames.size(); ++i) {
    maps_[i] = bpf_object__find_map_fd_by_name(object_, kMapNames[i]);
  }
  return set_config(0);
}

// By netlink: a link object would take the program off the device when this process ends.
Result<void> Steering::attach() {
  int error = -EOPNOTSUPP;
  for (const std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    const bool wanted = options_.attach == Attach::kAuto ||
                        (options_.attach == Attach::kNative) == (mode == XDP_FLAGS_DRV_MODE);
    if (!wanted) continue;
    flags_ = mode;
    error = bpf_xdp_attach(static_cast<int>(options_.index), programs_[kSteer],
                           mode | XDP_FLAGS_UPDATE_IF_NOEXIST, nullptr);
    if (error == 0) {
      attached_ = true;
      native_ = mode == XDP_FLAGS_DRV_MODE;
      return {};
    }
    if (error == -EEXIST || error == -EBUSY || error == -EPERM) break;
  }
  return fail(-error, "no XDP program can be attached to " + options_.device);
}

Result<void> Steering::pin() {
  if (::mkdir(options_.pin.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(errno, "cannot make " + options_.pin);
  }
  for (std::size_t i = 0; i < kMapNames.size(); ++i) {
    const std::string path = options_.pin + "/" + kMapNames[i];
    ::unlink(path.c_str());
    if (bpf_obj_pin(maps_[i], path.c_str()) != 0) return fail(errno, "cannot pin " + path);
  }
  for (std::size_t i = 0; i < kProgramNames.size(); ++i) {
    const std::string path = options_.pin + "/" + kProgramNames[i];
    ::unlink(path.c_str());
    if (bpf_obj_pin(programs_[i], path.c_str()) != 0) return fail(errno, "cannot pin " + path);
  }
  return {};
}

bool Steering::is_attached(std::uint32_t program_id) {
  for (const std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    std::uint32_t there = 0;
    flags_ = mode;
    native_ = mode == XDP_FLAGS_DRV_MODE;
    const int failed =
        bpf_xdp_query_id(static_cast<int>(options_.index), static_cast<int>(mode), &there);
    if (failed == 0 && there == program_id) return true;
  }
  return false;
}

/// A program that is not put on the device anew: live leases would lose their sockets with the old
/// maps.
bool Steering::take_up() {
  bool whole = true;
  for (std::size_t i = 0; whole && i < kProgramNames.size(); ++i) {
    programs_[i] = bpf_obj_get((options_.pin + "/" + kProgramNames[i]).c_str());
    whole = programs_[i] >= 0;
  }
  for (std::size_t i = 0; whole && i < kMapNames.size(); ++i) {
    maps_[i] = bpf_obj_get((options_.pin + "/" + kMapNames[i]).c_str());
    whole = maps_[i] >= 0;
  }
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  whole = whole && bpf_obj_get_info_by_fd(programs_[kSteer], &info, &length) == 0 &&
          is_attached(info.id);
  if (whole) {
    attached_ = taken_up_ = true;
  } else {
    forget();
  }
  return whole;
}

void Steering::remove() {
  if (attached_) bpf_xdp_detach(static_cast<int>(options_.index), flags_, nullptr);
  attached_ = false;
  if (options_.pin.empty()) return;
  for (const char* name : kMapNames) ::unlink((options_.pin + "/" + name).c_str());
  for (const char* name : kProgramNames) ::unlink((options_.pin + "/" + name).c_str());
  ::rmdir(options_.pin.c_str());
}

Result<void> Steering::take_all(bool on) { return set_config(on ? RW_TAKE_ALL : 0); }

Result<void> Steering::set_config(std::uint32_t flags) {
  const std::uint32_t zero = 0;
  const rw_config config{flags, options_.index};
  if (bpf_map_update_elem(maps_[kConfig], &zero, &config, BPF_ANY) == 0) return {};
  return fail(errno, "the steering of " + options_.device + " cannot be changed");
}

Result<void> Steering::set_socket(std::uint32_t queue, int fd) {
  if (bpf_map_update_elem(maps_[kSockets], &queue, &fd, BPF_ANY) == 0) return {};
  return fail(errno, fmt::format("queue {} of {} cannot be steered to", queue, options_.device));
}

Result<void> Steering::set_lease(const rw_lease_key& key, const rw_lease& lease) {
  if (bpf_map_update_elem(maps_[kLeases], &key, &lease, BPF_NOEXIST) == 0) return {};
  const int number = errno;
  if (number == EEXIST) {
    return tl::unexpected(base::Error{ErrorCode::kExists, EADDRINUSE,
                                      "another program has this port of " + options_.device});
  }
  return fail(number, "no more ports of " + options_.device + " can be leased");
}

void Steering::drop_lease(const rw_lease_key& key) { bpf_map_delete_elem(maps_[kLeases], &key); }

std::vector<std::pair<rw_lease_key, rw_lease>> Steering::leases() const {
  std::vector<std::pair<rw_lease_key, rw_lease>> found;
  rw_lease_key key{};
  const rw_lease_key* before = nullptr;
  while (bpf_map_get_next_key(maps_[kLeases], before, &key) == 0) {
    rw_lease lease{};
    if (bpf_map_lookup_elem(maps_[kLeases], &key, &lease) == 0) found.emplace_back(key, lease);
    before = &key;
  }
  return found;
}

std::uint64_t Steering::counter(std::uint32_t which) const {
  const int processors = libbpf_num_possible_cpus();
  std::vector<std::uint64_t> each(processors > 0 ? static_cast<std::size_t>(processors) : 1);
  if (bpf_map_lookup_elem(maps_[kCounters], &which, each.data()) != 0) return 0;
  std::uint64_t all = 0;
  for (const std::uint64_t n : each) all += n;
  return all;
}

rw_lease_key Steering::key(const base::IpAddress& address, std::uint8_t protocol,
                           std::uint16_t port) {
  rw_lease_key key{};
  std::memcpy(key.address, address.bytes.data(), sizeof key.address);
  key.protocol = protocol;
  key.port = htons(port);
  return key;
}

}  // namespace ringway::driver::xdp
