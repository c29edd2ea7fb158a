#pragma once

#include <cstdint>
#include <string_view>

#include "netmap/abi_more.h"
#include "netmap/registry.h"

/// Ports: names, making and ending them. The caller holds the registry's lock. Numbers that are
/// returned as int are 0 or an errno.
namespace ringway::netmap {

constexpr std::uint32_t kMaxPipesPerPort = 64;

Port& port_at(std::uint32_t index);
std::uint32_t index_of(const Port& port);
inline std::string_view name_of(const Port& port) { return port.name; }
/// The port of this very name; kNone.
std::uint32_t find_port(std::string_view name);
/// A port of a switch by "valeX:P", also one that was attached under its own name; kNone.
std::uint32_t find_on_switch(std::string_view name);
/// What a request names, made if need be. The memory of a new one is `allocator` (kNone: as usual).
/// A port that the caller does not bind must be given to end_if_unused().
int resolve(std::string_view name, const abi::Register& request, std::uint32_t allocator,
            std::uint32_t* port);
/// The same without making anything.
int resolve_existing(std::string_view name, std::uint32_t* port);
void end_if_unused(std::uint32_t port);

// --- rings.cpp
/// Makes the rings unless they are there.
int bring_up(std::uint32_t port);
/// Ends the rings unless somebody uses them.
void bring_down_if_unused(std::uint32_t port);
/// The ring of a direction; host rings follow the others.
Kring& kring_at(const Port& port, bool is_tx, std::uint32_t index);
void wake_sleepers(Kring& kring);

// --- switch.cpp
bool has_vale_prefix(std::string_view name);
/// The switch of "valeX:P"; kNone.
std::uint32_t find_switch(std::string_view name);
/// Puts `port` on the switch of `name`, made if need be; with_host takes a second place.
int join_switch(std::string_view name, std::uint32_t port, bool with_host);
void leave_switch(std::uint32_t port);
void leave_second_switch(std::uint32_t port);
/// "valeX:P" as the kernel's checks want it: 0 or an errno.
int check_vale_name(std::string_view name);

// --- persistent.cpp
int make_persistent(std::string_view name, abi::ValeNewif* request, bool automatic,
                    std::uint32_t allocator, std::uint32_t* port);
int new_interface(std::string_view name, abi::ValeNewif* request);
int delete_interface(std::string_view name);
int attach_to_switch(std::string_view name, abi::ValeAttach* request);
int detach_from_switch(std::string_view name, abi::ValeDetach* request);
int set_polling(std::string_view name, const abi::ValePolling& request, bool on);

// --- make.cpp
/// A free entry of this kind; kNone.
std::uint32_t new_port(PortKind kind, std::string_view name);
void free_port(std::uint32_t port);
/// Counts as asked, within bounds, 0 for the usual.
struct Bounds {
  std::uint32_t most_rings, usual_rings, usual_tx_slots, usual_rx_slots;
};
void set_counts(Port& port, const abi::Register& request, const Bounds& bounds);
/// The allocator of a new port: `given`, the request's, or a private one made for its rings.
int choose_memory(Port& port, const abi::Register& request, std::uint32_t given);
int make_pipe(std::string_view name, const abi::Register& request, std::uint32_t allocator,
              std::uint32_t* port);
int make_monitor(std::string_view name, const abi::Register& request, std::uint32_t allocator,
                 std::uint32_t* port);
int make_null(std::string_view name, const abi::Register& request, std::uint32_t allocator,
              std::uint32_t* port);
int make_device(std::string_view name, const abi::Register& request, std::uint32_t allocator,
                std::uint32_t* port);

/// Rings that a register request selects: [tx_first, tx_last) and [rx_first, rx_last).
struct Selection {
  std::uint32_t tx_first, tx_last, rx_first, rx_last;
};
int select_rings(const Port& port, std::uint32_t mode, std::uint32_t ringid, std::uint64_t flags,
                 Selection* out);

}  // namespace ringway::netmap
