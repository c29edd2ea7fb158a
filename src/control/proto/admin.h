#pragma once

#include "control/proto/message.h"

// Messages of the ringway command. They need no Hello.
namespace ringway::control::proto {

struct Status {
  static constexpr Type kType = Type::kStatus;
  static constexpr std::size_t kFds = 0;
  Head head;
};
struct StatusReply {
  static constexpr Type kType = Type::kStatusReply;
  static constexpr std::size_t kFds = 0;
  Head head;
  std::int32_t pid = 0;
  std::uint32_t stay = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint32_t clients = 0;  // programs that joined a network
  std::uint32_t stacks = 0;
  std::uint32_t links = 0;
  std::uint32_t networks = 0;
};
/// `stay` 1: the daemon does not end when its last client has gone.
struct SetStay {
  static constexpr Type kType = Type::kSetStay;
  static constexpr std::size_t kFds = 0;
  Head head;
  std::uint32_t stay = 0;
};
struct Shutdown {
  static constexpr Type kType = Type::kShutdown;
  static constexpr std::size_t kFds = 0;
  Head head;
};
/// `prefix4_length` 0: the daemon chooses a subnet.
struct AddNetwork {
  static constexpr Type kType = Type::kAddNetwork;
  static constexpr std::size_t kFds = 0;
  Head head;
  Name name{};
  base::IpAddress prefix4{};
  std::uint32_t prefix4_length = 0;
};
struct RemoveNetwork {
  static constexpr Type kType = Type::kRemoveNetwork;
  static constexpr std::size_t kFds = 0;
  Head head;
  Name name{};
};
struct NetworkInfo {
  steering::Network network;
  std::uint32_t clients = 0;
  std::uint32_t stacks = 0;
  std::uint32_t links = 0;
  std::uint32_t hosts = 0;
};
/// From the network after `after` in the order of names; empty: from the first.
struct ListNetworks {
  static constexpr Type kType = Type::kListNetworks;
  static constexpr std::size_t kFds = 0;
  Head head;
  Name after{};
};
struct NetworksReply {
  static constexpr Type kType = Type::kNetworksReply;
  static constexpr std::size_t kFds = 0;
  static constexpr std::size_t kMost = 8;
  Head head;
  std::uint32_t count = 0;
  std::uint32_t more = 0;
  std::array<NetworkInfo, kMost> networks{};
};
/// Answered by FdReply with the steering table (read-only).
struct OpenTable {
  static constexpr Type kType = Type::kOpenTable;
  static constexpr std::size_t kFds = 0;
  Head head;
  Name network{};
};
/// Answered by FdReply with the arena, opened anew: for reading only, or (`capture` 1) so that a
/// capture can be switched on.
struct FetchArena {
  static constexpr Type kType = Type::kFetchArena;
  static constexpr std::size_t kFds = 0;
  Head head;
  Name network{};
  StackId stack;
  std::uint32_t capture = 0;
};
struct FdReply {
  static constexpr Type kType = Type::kFdReply;
  static constexpr std::size_t kFds = 1;
  Head head;
};

static_assert(sizeof(NetworksReply) <= kMaxMessageBytes && sizeof(HelloReply) <= kMaxMessageBytes);

}  // namespace ringway::control::proto
