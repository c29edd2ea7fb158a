#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "driver/frames.h"
#include "port/port.h"
#include "port/spec.h"

namespace ringway::driver {

/// The queues of one opened port, each a Port of its own. They close in any order.
using Queues = std::vector<std::unique_ptr<port::Port>>;

/// A kind of port that any program can open by its spec.
struct Driver {
  std::string_view name;
  std::string_view form;  ///< of a spec, as a person writes it
  std::string_view doc;   ///< what it is for, in one line
  std::uint32_t max_queues;
  std::span<const port::SpecOption> options;
  /// Opens one queue for each of `frames`; `queues` is no option of the spec any more.
  base::Result<Queues> (*open)(const port::Spec& spec, std::span<const Frames> frames);
  /// Whether it can work on this machine: the error says in one line what is missing, and the fix.
  base::Result<void> (*probe)();
};

/// All drivers of this build.
std::span<const Driver> drivers();

/// How many queues `spec` asks for: the value of its option `queues`, 1 by default. The caller
/// needs as many pools. Checks that the driver is known and can have so many.
base::Result<std::uint32_t> queue_count(std::string_view spec);

/// Opens the port that `spec` describes ("tap:rw0,ip=10.0.0.2/24") with one queue whose frames are
/// those of `frames`, which must outlive it. Errors are one line that says what to do.
base::Result<std::unique_ptr<port::Port>> open_port(std::string_view spec, const Frames& frames);

/// Opens all queues of a port, `frames.size()` of them, which `queues=N` in the spec, if it is
/// there, must confirm. Each queue belongs to one thread; queues whose frames are of one pool
/// belong to the same thread (docs/decisions/0046).
base::Result<Queues> open_queues(std::string_view spec, std::span<const Frames> frames);

}  // namespace ringway::driver
