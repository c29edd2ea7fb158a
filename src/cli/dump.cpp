#include <fmt/format.h>
#include <time.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cli/clock.h"
#include "cli/commands.h"
#include "cli/dump_sources.h"
#include "cli/output.h"
#include "cli/traffic_run.h"
#include "dump/filter.h"
#include "dump/pcapng.h"
#include "dump/text.h"

namespace ringway::cli {

using base::Duration;
using base::Instant;
using base::Result;

namespace {

struct DumpText {
  std::string file;
  std::string port;
  std::string network;
  std::string program;
  std::string connection;
  std::vector<std::string> filter;
  std::uint32_t snap_bytes = 0;  ///< 0: not given
  std::uint64_t count = 0;
  bool quiet = false;
};

constexpr std::uint32_t kMostSnap = 65535;
constexpr std::uint32_t kTextSnap = 160;  ///< all headers, extension headers included
/// Rings of programs have no bell: they hold milliseconds of the fastest traffic.
constexpr Duration kPause = Duration::milliseconds(1);

std::int64_t unix_minus_monotonic() {
  timespec real{};
  ::clock_gettime(CLOCK_REALTIME, &real);
  return real.tv_sec * 1'000'000'000 + real.tv_nsec - monotonic_now().ns;
}

/// Filters, completes and writes frames.
class Writer {
 public:
  Writer(dump::Filter filter, std::optional<dump::PcapngFile> file, std::uint32_t snap)
      : filter_(std::move(filter)), file_(std::move(file)), snap_(snap) {}

  void write(dump::Frame& frame, std::vector<DumpSources::Info>& sources) {
    if (!filter_.takes(frame.bytes, frame.record.length)) return;
    ++written_;
    frame.unix_ns = frame.record.time_ns + offset_ns_;
    const bool right = dump::complete_checksums(frame);
    if (!file_) {
      fmt::print("{} {} {} {}\n", dump::time_of_day(frame.unix_ns), sources[frame.source].name,
                 frame.record.way == mem::CaptureWay::kOut ? "Out" : "In ", printer_.line(frame));
      return;
    }
    announce(sources);
    file_->write(frame, frame.source, right);
    if (++unflushed_ % 64 == 0) flush();
  }
  void flush() {
    if (!file_) {
      std::fflush(stdout);
    } else if (auto done = file_->flush(); !done && error_.empty()) {
      error_ = done.error().what;
    }
  }
  void end(std::vector<DumpSources::Info>& sources) {
    if (file_) {
      announce(sources);
      const std::int64_t now = monotonic_now().ns + offset_ns_;
      for (std::uint32_t i = 0; i < sources.size(); ++i) {
        file_->add_statistics(i, sources[i].frames + sources[i].lost, sources[i].lost, now);
      }
    }
    flush();
  }
  std::uint64_t written() const { return written_; }
  const std::string& error() const { return error_; }

 private:
  /// Interfaces of the file have the numbers of the sources.
  void announce(std::vector<DumpSources::Info>& sources) {
    for (; announced_ < sources.size(); ++announced_) {
      file_->add_interface(sources[announced_].name, snap_);
    }
  }

