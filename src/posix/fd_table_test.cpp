#include "posix/fd_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace ringway::posix {
namespace {

class FdTableTest : public testing::Test {
 protected:
  FdEntry make(std::uint32_t socket = 7) {
    return {FdKind::kSocket, table_->new_socket({socket, 1, 0}, AF_INET, SOCK_STREAM)};
  }
  std::unique_ptr<FdTable> table_ = std::make_unique<FdTable>();
};

TEST_F(FdTableTest, UnknownNumbers_AreLibcs) {
  EXPECT_EQ(table_->find(3).kind, FdKind::kOther);
  EXPECT_EQ(table_->find(-1).kind, FdKind::kOther);
  EXPECT_EQ(table_->find(FdTable::kFds).kind, FdKind::kOther);
  EXPECT_EQ(table_->find(INT32_MAX).kind, FdKind::kOther);
  EXPECT_FALSE(table_->any());
}

TEST_F(FdTableTest, Put_FindsTheSocketAgain) {
  const FdEntry entry = make(42);
  ASSERT_TRUE(table_->put(5, entry));
  ASSERT_NE(table_->socket(5), nullptr);
  EXPECT_EQ(table_->socket(5)->id(), (runtime::SocketId{42, 1, 0}));
  EXPECT_EQ(table_->epoll(5), nullptr);
  EXPECT_EQ(table_->limit(), 6);
}

TEST_F(FdTableTest, PutBeyondTheTable_IsRefused) {
  EXPECT_FALSE(table_->put(FdTable::kFds, make()));
  EXPECT_FALSE(table_->put(-1, make()));
}

TEST_F(FdTableTest, Remove_TellsWhatWasThereOnce) {
  const FdEntry entry = make();
  table_->put(5, entry);
  EXPECT_EQ(table_->remove(5).index, entry.index);
  EXPECT_EQ(table_->remove(5).kind, FdKind::kOther);
}

TEST_F(FdTableTest, LastReference_IsToldToItsDropper) {
  const FdEntry entry = make();
  EXPECT_TRUE(table_->hold(entry));
  EXPECT_FALSE(table_->drop(entry));
  EXPECT_TRUE(table_->drop(entry));
  EXPECT_FALSE(table_->hold(entry)) << "what is gone cannot be held";
}

TEST_F(FdTableTest, RecycledDescription_StartsAnew) {
  const FdEntry first = make();
  table_->socket_at(first.index).set(Description::kNonBlocking);
  table_->socket_at(first.index).receive_timeout_ns = 5;
  table_->drop(first);
  table_->recycle(first);
  const FdEntry second = make(9);
  EXPECT_EQ(second.index, first.index);
  EXPECT_FALSE(table_->socket_at(second.index).has(Description::kNonBlocking));
  EXPECT_EQ(table_->socket_at(second.index).receive_timeout_ns, 0);
}

TEST_F(FdTableTest, SocketsAndEpolls_DoNotMix) {
  const FdEntry epoll{FdKind::kEpoll, table_->new_epoll()};
  table_->put(4, epoll);
  EXPECT_NE(table_->epoll(4), nullptr);
  EXPECT_EQ(table_->socket(4), nullptr);
}

TEST_F(FdTableTest, ManyThreads_NeverShareADescription) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  std::vector<std::thread> threads;
  std::atomic<int> clashes = 0;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const FdEntry entry = make(static_cast<std::uint32_t>(t + 1));
        table_->put(t, entry);
        if (table_->socket(t)->id().index != static_cast<std::uint32_t>(t + 1)) ++clashes;
        const FdEntry removed = table_->remove(t);
        if (table_->drop(removed)) table_->recycle(removed);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(clashes, 0);
}

TEST(OptionLogTest, LastValueOfAnOptionWins) {
  OptionLog log;
  const int one = 1;
  const int two = 2;
  log.note(SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  log.note(SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  log.note(SOL_SOCKET, SO_KEEPALIVE, &two, sizeof two);
  ASSERT_EQ(log.entries().size(), 2U);
  EXPECT_EQ(std::memcmp(log.entries()[0].value.data(), &two, sizeof two), 0);
}

TEST(OptionLogTest, WhatDoesNotFit_IsLeftOut) {
  OptionLog log;
  const std::vector<char> large(100);
  log.note(1, 1, large.data(), 100);
  EXPECT_TRUE(log.entries().empty());
  for (int i = 0; i < 40; ++i) log.note(1, i, &i, sizeof i);
  EXPECT_EQ(log.entries().size(), 16U);
}

}  // namespace
}  // namespace ringway::posix
