#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>

#include "control/daemon/test_support.h"
#include "steering/table.h"

// The real ringwayd, started on demand, killed at any moment and followed by another.
namespace ringway::control::daemon {
namespace {

using base::IpAddress;
using steering::Scope;
using steering::Table;

ListenKey any(std::uint16_t port) { return {Protocol::kTcp, port, Scope::kAny, {}}; }

class SuccessorTest : public testing::Test {
 protected:
  ~SuccessorTest() override {
    if (auto command = Admin::connect({directory_.path(), {}, false, false})) {
      (void)command->shutdown();
    }
  }
  ClientOptions options() const {
    return {"default", "", "test", directory_.path(), RINGWAYD_PATH, true};
  }
  Client client() {
    auto connected = Client::connect(options());
    if (!connected) throw std::runtime_error(connected.error().what);
    return std::move(*connected);
  }
  pid_t daemon_pid() {
    auto command = Admin::connect({directory_.path(), {}, false, false});
    return command ? command->status().value().pid : -1;
  }
  /// Kills the daemon and waits until the client's socket says so.
  void kill_daemon(const Client& witness) {
    ASSERT_EQ(::kill(daemon_pid(), SIGKILL), 0);
    ASSERT_TRUE(hangs_up(witness.fd()));
  }

  TemporaryDirectory directory_;
};

TEST_F(SuccessorTest, Connect_NoDaemon_StartsOne_AndManyAtOnceStartOne) {
  std::vector<std::thread> threads;
  std::atomic<int> connected{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (Client::connect(options())) ++connected;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(connected.load(), 8);
  // No child of ours is left behind to be waited for.
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG | __WALL), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST_F(SuccessorTest, Connect_SpawnForbidden_SaysHowToStart) {
  auto quiet = options();
  quiet.spawn = false;
  const auto refused = Client::connect(quiet);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("ringway up"), std::string::npos);
}

TEST_F(SuccessorTest, Connect_DaemonNotThere_SaysSo) {
  auto wrong = options();
  wrong.daemon_path = directory_.path() + "/none";
  const auto refused = Client::connect(wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().os_errno, ENOENT);
}

TEST_F(SuccessorTest, DaemonKilled_StacksLeasesAndLinksGoOn) {
  auto one = client();
  auto two = client();
  const TestStack a;
  TestStack b;
  const auto first = *one.register_stack(a.fds());
  const auto second = *two.register_stack(b.fds());
  ASSERT_TRUE(one.lease_listen(first, any(80), steering::kEntryActive));
  const auto block = *two.lease_ephemeral(second, Protocol::kTcp);
  const auto memory = sealed_memory();
  const auto link = *two.open_link(second, first, memory.get());
  ASSERT_TRUE(await<LinkOffer>(one));
  const auto table = *Table::attach(one.table_fd());

  kill_daemon(one);
  EXPECT_EQ(table.lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0), first);
  ASSERT_TRUE(one.reconnect());
  EXPECT_EQ(table.lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0), first);
  EXPECT_EQ(table.lookup(IpAddress::loopback_v4(), Protocol::kTcp, block.first, 0), second);
  EXPECT_EQ(one.membership().table_identity, table.identity());
  // A request finds out by itself that it has to connect again.
  EXPECT_EQ(two.lease_listen(second, any(80), 0).error().os_errno, EADDRINUSE);
  const auto fetched = one.fetch_link(first, link.number);
  ASSERT_TRUE(fetched);
  EXPECT_EQ(inode(fetched->memory.get()), inode(memory.get()));
  EXPECT_EQ(fetched->side, 1U);

  // The successor watches lives as its predecessor did.
  b.life_writer.reset();
  const auto gone = await<PeerGone>(one);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->peer, second);
  EXPECT_EQ(gone->link, link.number);
  const TestStack c;
  const auto third = *two.register_stack(c.fds());
  EXPECT_NE(third, second);
  EXPECT_GT(two.open_link(third, first, sealed_memory().get())->number, link.number);
}

