#include "stack/looker.h"

namespace ringway::stack {

constinit thread_local Looker::Record* Looker::current_ = nullptr;
thread_local Looker::Enlisted Looker::enlisted_;
std::atomic<Looker::Record*> Looker::all_{nullptr};

Looker::Enlisted::~Enlisted() {
  if (record == nullptr) return;
  current_ = nullptr;
  record->taken.store(false, std::memory_order_release);
}

Looker::Record& Looker::enlist() {
  Record* mine = nullptr;
  for (Record* r = all_.load(std::memory_order_acquire); r != nullptr && mine == nullptr;
       r = r->next) {
    bool taken = false;
    if (r->taken.compare_exchange_strong(taken, true, std::memory_order_acq_rel)) mine = r;
  }
  if (mine == nullptr) {
    mine = new Record;  // never freed: a later thread takes it
    mine->next = all_.load(std::memory_order_relaxed);
    while (!all_.compare_exchange_weak(mine->next, mine, std::memory_order_acq_rel)) {
    }
  }
  enlisted_.record = mine;
  current_ = mine;
  return *mine;
}

bool Looker::any() {
  // Without the barrier nobody can tell: rather keep what might be looked at.
  if (!ring::AsymmetricBarrier::heavy() && ring::AsymmetricBarrier::enrolled()) return true;
  for (const Record* r = all_.load(std::memory_order_acquire); r != nullptr; r = r->next) {
    if (r->depth.load(std::memory_order_acquire) != 0) return true;
  }
  return false;
}

void Looker::forget_others() {
  for (Record* r = all_.load(std::memory_order_acquire); r != nullptr; r = r->next) {
    if (r == current_) continue;
    r->depth.store(0, std::memory_order_relaxed);
    r->taken.store(false, std::memory_order_relaxed);
  }
}

}  // namespace ringway::stack
