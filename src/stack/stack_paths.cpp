// Paths and ephemeral ports of a stack.

#include "stack/stack.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace ringway::stack {
namespace {

std::uint32_t bucket_of(std::uint16_t port, const base::IpAddress& local,
                        const base::IpAddress& remote) {
  const std::uint64_t mixed = (local.low() * 0x9e3779b97f4a7c15U) ^
                              (remote.low() + local.high() + remote.high() * 3) ^ port;
  return static_cast<std::uint32_t>((mixed * 0xbf58476d1ce4e5b9U) >> 48) % kPathBuckets;
}

}  // namespace

std::uint32_t Stack::path_for(std::uint16_t port, const base::IpAddress& local,
                              const base::IpAddress& remote) {
  PathTable& table = state_->paths;
  const std::uint32_t bucket = bucket_of(port, local, remote);
  for (std::uint32_t i = table.heads[bucket]; i != 0; i = table.next[i]) {
    const port::Path& path = table.slab[i];
    if (path.port == port && path.local == local && path.remote == remote) return i;
  }
  if (tx_[port] == nullptr) return 0;
  std::uint32_t index = table.slab.allocate();
  if (index == 0) {
    sweep_paths();
    index = table.slab.allocate();
    if (index == 0) return 0;
  }
  if (port < kMaxLinks) {
    init_path(table.slab[index], port, local, remote);
  } else if (!make_external_path(table.slab[index], port, local, remote)) {
    table.slab[index].header_length = 0;
    table.slab.free(index);
    return 0;
  }
  table.next[index] = table.heads[bucket];
  table.heads[bucket] = static_cast<std::uint16_t>(index);
  return index;
}

void Stack::init_path(port::Path& path, std::uint16_t port, const base::IpAddress& local,
                      const base::IpAddress& remote) {
  const port::Caps& caps = tx_[port]->caps();
  path.port = port;
  path.mtu = caps.mtu;
  path.max_frame = caps.max_frame;
  path.local = local;
  path.remote = remote;
  path.is_v6 = local.is_v6() ? 1 : 0;
  path.l3_offset = wire::EthernetHeader::kSize;
  path.flags = static_cast<std::uint8_t>((caps.reliable ? port::kPathReliable : 0) |
                                         (caps.tx_checksum ? port::kPathTxChecksum : 0) |
                                         (caps.tx_gso ? port::kPathGso : 0));
  path.ip_id = static_cast<std::uint32_t>(state_->random.next());
  std::byte* eth = path.header.data();
  std::memcpy(eth, caps.mac.bytes.data(), 6);
  std::memcpy(eth + 6, state_->mac.bytes.data(), 6);
  base::store_be16(eth + 12, path.is_v6 != 0 ? 0x86dd : 0x0800);
  std::byte* ip = eth + path.l3_offset;
  if (path.is_v6 != 0) {
    path.header_length = static_cast<std::uint8_t>(path.l3_offset + 40);
    base::store_u8(ip, 0x60);
    base::store_u8(ip + 7, 64);
    std::memcpy(ip + 8, local.bytes.data(), 16);
    std::memcpy(ip + 24, remote.bytes.data(), 16);
  } else {
    path.header_length = static_cast<std::uint8_t>(path.l3_offset + 20);
    base::store_u8(ip, 0x45);
    base::store_be16(ip + 6, 0x4000);  // do not fragment: path MTU discovery (RFC 1191)
    base::store_u8(ip + 8, 64);
    std::memcpy(ip + 12, local.bytes.data() + 12, 4);
    std::memcpy(ip + 16, remote.bytes.data() + 12, 4);
  }
}

void Stack::unlink_path(std::uint32_t index) {
  PathTable& table = state_->paths;
  const port::Path& path = table.slab[index];
  const std::uint32_t bucket = bucket_of(path.port, path.local, path.remote);
  std::uint16_t* link = &table.heads[bucket];
  while (*link != 0 && *link != index) link = &table.next[*link];
  if (*link == index) *link = table.next[index];
}

void Stack::forget_paths(std::uint16_t port) {
  for (std::uint32_t i = 1; i <= state_->paths.slab.high_water(); ++i) {
    port::Path& path = state_->paths.slab[i];
    if (path.port != port || path.header_length == 0) continue;
    unlink_path(i);
    path.header_length = 0;  // no longer found
  }
  free_dead_paths();
}

/// Those of links that are gone, once their last connection is: looked for whenever a link goes.
void Stack::free_dead_paths() {
  for (std::uint32_t i = 1; i <= state_->paths.slab.high_water(); ++i) {
    port::Path& path = state_->paths.slab[i];
    if (path.header_length != 0 || path.users != 0) continue;
    path.users = kFreedPath;
    state_->paths.slab.free(i);
  }
}

void Stack::sweep_paths() {
  for (std::uint32_t i = 1; i <= state_->paths.slab.high_water(); ++i) {
    port::Path& path = state_->paths.slab[i];
    if (path.users != 0) continue;
    if (path.header_length != 0) unlink_path(i);
    path.header_length = 0;
    path.users = kFreedPath;
    state_->paths.slab.free(i);
  }
}

std::uint16_t Stack::choose_port(steering::Protocol protocol, const base::IpAddress& local,
                                 const base::Endpoint& remote) {
  PortBlocks& blocks = state_->ephemeral[static_cast<std::size_t>(protocol)];
  std::uint32_t tries = 0;
  for (std::uint32_t b = 0; b < blocks.blocks; ++b) tries += blocks.block[b].count;
  for (; tries != 0; --tries) {
    if (blocks.offset >= blocks.block[blocks.at].count) {
      blocks.offset = 0;
      blocks.at = (blocks.at + 1) % blocks.blocks;
    }
    const auto port = static_cast<std::uint16_t>(blocks.block[blocks.at].first + blocks.offset++);
    const bool taken = protocol == steering::Protocol::kTcp ? tcp_.find({local, port}, remote) != 0
                                                            : udp_.find({local, port}, remote) != 0;
    if (taken) continue;
    return port;
  }
  return 0;
}

void Stack::add_port_block(steering::Protocol protocol, PortBlock block) {
  PortBlocks& blocks = state_->ephemeral[static_cast<std::size_t>(protocol)];
  if (blocks.blocks == kPortBlocks || block.count == 0) return;
  // The new block is used next, from a random port on.
  blocks.at = blocks.blocks;
  blocks.offset = state_->random.below(block.count);
  blocks.block[blocks.blocks++] = block;
}

}  // namespace ringway::stack