TEST_F(SuccessorTest, DaemonKilled_ProcessDiesMeanwhile_ItsEntriesAreDropped) {
  auto one = client();
  const auto table = *Table::attach(one.table_fd());
  int ready[2] = {-1, -1};
  ASSERT_EQ(base::sys::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto its = Client::connect(options());
    const TestStack stack;
    const bool ok =
        its && its->register_stack(stack.fds())
                   .and_then([&](StackId id) { return its->lease_listen(id, any(80), 0); })
                   .has_value();
    (void)!::write(ready[1], ok ? "+" : "-", 1);
    for (;;) ::pause();
  }
  char word = 0;
  ASSERT_EQ(::read(ready[0], &word, 1), 1);
  ASSERT_EQ(word, '+');
  EXPECT_TRUE(table.lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0));
  kill_daemon(one);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(one.reconnect());
  EXPECT_FALSE(table.lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0));
  base::sys::close(ready[0]);
  base::sys::close(ready[1]);
}

TEST_F(SuccessorTest, DaemonKilled_ProcessNeverComesBack_ItsEntriesEndWithIt) {
  auto one = client();
  const auto table = *Table::attach(one.table_fd());
  int ready[2] = {-1, -1};
  ASSERT_EQ(base::sys::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto its = Client::connect(options());
    const TestStack stack;
    const bool ok =
        its && its->register_stack(stack.fds())
                   .and_then([&](StackId id) { return its->lease_listen(id, any(80), 0); })
                   .has_value();
    (void)!::write(ready[1], ok ? "+" : "-", 1);
    for (;;) ::pause();
  }
  char word = 0;
  ASSERT_EQ(::read(ready[0], &word, 1), 1);
  ASSERT_EQ(word, '+');
  kill_daemon(one);
  ASSERT_TRUE(one.reconnect());
  const auto its = table.lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0);
  ASSERT_TRUE(its);
  // It lives, but has not told the new daemon of itself: it cannot be introduced to anybody yet.
  const TestStack a;
  const auto mine = *one.register_stack(a.fds());
  EXPECT_EQ(one.open_link(mine, *its, sealed_memory().get()).error().os_errno, EAGAIN);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  // The daemon's turn that saw the end comes before the answer to the second of two requests.
  for (int i = 0; i < 3; ++i) (void)one.resolve("ringway");
  EXPECT_FALSE(table.host_of_stack(*its));
  base::sys::close(ready[0]);
  base::sys::close(ready[1]);
}

TEST_F(SuccessorTest, DaemonKilled_AnotherStackWithThatId_IsRefused) {
  auto one = client();
  const TestStack a;
  const auto first = *one.register_stack(a.fds());
  ASSERT_EQ(::kill(daemon_pid(), SIGKILL), 0);
  ASSERT_TRUE(hangs_up(one.fd()));
  // The first to reach the successor claims the number with an arena of its own.
  auto connected = connect_daemon({directory_.path(), RINGWAYD_PATH, true, false});
  ASSERT_TRUE(connected);
  proto::Hello hello;
  steering::set_text(hello.network, "default");
  ASSERT_TRUE(proto::send(connected->get(), hello, 1));
  const TestStack forged;
  proto::RegisterStack claim;
  claim.earlier = first;
  const auto its = forged.fds();
  const std::array<int, 4> fds{its.arena, its.mailbox, its.doorbell, its.life};
  ASSERT_TRUE(proto::send(connected->get(), claim, 2, fds));
  const auto deadline = monotonic_now() + base::Duration::seconds(10);
  ASSERT_TRUE(receive_next(connected->get(), deadline));
  const auto answer = receive_next(connected->get(), deadline);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->head().type, proto::Type::kFailure);
  EXPECT_TRUE(one.reconnect());
}

