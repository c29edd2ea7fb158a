#pragma once

#include <functional>
#include <vector>

#include "base/time.h"

namespace ringway::sim {

/// Something that does things at points of virtual time: a host, an application.
class Actor {
 public:
  virtual ~Actor() = default;
  /// When act() has something to do next; at or before the current time: now.
  virtual base::Instant next_event() const = 0;
  virtual void act(base::Instant now) = 0;
};

/// The virtual clock and who lives by it. Time moves from event to event; equal times run in the
/// order in which the actors were added, so a run depends on its seeds only.
class World {
 public:
  /// `actor` is not owned and must outlive the world's runs.
  void add(Actor& actor) { actors_.push_back(&actor); }
  base::Instant now() const { return now_; }

  enum class End {
    kDone,      ///< `done` became true
    kDeadline,  ///< the time was over
    kQuiet,     ///< nobody has anything left to do
    kSpinning,  ///< too many events without time passing: somebody always has something to do
  };
  /// Runs until `done()`, at most to `deadline`.
  End run(base::Instant deadline, const std::function<bool()>& done);

 private:
  static constexpr int kMaxEventsAtOnce = 100'000;

  std::vector<Actor*> actors_;
  base::Instant now_{base::Duration::seconds(1).ns};
};

const char* name(World::End end);

}  // namespace ringway::sim
