#include "cli/dump_sources.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "control/client/admin.h"
#include "stack/capture_layout.h"
#include "steering/table.h"

namespace ringway::cli {

using base::Duration;
using base::ErrorCode;
using base::Instant;
using base::Result;
using steering::text_of;

namespace {

constexpr std::uint32_t kMostBytes = 65535;
/// How many frames of one source are taken before the others have their turn.
constexpr std::uint32_t kRound = 512;
/// Programs that start meanwhile are captured as well.
constexpr Duration kLookForPrograms = Duration::milliseconds(500);

dump::ArenaSource::Layout layout() { return {stack::layout_hash(), stack::kCaptureOffset}; }

bool is_chosen(const DumpSources::Choice& choice, const steering::Stack& stack) {
  return choice.program.empty() || choice.program == text_of(stack.program) ||
         choice.program == std::to_string(stack.pid);
}

}  // namespace

Result<DumpSources> DumpSources::open_port(const std::string& spec, std::uint32_t snap_bytes) {
  constexpr std::uint32_t kPortFrames = 9216;
  auto port = OpenPort::open(spec, kPortFrames);
  if (!port) return tl::unexpected(std::move(port).error());
  DumpSources sources;
  sources.choice_.snap_bytes = snap_bytes;
  sources.port_ = std::move(*port);
  sources.infos_.push_back({spec, 0, 0});
  return sources;
}

Result<DumpSources> DumpSources::open_programs(const Choice& choice) {
  DumpSources sources;
  sources.choice_ = choice;
  sources.buffer_.resize(kMostBytes);
  if (auto looked = sources.look_for_programs(); !looked) {
    return tl::unexpected(std::move(looked).error());
  }
  if (sources.programs_.empty()) {
    return base::fail(
        ErrorCode::kNotFound,
        choice.program.empty()
            ? "no program of yours runs on Ringway; start one with `ringway run -- PROGRAM`"
            : fmt::format("no program '{}' runs on Ringway; `ringway ss` lists those that do",
                          choice.program));
  }
  return sources;
}

Result<void> DumpSources::look_for_programs() {
  auto admin = control::Admin::connect({{}, {}, false, false});
  if (!admin) {
    if (admin.error().code == ErrorCode::kUnavailable) return {};
    return tl::unexpected(admin.error());
  }
  const auto networks = admin->list_networks();
  if (!networks) return tl::unexpected(networks.error());
  for (const auto& info : *networks) {
    const std::string network(text_of(info.network.name));
    if (!choice_.network.empty() && network != choice_.network) continue;
    const auto fd = admin->open_table(network);
    if (!fd) return tl::unexpected(fd.error());
    const auto table = steering::Table::attach(fd->get());
    if (!table) return tl::unexpected(table.error());
    for (std::uint32_t i = 0; i < table->stack_limit(); ++i) {
      const auto stack = table->stack(static_cast<std::uint16_t>(i));
      if (!stack || !is_chosen(choice_, *stack)) continue;
      const auto key = fmt::format("{}/{}", network, stack->id.raw());
      if (programs_.contains(key)) continue;
      const auto arena = admin->fetch_arena(network, stack->id, true);
      if (!arena) continue;  // it has just ended
      auto source = dump::ArenaSource::open(arena->get(), layout());
      if (!source) continue;  // nothing to capture: `ringway ping`, another build
      const auto number = static_cast<std::uint32_t>(infos_.size());
      infos_.push_back({fmt::format("{}/{}", text_of(stack->program), stack->pid), 0, 0});
      programs_.emplace(key, Program{std::move(*source), number});
      next_renew_ = {};
    }
  }
  return {};
}

std::size_t DumpSources::take(Instant now, std::vector<dump::Frame>& frames) {
  if (port_) return take_from_port(now, frames);
  if (now >= next_look_) {
    static_cast<void>(look_for_programs());  // a daemon that is away for now is no reason to end
    next_look_ = now + kLookForPrograms;
  }
  if (now >= next_renew_) {
    for (auto& [key, program] : programs_) program.source.renew(now, choice_.snap_bytes);
    next_renew_ = now + dump::ArenaSource::kRenew;
  }
  const std::size_t n = take_from_programs(frames);
  last_look_ = now;
  return n;
}

std::size_t DumpSources::take_from_programs(std::vector<dump::Frame>& frames) {
  const std::size_t before = frames.size();
  for (auto& [key, program] : programs_) {
    Info& info = infos_[program.info];
    dump::Frame frame;
    for (std::uint32_t n = 0; n < kRound && program.source.next(frame.record, buffer_); ++n) {
      const std::uint32_t kept = std::min(frame.record.kept, choice_.snap_bytes);
      frame.record.kept = kept;
      frame.bytes.assign(buffer_.begin(), buffer_.begin() + kept);
      frame.source = program.info;
      // A record has the time of the last turn, which may be long ago for who sends after a pause;
      // but it was not there when we last looked.
      frame.record.time_ns = std::max(frame.record.time_ns, last_look_.ns);
      frames.push_back(frame);
      ++info.frames;
    }
    info.lost = program.source.lost();
  }
  std::stable_sort(frames.begin() + static_cast<std::ptrdiff_t>(before), frames.end(),
                   [](const dump::Frame& a, const dump::Frame& b) {
                     return a.record.time_ns < b.record.time_ns;
                   });
  return frames.size() - before;
}

std::size_t DumpSources::take_from_port(Instant now, std::vector<dump::Frame>& frames) {
  port_->port->advance(now);
  std::array<mem::FrameDesc, 64> burst;
  const std::size_t n = port_->port->rx_burst(burst);
  std::size_t packets = 0;
  bool inner = false;  // a further piece of the last packet
  for (std::size_t i = 0; i < n; ++i) {
    const mem::FrameDesc& desc = burst[i];
    if (!inner) {
      frames.emplace_back();
      frames.back().record.time_ns = now.ns;
      frames.back().record.flags = static_cast<std::uint8_t>(desc.flags & ~mem::kFrameMore);
      frames.back().record.gso_size = desc.gso_size;
      ++packets;
    }
    dump::Frame& frame = frames.back();
    const std::byte* data = port_->pool().data(desc.slot) + desc.offset;
    const std::size_t room = choice_.snap_bytes - frame.bytes.size();
    frame.bytes.insert(frame.bytes.end(), data, data + std::min<std::size_t>(room, desc.length));
    frame.record.length += desc.length;
    frame.record.kept = static_cast<std::uint32_t>(frame.bytes.size());
    inner = (desc.flags & mem::kFrameMore) != 0;
    port_->pool().free(desc.slot);
  }
  infos_[0].frames += packets;
  infos_[0].lost = port_->port->counters().rx_no_frame + port_->port->counters().rx_too_long;
  return packets;
}

}  // namespace ringway::cli
