#include "mem/lock.h"

#include <immintrin.h>

#include <cerrno>

namespace ringway::mem {

void StackLock::init() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&mutex_, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

StackLock::Outcome StackLock::outcome(int result) {
  if (result == EBUSY) return Outcome::kBusy;
  if (result == EOWNERDEAD) {
    pthread_mutex_consistent(&mutex_);
    return Outcome::kOwnerDied;
  }
  return Outcome::kAcquired;
}

StackLock::Outcome StackLock::try_lock() { return outcome(pthread_mutex_trylock(&mutex_)); }

StackLock::Outcome StackLock::lock() {
  // About 20 us of pauses: a turn is shorter, so the holder is most likely running and about to
  // leave.
  for (int i = 0; i < 400; ++i) {
    const int result = pthread_mutex_trylock(&mutex_);
    if (result != EBUSY) return outcome(result);
    for (int pause = 0; pause < 8; ++pause) _mm_pause();
  }
  return outcome(pthread_mutex_lock(&mutex_));
}

}  // namespace ringway::mem
