#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

constexpr std::string_view kPrefix = "vale";
constexpr std::size_t kMostName = 15;

std::string_view switch_part(std::string_view name) { return name.substr(0, name.find(':')); }

bool is_identifier(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

std::uint32_t make_switch(std::string_view name) {
  Registry& r = *registry();
  for (std::uint32_t i = 0; i < kMaxSwitches; ++i) {
    Switch& s = r.switches[i];
    if (s.ports != 0) continue;
    std::memset(s.name, 0, sizeof s.name);
    name.copy(s.name, sizeof s.name - 1);
    for (auto& mac : s.macs) mac.store(0, std::memory_order_relaxed);
    return i;
  }
  return kNone;
}

std::uint32_t take_place(Switch& s, std::uint32_t port, bool is_host) {
  for (std::uint32_t i = 0; i < kMaxSwitchPorts; ++i) {
    if (s.port[i].load(std::memory_order_relaxed) != 0) continue;
    s.is_host[i] = is_host ? 1 : 0;
    s.port[i].store(port + 1, std::memory_order_release);
    ++s.ports;
    return i;
  }
  return kNone;
}

/// Learned addresses of a place must not lead to whoever comes there next.
void leave_place(Switch& s, std::uint32_t place) {
  s.port[place].store(0, std::memory_order_release);
  for (auto& mac : s.macs) {
    if (mac.load(std::memory_order_relaxed) >> 48 == place + 1) mac.store(0);
  }
  --s.ports;
}

}  // namespace

bool has_vale_prefix(std::string_view name) { return name.starts_with(kPrefix); }

int check_vale_name(std::string_view name) {
  const std::size_t colon = name.find(':');
  if (colon == std::string_view::npos) return ENOMEM;
  const std::string_view own = name.substr(colon + 1);
  const bool good = colon <= kMostName && is_identifier(name.substr(0, colon)) && !own.empty() &&
                    own.size() <= kMostName;
  return good ? 0 : ENOMEM;
}

std::uint32_t find_switch(std::string_view name) {
  Registry& r = *registry();
  const std::string_view wanted = switch_part(name);
  for (std::uint32_t i = 0; i < kMaxSwitches; ++i) {
    if (r.switches[i].ports != 0 && wanted == r.switches[i].name) return i;
  }
  return kNone;
}

std::uint32_t find_on_switch(std::string_view name) {
  const std::uint32_t index = find_switch(name);
  if (index == kNone) return kNone;
  const Switch& s = registry()->switches[index];
  const std::size_t colon = name.find(':');
  const std::string_view own =
      colon == std::string_view::npos ? std::string_view() : name.substr(colon + 1);
  for (std::uint32_t i = 0; i < kMaxSwitchPorts; ++i) {
    const std::uint32_t entry = s.port[i].load();
    if (entry == 0 || s.is_host[i] != 0) continue;
    const std::string_view port = name_of(port_at(entry - 1));
    if (port == name || port == own) return entry - 1;
  }
  return kNone;
}

int join_switch(std::string_view name, std::uint32_t index, bool with_host) {
  std::uint32_t number = find_switch(name);
  if (number == kNone) number = make_switch(switch_part(name));
  if (number == kNone) return ENOMEM;
  Switch& s = registry()->switches[number];
  Port& port = port_at(index);
  const std::uint32_t needed = with_host ? 2 : 1;
  if (s.ports + needed > kMaxSwitchPorts) return ENOMEM;
  const std::uint32_t place = take_place(s, index, false);
  if (port.on_switch.load() != 0) {
    port.second_switch_port = place;
    port.second_switch = number + 1;
    return 0;
  }
  port.switch_port = place;
  if (with_host) port.host_switch_port = take_place(s, index, true) + 1;
  port.on_switch.store(number + 1, std::memory_order_release);
  return 0;
}

void leave_switch(std::uint32_t index) {
  Port& port = port_at(index);
  const std::uint32_t number = port.on_switch.exchange(0);
  if (number == 0) return;
  Switch& s = registry()->switches[number - 1];
  leave_place(s, port.switch_port);
  if (port.host_switch_port != 0) leave_place(s, port.host_switch_port - 1);
  port.host_switch_port = 0;
}

void leave_second_switch(std::uint32_t index) {
  Port& port = port_at(index);
  if (port.second_switch == 0) return;
  leave_place(registry()->switches[port.second_switch - 1], port.second_switch_port);
  port.second_switch = 0;
}

}  // namespace ringway::netmap
