#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "port/port.h"
#include "traffic/frame_memory.h"
#include "traffic/receiver.h"

namespace ringway::cli {

/// A port with frames of its own, for `gen`, `sink` and `dump`.
struct OpenPort {
  std::unique_ptr<traffic::FrameMemory> memory;
  std::unique_ptr<port::Port> port;

  /// `most_bytes`: of the longest frame.
  static base::Result<OpenPort> open(const std::string& spec, std::uint32_t most_bytes);
  mem::FramePool& pool() { return memory->pool(); }
};

/// How a program that moves frames goes on.
struct TrafficLoop {
  port::Port* port = nullptr;  ///< may be none
  base::Duration duration = base::Duration::infinite();
  base::Duration interval = base::Duration::seconds(1);  ///< between two lines of figures
  bool busy = false;                                     ///< poll, never sleep
  bool wakes_up = true;  ///< sleep on the port's descriptor, for who waits for frames
  /// Moves frames; returns how many. Called again and again.
  std::function<std::size_t(base::Instant now)> turn;
  std::function<bool()> done;
  /// When `turn` has something to do of itself; never() if only frames matter.
  std::function<base::Instant()> next_due;
  /// A line of figures; may be empty (no lines are wanted).
  std::function<void(base::Duration since_start)> tell;
};

/// Runs until it is done, the time is up, or SIGINT or SIGTERM comes. Returns how long it ran.
/// Errors: kUnavailable when the port went away meanwhile.
base::Result<base::Duration> run_traffic(const TrafficLoop& loop);

/// "1.25 Mpps", "310 kbit/s": three digits and a unit.
std::string format_rate(double per_second, const std::string& unit);
/// "12.5 us".
std::string format_ns(std::uint64_t ns);
/// What a receiver counted, and over how long.
nlohmann::json receiver_json(const traffic::Receiver& receiver, base::Duration time);
/// The same as lines of text.
std::string receiver_text(const traffic::Receiver& receiver, base::Duration time);
/// What a port dropped or refused; only what is not 0.
nlohmann::json port_json(const port::PortCounters& counters);
std::string port_text(const port::PortCounters& counters);

/// One line of figures on stderr, over the last one if that is a terminal.
void show_live(const std::string& line);
/// Ends such a line, before something else is written.
void end_live();

}  // namespace ringway::cli