  dump::Filter filter_;
  std::optional<dump::PcapngFile> file_;
  std::uint32_t snap_;
  dump::TextPrinter printer_;
  std::int64_t offset_ns_ = unix_minus_monotonic();
  std::uint64_t written_ = 0;
  std::uint64_t unflushed_ = 0;
  std::size_t announced_ = 0;
  std::string error_;
};

Result<dump::Filter> filter_of(const DumpText& text) {
  std::string all;
  for (const std::string& word : text.filter) all += (all.empty() ? "" : " ") + word;
  if (!text.connection.empty()) {
    const auto connection = dump::connection_filter(text.connection);
    if (!connection) return tl::unexpected(connection.error());
    all = all.empty() ? *connection : fmt::format("({}) and ({})", *connection, all);
  }
  return dump::Filter::compile(all);
}

Result<DumpSources> sources_of(const DumpText& text, std::uint32_t snap) {
  if (!text.port.empty()) return DumpSources::open_port(text.port, snap);
  return DumpSources::open_programs({text.network, text.program, snap});
}

void tell_end(const DumpSources::Info& info) {
  fmt::print(stderr, "{}: {} frames captured, {} lost\n", info.name, info.frames, info.lost);
}

int capture(const DumpText& text, DumpSources& sources, Writer& writer) {
  std::vector<dump::Frame> frames;
  bool told = text.quiet;
  TrafficLoop loop;
  loop.port = sources.port();
  loop.turn = [&](Instant now) {
    frames.clear();
    const std::size_t n = sources.take(now, frames);
    if (!std::exchange(told, true)) fmt::print(stderr, "capturing; end with Ctrl-C\n");
    for (dump::Frame& frame : frames) {
      if (text.count != 0 && writer.written() >= text.count) break;
      writer.write(frame, sources.infos());
    }
    if (n == 0) writer.flush();
    return n;
  };
  loop.done = [&] {
    return !writer.error().empty() || (text.count != 0 && writer.written() >= text.count);
  };
  loop.next_due = [&] {
    return loop.port != nullptr ? Instant::never() : monotonic_now() + kPause;
  };
  const auto time = run_traffic(loop);
  writer.end(sources.infos());
  if (!text.quiet) {
    for (const auto& info : sources.infos()) tell_end(info);
  }
  if (!writer.error().empty()) return complain("dump", writer.error());
  return time ? 0 : complain("dump", time.error());
}

int run_dump(const DumpText& text) {
  auto filter = filter_of(text);
  if (!filter) {
    complain("dump", filter.error());
    return 2;
  }
  const std::uint32_t snap = text.snap_bytes != 0 ? text.snap_bytes
                             : text.file.empty()  ? kTextSnap
                                                  : kMostSnap;
  auto sources = sources_of(text, snap);
  if (!sources) return complain("dump", sources.error());
  std::optional<dump::PcapngFile> file;
  if (!text.file.empty()) {
    auto made = dump::PcapngFile::create(text.file);
    if (!made) return complain("dump", made.error());
    file = std::move(*made);
  }
  Writer writer(std::move(*filter), std::move(file), snap);
  return capture(text, *sources, writer);
}

}  // namespace

void add_dump(CLI::App& app, Action& action) {
  auto text = std::make_shared<DumpText>();
  auto* dump = app.add_subcommand("dump", "show or record frames of running programs or of a port");
  dump->add_option("-w,--write", text->file, "write pcapng to FILE (- is stdout) [print lines]")
      ->type_name("FILE");
  dump->add_option("-i,--port", text->port, "what arrives at this port [programs]")
      ->type_name("PORT");
  dump->add_option("--network", text->network, "programs of this network [all]")->type_name("NAME");
  dump->add_option("--program", text->program, "this program [all]")->type_name("NAME|PID");
  dump->add_option("--connection", text->connection, "one connection, as `ringway ss` shows it")
      ->type_name("ADDR:PORT-ADDR:PORT");
  dump->add_option("-s,--snaplen", text->snap_bytes,
                   "bytes kept of each frame [160, with -w 65535]")
      ->type_name("N")
      ->check(CLI::Range(14U, kMostSnap));
  dump->add_option("-c,--count", text->count, "end after so many frames [never]")->type_name("N");
  dump->add_flag("-q,--quiet", text->quiet, "no summary at the end");
  dump->add_option("FILTER", text->filter, "as in pcap-filter(7)");
  dump->footer(
      "  ringway dump tcp port 6379\n"
      "  ringway dump --program redis-server -w redis.pcapng\n"
      "  ringway dump --connection 127.0.0.1:40000-127.0.0.1:6379\n"
      "  ringway dump -i tap:rw0 arp");
  dump->callback([&action, text] { action = [text] { return run_dump(*text); }; });
}

}  // namespace ringway::cli
