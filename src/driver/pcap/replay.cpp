#include "driver/pcap/replay.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "port/packet.h"

namespace ringway::driver {
namespace {

using mem::FrameDesc;

struct CloseFile {
  void operator()(pcap_t* file) const { pcap_close(file); }
};
using FileHandle = std::unique_ptr<pcap_t, CloseFile>;

class ReplayPort final : public port::Port {
 public:
  ReplayPort(FileHandle file, const ReplayOptions& options, mem::FramePool& pool)
      : file_(std::move(file)), name_(options.path), pace_(options.pace), pool_(pool) {
    caps_.mac = {{0x02, 0, 0, 0, 0, 1}};
    caps_.mtu = options.mtu;
    caps_.max_frame = options.mtu + 14U;
    read_next();
  }

  std::string_view name() const override { return name_; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<FrameDesc> out) override;
  std::size_t tx_burst(std::span<const FrameDesc> packets) override;
  base::Result<int> arm() override {
    return base::fail(base::ErrorCode::kUnavailable, "a replay wakes nobody: it goes by the clock");
  }
  void advance(base::Instant now) override;
  base::Instant next_deadline() const override {
    return next_ && start_ ? due() : base::Instant::never();
  }

 private:
  struct Record {
    base::Duration since_first;
    std::span<const std::byte> bytes;  ///< libpcap's, until the next one is read
  };

  base::Instant due() const { return pace_ ? *start_ + next_->since_first : *start_; }
  void read_next();
  bool receive(FrameDesc& desc);

  FileHandle file_;
  std::string name_;
  bool pace_;
  mem::FramePool& pool_;
  port::Caps caps_;
  std::optional<std::int64_t> first_ns_;
  std::optional<Record> next_;
  std::optional<base::Instant> start_;
  base::Instant now_{};
};

void ReplayPort::read_next() {
  next_.reset();
  pcap_pkthdr* header = nullptr;
  const unsigned char* data = nullptr;
  for (;;) {
    const int status = pcap_next_ex(file_.get(), &header, &data);
    if (status == PCAP_ERROR_BREAK) return;  // the end
    if (status != 1) {
      ++counters_.rx_bad;
      return;
    }
    if (header->caplen == header->len && header->caplen != 0) break;
    ++counters_.rx_bad;
  }
  // With nanosecond precision tv_usec holds nanoseconds (pcap_open_offline(3PCAP)).
  const std::int64_t ns = std::int64_t{header->ts.tv_sec} * 1'000'000'000 + header->ts.tv_usec;
  if (!first_ns_) first_ns_ = ns;
  next_ = Record{base::Duration::nanoseconds(ns - *first_ns_),
                 std::as_bytes(std::span(data, header->caplen))};
}

bool ReplayPort::receive(FrameDesc& desc) {
  const auto bytes = next_->bytes;
  desc = {};
  desc.slot = pool_.allocate();
  desc.offset = static_cast<std::uint16_t>(mem::coloured_headroom(desc.slot));
  if (bytes.size() > caps_.max_frame || bytes.size() > pool_.slot_size() - desc.offset) {
    ++counters_.rx_too_long;
    pool_.free(desc.slot);
    return false;
  }
  desc.length = static_cast<std::uint16_t>(bytes.size());
  std::memcpy(pool_.data(desc.slot) + desc.offset, bytes.data(), bytes.size());
  ++counters_.rx_frames;
  counters_.rx_bytes += bytes.size();
  return true;
}

std::size_t ReplayPort::rx_burst(std::span<FrameDesc> out) {
  std::size_t n = 0;
  while (n < out.size() && next_ && start_ && due() <= now_) {
    if (pool_.free_count() == 0) {
      ++counters_.rx_no_frame;
      break;
    }
    n += receive(out[n]) ? 1 : 0;
    read_next();
  }
  return n;
}

std::size_t ReplayPort::tx_burst(std::span<const FrameDesc> packets) {
  std::size_t taken = 0;
  while (const std::size_t pieces = port::pieces_of(packets.subspan(taken))) {
    const auto packet = packets.subspan(taken, pieces);
    if (port::lies_within(pool_, packet) && port::length_of(packet) <= caps_.max_frame) {
      ++counters_.tx_frames;
      counters_.tx_bytes += port::length_of(packet);
    } else {
      ++counters_.tx_bad;
    }
    port::free_packet(pool_, packet);
    taken += pieces;
  }
  return taken;
}

void ReplayPort::advance(base::Instant now) {
  if (!start_) start_ = now;
  now_ = std::max(now_, now);
}

constexpr std::array kReplayOptions{
    port::SpecOption{"pace", port::OptionKind::kFlag, 1, 0, 1, "keep the times of the file"},
    port::SpecOption{"mtu", port::OptionKind::kCount, 1500, 576, 65521,
                     "largest IP packet, 576 to 65521"},
};

}  // namespace

base::Result<ReplayOptions> ReplayOptions::parse(const port::Spec& spec) {
  if (spec.name.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a replay needs a file; expected pcap:FILE[,pace=off]");
  }
  const auto values = port::SpecValues::read(spec, kReplayOptions);
  if (!values) return tl::unexpected(values.error());
  ReplayOptions options;
  options.path = spec.name;
  options.pace = values->number(0) != 0;
  options.mtu = static_cast<std::uint16_t>(values->number(1));
  return options;
}

base::Result<std::unique_ptr<port::Port>> open_replay(const ReplayOptions& options,
                                                      mem::FramePool& pool) {
  std::array<char, PCAP_ERRBUF_SIZE> reason{};
  FileHandle file(pcap_open_offline_with_tstamp_precision(
      options.path.c_str(), PCAP_TSTAMP_PRECISION_NANO, reason.data()));
  if (!file) {
    return base::fail(base::ErrorCode::kNotFound,
                      fmt::format("cannot read the capture {}: {}", options.path, reason.data()));
  }
  if (pcap_datalink(file.get()) != DLT_EN10MB) {
    const char* type = pcap_datalink_val_to_name(pcap_datalink(file.get()));
    return base::fail(base::ErrorCode::kInvalidArgument,
                      fmt::format("the capture {} has frames of type {}; expected Ethernet",
                                  options.path, type == nullptr ? "unknown" : type));
  }
  return std::make_unique<ReplayPort>(std::move(file), options, pool);
}

}  // namespace ringway::driver
