#include "sim/world.h"

#include <algorithm>

namespace ringway::sim {

World::End World::run(base::Instant deadline, const std::function<bool()>& done) {
  int at_once = 0;
  while (!done()) {
    base::Instant next = base::Instant::never();
    for (const Actor* actor : actors_) next = std::min(next, actor->next_event());
    if (next.is_never()) return End::kQuiet;
    if (next > deadline) {
      now_ = std::max(now_, deadline);
      return End::kDeadline;
    }
    at_once = next > now_ ? 0 : at_once + 1;
    if (at_once > kMaxEventsAtOnce) return End::kSpinning;
    now_ = std::max(now_, next);
    for (Actor* actor : actors_) {
      if (actor->next_event() <= now_) actor->act(now_);
    }
  }
  return End::kDone;
}

const char* name(World::End end) {
  switch (end) {
    case World::End::kDone:
      return "done";
    case World::End::kDeadline:
      return "out of time";
    case World::End::kQuiet:
      return "nothing left to do";
    case World::End::kSpinning:
      return "spinning";
  }
  return "?";
}

}  // namespace ringway::sim