TEST_F(SuccessorTest, TableLost_IsReplaced_StackKeepsItsId) {
  auto one = client();
  const TestStack a;
  const auto first = *one.register_stack(a.fds());
  kill_daemon(one);
  std::filesystem::remove(directory_.path() + "/default.table");
  ASSERT_TRUE(one.reconnect());
  auto replaced = await<TableReplaced>(one);
  ASSERT_TRUE(replaced);
  const auto table = Table::attach(replaced->table.get());
  ASSERT_TRUE(table);
  EXPECT_TRUE(table->host_of_stack(first));
  EXPECT_EQ(one.lease_listen(first, any(80), 0), 80);
}

TEST_F(SuccessorTest, TableDamaged_IsReplaced) {
  auto one = client();
  kill_daemon(one);
  std::ofstream(directory_.path() + "/default.table", std::ios::trunc) << "no table";
  ASSERT_TRUE(one.reconnect());
  EXPECT_TRUE(await<TableReplaced>(one));
}

TEST_F(SuccessorTest, Shutdown_NetworkOfTheAdministratorStays) {
  auto one = client();
  auto command = *Admin::connect({directory_.path(), {}, false, false});
  ASSERT_TRUE(command.add_network("lab", std::nullopt));
  ASSERT_TRUE(command.shutdown());
  ASSERT_TRUE(hangs_up(one.fd()));
  ASSERT_TRUE(one.reconnect());
  auto again = *Admin::connect({directory_.path(), {}, false, false});
  const auto networks = again.list_networks();
  ASSERT_TRUE(networks);
  ASSERT_EQ(networks->size(), 2U);
  EXPECT_EQ(steering::text_of(networks->at(1).network.name), "lab");
}

TEST_F(SuccessorTest, StackDies_ReaperGetsArenaAndLinks) {
  const auto script = directory_.path() + "/reaper";
  const auto words = directory_.path() + "/words";
  const auto go = directory_.path() + "/go";
  ASSERT_EQ(::mkfifo(go.c_str(), 0600), 0);
  base::UniqueFd gate(::open(go.c_str(), O_RDWR | O_CLOEXEC));
  // Says what it got if its arena is open, then works until the gate is closed.
  std::ofstream(script) << "#!/bin/sh\n[ -e /proc/self/fd/$6 ] && echo \"$@\" > " << words
                        << "\nread line < " << go << "\n";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  ::setenv("RINGWAY_REAPER", script.c_str(), 1);
  auto one = client();
  ::unsetenv("RINGWAY_REAPER");
  auto two = client();
  TestStack dying;
  const TestStack b;
  const auto first = *one.register_stack(dying.fds());
  const auto second = *two.register_stack(b.fds());
  const auto block = *one.lease_ephemeral(first, Protocol::kTcp);
  const auto link = *two.open_link(second, first, sealed_memory().get());
  dying.life_writer.reset();
  const auto gone = await<PeerGone>(two);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->how, proto::Gone::kReaped);
  // Until the reaper has ended, nobody else gets the source ports.
  const auto table = *Table::attach(two.table_fd());
  EXPECT_EQ(table.lookup(IpAddress::loopback_v4(), Protocol::kTcp, block.first, 0), first);
  EXPECT_FALSE(two.open_link(second, first, sealed_memory().get()));
  ASSERT_EQ(::write(gate.get(), "\n", 1), 1);
  // Its end frees the stack's number and ports.
  while (table.host_of_stack(first)) ASSERT_TRUE(two.resolve("ringway"));
  std::ifstream report(words);
  std::string line;
  std::getline(report, line);
  EXPECT_EQ(line.find("--stack " + std::to_string(first.index)), 0U) << line;
  EXPECT_NE(line.find("--link " + std::to_string(link.number) + ",1,"), std::string::npos) << line;
  EXPECT_TRUE(two.close_stack(second));
}

}  // namespace
}  // namespace ringway::control::daemon
