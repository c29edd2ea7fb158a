#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cli/traffic_run.h"
#include "dump/arena_source.h"
#include "dump/frame.h"

namespace ringway::cli {

/// Where `ringway dump` gets frames from.
class DumpSources {
 public:
  struct Choice {
    std::string network;  ///< empty: all
    std::string program;  ///< name or process id; empty: all
    std::uint32_t snap_bytes = 0;
  };
  struct Info {
    std::string name;  ///< "redis-server/4711", "tap:rw0"
    std::uint64_t frames = 0;
    std::uint64_t lost = 0;  ///< overwritten before they were read
  };

  /// Frames that arrive at a port of its own.
  static base::Result<DumpSources> open_port(const std::string& spec, std::uint32_t snap_bytes);
  /// Frames that programs receive and send. Errors: kNotFound if no program is as chosen.
  static base::Result<DumpSources> open_programs(const Choice& choice);

  /// Adds what has come to `frames`, in order of time; returns how many.
  std::size_t take(base::Instant now, std::vector<dump::Frame>& frames);
  std::vector<Info>& infos() { return infos_; }
  port::Port* port() { return port_ ? port_->port.get() : nullptr; }

 private:
  struct Program {
    dump::ArenaSource source;
    std::uint32_t info;
  };

  std::size_t take_from_port(base::Instant now, std::vector<dump::Frame>& frames);
  std::size_t take_from_programs(std::vector<dump::Frame>& frames);
  base::Result<void> look_for_programs();

  Choice choice_;
  std::vector<Info> infos_;
  std::optional<OpenPort> port_;
  std::map<std::string, Program> programs_;  ///< by network and stack
  base::Instant next_renew_{};
  base::Instant next_look_{};
  base::Instant last_look_{};
  std::vector<std::byte> buffer_;
};

}  // namespace ringway::cli
