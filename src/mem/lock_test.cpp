#include "mem/lock.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace ringway::mem {
namespace {

/// A lock and a number in memory that forked processes share.
struct Shared {
  StackLock lock;
  std::uint64_t count;
};

class StackLockTest : public testing::Test {
 protected:
  StackLockTest() {
    void* memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = static_cast<Shared*>(memory);
  }
  ~StackLockTest() override { munmap(shared_, sizeof(Shared)); }

  Shared* shared_ = nullptr;
};

TEST_F(StackLockTest, Threads_ExcludeEachOther) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 50'000; ++i) {
        const LockGuard guard(shared_->lock);
        shared_->count = shared_->count + 1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(shared_->count, 200'000U);
}

TEST_F(StackLockTest, Processes_ExcludeEachOther) {
  const auto work = [this] {
    for (int i = 0; i < 50'000; ++i) {
      const LockGuard guard(shared_->lock);
      shared_->count = shared_->count + 1;
    }
  };
  const pid_t child = fork();
  if (child == 0) {
    StackLock::forget_thread();
    work();
    _exit(0);
  }
  work();
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(shared_->count, 100'000U);
}

TEST_F(StackLockTest, HolderDiesInside_NextOneIsTold) {
  const pid_t child = fork();
  if (child == 0) {
    StackLock::forget_thread();
    shared_->lock.lock();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(shared_->lock.lock(), StackLock::Outcome::kOwnerDied);
  EXPECT_EQ(shared_->lock.try_lock(), StackLock::Outcome::kBusy);
  shared_->lock.unlock();
  EXPECT_EQ(shared_->lock.lock(), StackLock::Outcome::kAcquired);
  shared_->lock.unlock();
}

TEST_F(StackLockTest, HolderOfTwoDiesInside_BothAreFoundOut) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* second = static_cast<Shared*>(memory);
  const pid_t child = fork();
  if (child == 0) {
    StackLock::forget_thread();
    shared_->lock.lock();
    second->lock.lock();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(second->lock.lock(), StackLock::Outcome::kOwnerDied);
  second->lock.unlock();
  EXPECT_EQ(shared_->lock.lock(), StackLock::Outcome::kOwnerDied);
  shared_->lock.unlock();
  munmap(memory, sizeof(Shared));
}

TEST_F(StackLockTest, HolderOfTwoIsAZombie_BothAreFoundOut) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* second = static_cast<Shared*>(memory);
  const pid_t child = fork();
  if (child == 0) {
    StackLock::forget_thread();
    shared_->lock.lock();
    second->lock.lock();
    _exit(0);
  }
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  EXPECT_EQ(second->lock.lock(), StackLock::Outcome::kOwnerDied);
  second->lock.unlock();
  EXPECT_EQ(shared_->lock.lock(), StackLock::Outcome::kOwnerDied);
  shared_->lock.unlock();
  waitpid(child, nullptr, 0);
  munmap(memory, sizeof(Shared));
}

}  // namespace
}  // namespace ringway::mem
