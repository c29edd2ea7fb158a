#pragma once

#include <cstdint>

#include "runtime/local_stack.h"

namespace ringway::runtime {

/// Sleeping on a stack's doorbell for all that wait in it: one thread does, of one of the processes
/// that hold the stack. Which one is kept in the arena, so that it can be relieved, and found out
/// when its process dies. Every call needs the stack's lock.
class Attendance {
 public:
  /// Of a thread of this process that sleeps as a stack::Waiter.
  static Attendance of_waiter(std::uint32_t waiter);
  /// Of this process's keeper.
  static Attendance of_keeper();

  /// True if `this` should sleep on the doorbell: nobody does, or only a keeper, or a process that
  /// inherited the stack while this one made it. A keeper relieves nobody.
  bool wanted(const LocalStack& local) const;
  /// Says that the stack sleeps. False: there is something to do after all, and it does not.
  bool begin(LocalStack& local) const;
  /// The stack no longer sleeps; `rung` says that the doorbell was. False: somebody else has taken
  /// over meanwhile, and both are that one's.
  bool end(LocalStack& local, bool rung) const;
  /// Process `pid` is gone; true if it was the one that attended: nobody does now.
  static bool forget(LocalStack& local, std::uint32_t pid);

 private:
  explicit Attendance(std::uint32_t place);
  bool is_keeper() const;

  std::uint64_t id_;  ///< StackState::attendant
};

}  // namespace ringway::runtime
