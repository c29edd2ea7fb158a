#include "driver/pcap/replay.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "driver/pcap/capture_file.h"
#include "port/packet.h"

namespace ringway::driver {
namespace {

using mem::FrameDesc;

struct CloseFile {
  void operator()(pcap_t* file) const { pcap_close(file); }
};
using FileHandle = std::unique_ptr<pcap_t, CloseFile>;

base::Result<FileHandle> open_file(const std::string& path) {
  std::array<char, PCAP_ERRBUF_SIZE> reason{};
  FileHandle file(pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO,
                                                          reason.data()));
  if (!file) {
    return base::fail(base::ErrorCode::kNotFound,
                      fmt::format("cannot read the capture {}: {}", path, reason.data()));
  }
  if (pcap_datalink(file.get()) != DLT_EN10MB) {
    const char* type = pcap_datalink_val_to_name(pcap_datalink(file.get()));
    return base::fail(base::ErrorCode::kInvalidArgument,
                      fmt::format("the capture {} has frames of type {}; expected Ethernet", path,
                                  type == nullptr ? "unknown" : type));
  }
  return file;
}

class ReplayPort final : public port::Port {
 public:
  ReplayPort(FileHandle file, const ReplayOptions& options, mem::FramePool& pool)
      : file_(std::move(file)),
        options_(options),
        name_(options.path.empty() ? options.out : options.path),
        pool_(pool) {
    caps_.mac = {{0x02, 0, 0, 0, 0, 1}};
    caps_.mtu = options.mtu;
    caps_.max_frame = options.mtu + 14U;
    if (file_) read_next();
  }
  void write_to(CaptureFile out) { out_.emplace(std::move(out)); }

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

  base::Instant due() const { return options_.pace ? *start_ + next_->since_first : *start_; }
  bool rewind();
  void read_next();
  bool receive(FrameDesc& desc);
  void write(std::span<const FrameDesc> packet);

  FileHandle file_;
  ReplayOptions options_;
  std::string name_;
  std::optional<CaptureFile> out_;
  mem::FramePool& pool_;
  port::Caps caps_;
  std::optional<std::int64_t> first_ns_;
  std::int64_t last_ns_ = 0;    ///< of the frame before, from the first
  std::int64_t gap_ns_ = 1000;  ///< between the last two
  std::int64_t round_ns_ = 0;   ///< what earlier rounds took
  std::uint32_t rounds_ = 1;
  bool any_ = false;  ///< this round had a frame
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
    if (status == PCAP_ERROR_BREAK && rewind()) continue;
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
  const std::int64_t since = ns - *first_ns_;
  if (any_) gap_ns_ = std::max<std::int64_t>(since - last_ns_, 1);
  any_ = true;
  last_ns_ = since;
  const double scaled =
      static_cast<double>(round_ns_ + since) * 1e6 / static_cast<double>(options_.speed_ppm);
  next_ = Record{base::Duration::nanoseconds(static_cast<std::int64_t>(scaled)),
                 std::as_bytes(std::span(data, header->caplen))};
}

/// Opens the file anew for another round; false if there is to be none. A round without any frame
/// is the last.
bool ReplayPort::rewind() {
  if (!any_ || (options_.loops != 0 && rounds_ >= options_.loops)) return false;
  auto again = open_file(options_.path);
  if (!again) return false;
  file_ = std::move(*again);
  ++rounds_;
  round_ns_ += last_ns_ + gap_ns_;
  any_ = false;
  return true;
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
      if (out_) write(packet);
    } else {
      ++counters_.tx_bad;
    }
    port::free_packet(pool_, packet);
    taken += pieces;
  }
  return taken;
}

void ReplayPort::write(std::span<const FrameDesc> packet) {
  out_->begin(now_, port::length_of(packet), CaptureWay::kOut);
  for (const FrameDesc& piece : packet) {
    out_->add({pool_.data(piece.slot) + piece.offset, piece.length});
  }
  if (out_->filled()) out_->flush();
}

void ReplayPort::advance(base::Instant now) {
  if (!start_) start_ = now;
  now_ = std::max(now_, now);
}

}  // namespace

base::Result<ReplayOptions> ReplayOptions::parse(const port::Spec& spec) {
  enum : std::uint8_t { kPace, kSpeed, kLoop, kOut, kMtu };
  const auto values = port::SpecValues::read(spec, kReplayOptions);
  if (!values) return tl::unexpected(values.error());
  if (spec.name.empty() && values->text(kOut).empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a pcap port needs a file; expected pcap:FILE[,pace=off] or pcap:,out=FILE");
  }
  ReplayOptions options;
  options.path = spec.name;
  options.pace = values->number(kPace) != 0;
  options.speed_ppm = values->number(kSpeed);
  options.loops = static_cast<std::uint32_t>(values->number(kLoop));
  options.out = values->text(kOut);
  options.mtu = static_cast<std::uint16_t>(values->number(kMtu));
  return options;
}

base::Result<std::unique_ptr<port::Port>> open_replay(const ReplayOptions& options,
                                                      mem::FramePool& pool) {
  FileHandle file;
  if (!options.path.empty()) {
    auto opened = open_file(options.path);
    if (!opened) return tl::unexpected(std::move(opened).error());
    file = std::move(*opened);
  }
  auto port = std::make_unique<ReplayPort>(std::move(file), options, pool);
  if (!options.out.empty()) {
    auto out = CaptureFile::create(options.out, {});
    if (!out) return tl::unexpected(std::move(out).error());
    port->write_to(std::move(*out));
  }
  return port;
}

}  // namespace ringway::driver
