#include "control/daemon/daemon.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <fstream>

#include "control/daemon/test_support.h"
#include "steering/table.h"

namespace ringway::control::daemon {
namespace {

using base::IpAddress;
using steering::Scope;
using steering::Table;

class DaemonTest : public testing::Test {
 protected:
  Client client(const std::string& network = "default", const std::string& host = {}) {
    auto connected = Client::connect({network, host, "test", directory_.path(), {}, false});
    if (!connected) throw std::runtime_error(connected.error().what);
    return std::move(*connected);
  }
  Admin admin() { return std::move(*Admin::connect({directory_.path(), {}, false, false})); }
  static Table table(const Client& of) { return std::move(*Table::attach(of.table_fd())); }
  static ListenKey any(std::uint16_t port) { return {Protocol::kTcp, port, Scope::kAny, {}}; }

  TemporaryDirectory directory_;
  RunningDaemon daemon_{directory_.path()};
};

TEST_F(DaemonTest, Hello_CommonHost_IsTheSameForAll) {
  const auto one = client();
  const auto two = client();
  EXPECT_EQ(one.membership().host.index, two.membership().host.index);
  EXPECT_EQ(one.membership().host.ipv4, IpAddress::v4(10, 111, 0, 2));
  EXPECT_TRUE(one.membership().host.ipv6.is_v6());
  EXPECT_EQ(steering::text_of(one.membership().network.name), "default");
  EXPECT_EQ(table(one).find_host(one.membership().host.ipv4), one.membership().host.index);
}

TEST_F(DaemonTest, Hello_TableDescriptor_CannotBeWritten) {
  const auto one = client();
  EXPECT_EQ(base::sys::fcntl(one.table_fd(), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST_F(DaemonTest, Hello_ClientsDescriptors_LeaveLowNumbersFree) {
  const base::UniqueFd before(base::sys::eventfd(0, EFD_CLOEXEC));
  const int lowest = before.get();
  auto one = client();
  const TestStack stack;
  ASSERT_TRUE(one.register_stack(stack.fds()));
  EXPECT_GT(one.fd(), lowest + 100);
  EXPECT_TRUE(one.owns_fd(one.fd()));
  EXPECT_TRUE(one.owns_fd(one.table_fd()));
  EXPECT_FALSE(one.owns_fd(lowest));
}

TEST_F(DaemonTest, Hello_NamedHosts_HaveAddressesOfTheirOwnAndResolve) {
  auto web = client("default", "web");
  auto plain = client();
  EXPECT_NE(web.membership().host.ipv4, plain.membership().host.ipv4);
  EXPECT_NE(web.membership().host.mac, plain.membership().host.mac);
  const auto found = plain.resolve("web");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->ipv4, web.membership().host.ipv4);
  EXPECT_EQ(plain.resolve("nobody").error().code, base::ErrorCode::kNotFound);
  EXPECT_FALSE(Client::connect({"default", "bad/name", "", directory_.path(), {}, false}));
  EXPECT_FALSE(Client::connect({"../up", "", "", directory_.path(), {}, false}));
}

TEST_F(DaemonTest, Hello_NamedHost_GoesWithItsLastProgram) {
  auto plain = client();
  const auto watched = table(plain);
  {
    auto web = client("default", "web");
    EXPECT_TRUE(watched.find_host("web"));
    auto again = client("default", "web");
    EXPECT_EQ(again.membership().host.index, web.membership().host.index);
  }
  // Requests are answered in turns: the hang-ups were seen before the second of these answers.
  for (int i = 0; i < 3; ++i) (void)plain.resolve("ringway");
  EXPECT_FALSE(watched.find_host("web"));
}

TEST_F(DaemonTest, TwoNetworks_ShareNothing) {
  auto red = client("red");
  auto blue = client("blue");
  const TestStack stack;
  const auto in_red = *red.register_stack(stack.fds());
  ASSERT_TRUE(red.lease_listen(in_red, any(80), 0));
  EXPECT_EQ(table(red).lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0), in_red);
  EXPECT_EQ(table(blue).lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0), std::nullopt);
  EXPECT_NE(red.membership().network.prefix4, blue.membership().network.prefix4);
  const TestStack other;
  const auto in_blue = *blue.register_stack(other.fds());
  EXPECT_TRUE(blue.lease_listen(in_blue, any(80), 0));
  EXPECT_FALSE(blue.open_link(in_blue, StackId{in_red.index, 999}, sealed_memory().get()));
}

TEST_F(DaemonTest, RegisterStack_WrongDescriptors_AreRefused) {
  auto one = client();
  const TestStack stack;
  auto fds = stack.fds();
  fds.doorbell = stack.arena.get();
  EXPECT_FALSE(one.register_stack(fds));
  fds = stack.fds();
  fds.life = stack.life_writer.get();
  EXPECT_FALSE(one.register_stack(fds));
  const base::UniqueFd unsealed(base::sys::memfd_create("x", MFD_CLOEXEC));
  fds = stack.fds();
  fds.arena = unsealed.get();
  EXPECT_FALSE(one.register_stack(fds));
  EXPECT_TRUE(one.register_stack(stack.fds()));
}

TEST_F(DaemonTest, RegisterStack_TooMany_IsRefused) {
  auto one = client();
  const TestStack stack;
  for (std::size_t i = 0; i < Session::kMaxStacks; ++i) {
    ASSERT_TRUE(one.register_stack(stack.fds()));
  }
  EXPECT_EQ(one.register_stack(stack.fds()).error().os_errno, EMFILE);
}

TEST_F(DaemonTest, LeaseListen_Conflict_IsAddressInUseUntilReleased) {
  auto one = client();
  auto two = client();
  const TestStack a;
  const TestStack b;
  const auto first = *one.register_stack(a.fds());
  const auto second = *two.register_stack(b.fds());
  EXPECT_EQ(one.lease_listen(first, any(80), 0), 80);
  EXPECT_EQ(two.lease_listen(second, any(80), 0).error().os_errno, EADDRINUSE);
  const ListenKey elsewhere{Protocol::kTcp, 81, Scope::kSpecific, IpAddress::v4(192, 0, 2, 1)};
  EXPECT_EQ(two.lease_listen(second, elsewhere, 0).error().os_errno, EADDRNOTAVAIL);
  ASSERT_TRUE(one.release_listen(first, any(80)));
  EXPECT_EQ(two.lease_listen(second, any(80), 0), 80);
  EXPECT_GT(two.lease_listen(second, any(0), 0).value(), 0);
}

TEST_F(DaemonTest, Requests_ForAnotherProcessesStack_AreRefused) {
  auto one = client();
  auto two = client();
  const TestStack stack;
  const TestStack own;
  const auto its = *one.register_stack(stack.fds());
  const auto mine = *two.register_stack(own.fds());
  EXPECT_EQ(two.lease_listen(its, any(80), 0).error().os_errno, EPERM);
  EXPECT_EQ(two.close_stack(its).error().os_errno, EPERM);
  EXPECT_EQ(two.lease_ephemeral(its, Protocol::kTcp).error().os_errno, EPERM);
  EXPECT_EQ(two.open_link(its, mine, sealed_memory().get()).error().os_errno, EPERM);
  EXPECT_EQ(two.clone_listen(mine, its, any(80)).error().os_errno, EPERM);
  // An arena of one's own proves nothing about another's stack.
  EXPECT_EQ(two.join_stack(its, own.arena.get()).error().os_errno, EPERM);
}

TEST_F(DaemonTest, JoinStack_WithItsArena_MayActForItAndClone) {
  auto parent = client();
  auto child = client();
  const TestStack stack;
  const TestStack own;
  const auto parents = *parent.register_stack(stack.fds());
  ASSERT_TRUE(parent.lease_listen(parents, any(80), steering::kEntryActive));
  ASSERT_TRUE(child.join_stack(parents, stack.arena.get()));
  const auto childs = *child.register_stack(own.fds());
  ASSERT_TRUE(child.clone_listen(childs, parents, any(80)));
  ASSERT_TRUE(child.listen_active(childs, any(80), true));
  ASSERT_TRUE(child.listen_active(parents, any(80), false));
  EXPECT_EQ(table(child).lookup(IpAddress::loopback_v4(), Protocol::kTcp, 80, 0), childs);
}

TEST_F(DaemonTest, LeaseEphemeral_Exhausted_IsRefusedAndComesBack) {
  auto one = client();
  const TestStack stack;
  const auto id = *one.register_stack(stack.fds());
  std::vector<PortBlock> blocks;
  for (;;) {
    const auto block = one.lease_ephemeral(id, Protocol::kUdp);
    if (!block) {
      EXPECT_EQ(block.error().os_errno, EADDRNOTAVAIL);
      break;
    }
    blocks.push_back(*block);
  }
  EXPECT_GT(blocks.size(), 100U);
  ASSERT_TRUE(one.release_ephemeral(id, Protocol::kUdp, blocks.back()));
  EXPECT_TRUE(one.lease_ephemeral(id, Protocol::kUdp));
  EXPECT_TRUE(one.lease_ephemeral(id, Protocol::kTcp));
}

TEST_F(DaemonTest, OpenLink_BothSidesGetTheSameMemoryAndEachOthersDescriptors) {
  auto one = client();
  auto two = client();
  const TestStack a;
  const TestStack b;
  const auto first = *one.register_stack(a.fds());
  const auto second = *two.register_stack(b.fds());
  const auto memory = sealed_memory();
  const auto link = one.open_link(first, second, memory.get());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->peer, second);
  EXPECT_EQ(link->side, 0U);
  EXPECT_FALSE(link->existing);
  EXPECT_EQ(inode(link->mailbox.get()), inode(b.mailbox.get()));

  const auto offer = await<LinkOffer>(two);
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->link.stack, second);
  EXPECT_EQ(offer->link.peer, first);
  EXPECT_EQ(offer->link.side, 1U);
  EXPECT_EQ(offer->link.number, link->number);
  EXPECT_EQ(inode(offer->link.memory.get()), inode(memory.get()));
  EXPECT_EQ(inode(offer->link.mailbox.get()), inode(a.mailbox.get()));

  // The other way round it is the same link, and other memory is not taken.
  const auto again = two.open_link(second, first, sealed_memory().get());
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->existing);
  EXPECT_EQ(again->number, link->number);
  EXPECT_EQ(again->side, 1U);
  EXPECT_EQ(inode(again->memory.get()), inode(memory.get()));

  const auto fetched = one.fetch_link(first, link->number);
  ASSERT_TRUE(fetched);
  EXPECT_EQ(inode(fetched->memory.get()), inode(memory.get()));
  EXPECT_FALSE(one.fetch_link(first, 4711));

  const auto to_itself = one.open_link(first, first, sealed_memory().get());
  ASSERT_TRUE(to_itself) << to_itself.error().what;
  EXPECT_EQ(to_itself->peer, first);
  EXPECT_NE(to_itself->number, link->number);
}

TEST_F(DaemonTest, OpenLink_UnsealedMemory_IsRefused) {
  auto one = client();
  const TestStack a;
  const TestStack b;
  const auto first = *one.register_stack(a.fds());
  const auto second = *one.register_stack(b.fds());
  const base::UniqueFd unsealed(base::sys::memfd_create("x", MFD_CLOEXEC));
  EXPECT_FALSE(one.open_link(first, second, unsealed.get()));
}

TEST_F(DaemonTest, CloseLink_PeerIsTold_AndANewOneCanBeMade) {
  auto one = client();
  auto two = client();
  const TestStack a;
  const TestStack b;
  const auto first = *one.register_stack(a.fds());
  const auto second = *two.register_stack(b.fds());
  const auto link = *one.open_link(first, second, sealed_memory().get());
  ASSERT_TRUE(two.close_link(second, link.number));
  const auto gone = await<PeerGone>(one);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->how, proto::Gone::kLinkClosed);
  const auto next = one.open_link(first, second, sealed_memory().get());
  ASSERT_TRUE(next);
  EXPECT_NE(next->number, link.number);
  EXPECT_FALSE(next->existing);
}

TEST_F(DaemonTest, StackDies_LeasesAreFreeAndPeersAreTold) {
  auto one = client();
  auto two = client();
  TestStack dying;
  const TestStack b;
  const auto first = *one.register_stack(dying.fds());
  const auto second = *two.register_stack(b.fds());
  ASSERT_TRUE(one.lease_listen(first, any(80), 0));
  const auto block = *one.lease_ephemeral(first, Protocol::kTcp);
  const auto link = *two.open_link(second, first, sealed_memory().get());
  dying.life_writer.reset();
  const auto gone = await<PeerGone>(two);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->peer, first);
  EXPECT_EQ(gone->stack, second);
  EXPECT_EQ(gone->link, link.number);
  EXPECT_EQ(gone->how, proto::Gone::kDied);
  EXPECT_EQ(two.lease_listen(second, any(80), 0), 80);
  EXPECT_EQ(table(two).lookup(IpAddress::loopback_v4(), Protocol::kTcp, block.first, 0),
            std::nullopt);
  EXPECT_EQ(one.lease_listen(first, any(81), 0).error().os_errno, EPERM);
}

TEST_F(DaemonTest, CloseStack_PeerIsToldThatItWasClean) {
  auto one = client();
  auto two = client();
  const TestStack a;
  const TestStack b;
  const auto first = *one.register_stack(a.fds());
  const auto second = *two.register_stack(b.fds());
  ASSERT_TRUE(one.open_link(first, second, sealed_memory().get()));
  ASSERT_TRUE(one.close_stack(first));
  const auto gone = await<PeerGone>(two);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->how, proto::Gone::kClosed);
  EXPECT_EQ(table(two).host_of_stack(first), std::nullopt);
}

TEST_F(DaemonTest, ClientGone_StackLivesAsLongAsItsLifePipe) {
  const TestStack a;
  const TestStack b;
  StackId first;
  {
    auto one = client();
    first = *one.register_stack(a.fds());
    ASSERT_TRUE(one.lease_listen(first, any(80), 0));
  }
  auto two = client();
  const auto second = *two.register_stack(b.fds());
  EXPECT_EQ(two.lease_listen(second, any(80), 0).error().os_errno, EADDRINUSE);
  ASSERT_TRUE(two.open_link(second, first, sealed_memory().get()));
  // Whoever holds the arena may take it up again, and learns of the link that came meanwhile.
  auto heir = client();
  ASSERT_TRUE(heir.join_stack(first, a.arena.get()));
  const auto offer = await<LinkOffer>(heir);
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->link.peer, second);
}

TEST_F(DaemonTest, Gateway_OnePerNetwork) {
  auto one = client();
  const TestStack a;
  const TestStack b;
  const auto gateway = *one.register_stack(a.fds(), true);
  EXPECT_EQ(one.register_stack(b.fds(), true).error().os_errno, EEXIST);
  EXPECT_EQ(table(one).lookup(IpAddress::v4(192, 0, 2, 1), Protocol::kTcp, 80, 0), gateway);
}

TEST_F(DaemonTest, Admin_NetworksComeAndGo) {
  auto command = admin();
  ASSERT_TRUE(command.add_network("lab", *base::parse_prefix("172.20.0.0/24")));
  EXPECT_EQ(command.add_network("lab", std::nullopt).error().code, base::ErrorCode::kExists);
  EXPECT_FALSE(command.add_network("lab2", *base::parse_prefix("172.20.0.128/25")));
  EXPECT_FALSE(command.add_network("lab2", *base::parse_prefix("172.21.0.0/30")));
  EXPECT_FALSE(command.add_network("-x", std::nullopt));
  auto one = client("lab");
  EXPECT_EQ(one.membership().host.ipv4, IpAddress::v4(172, 20, 0, 2));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(command.add_network("n" + std::to_string(i), std::nullopt));
  }
  const auto all = command.list_networks();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 21U);
  EXPECT_EQ(steering::text_of(all->front().network.name), "lab");
  EXPECT_EQ(all->front().clients, 1U);
  EXPECT_EQ(command.remove_network("lab").error().code, base::ErrorCode::kExists);
  EXPECT_TRUE(command.remove_network("n7"));
  EXPECT_EQ(command.remove_network("n7").error().code, base::ErrorCode::kNotFound);
}

TEST_F(DaemonTest, Admin_StatusTableAndArena) {
  auto command = admin();
  auto one = client();
  const TestStack a;
  const auto id = *one.register_stack(a.fds());
  const auto status = command.status();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->clients, 1U);
  EXPECT_EQ(status->stacks, 1U);
  EXPECT_EQ(status->stay, 1U);
  const auto fd = command.open_table("default");
  ASSERT_TRUE(fd);
  const auto seen = Table::attach(fd->get());
  ASSERT_TRUE(seen);
  const auto stack = seen->stack(id.index);
  ASSERT_TRUE(stack);
  EXPECT_EQ(stack->pid, ::getpid());
  EXPECT_EQ(steering::text_of(stack->program), "test");
  const auto arena = command.fetch_arena("default", id);
  ASSERT_TRUE(arena);
  EXPECT_EQ(inode(arena->get()), inode(a.arena.get()));
  EXPECT_EQ(base::sys::fcntl(arena->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_FALSE(command.fetch_arena("default", StackId{9, 9}));
  EXPECT_FALSE(command.open_table("nowhere"));
}

TEST_F(DaemonTest, SecondDaemon_IsRefused) {
  DaemonOptions options;
  options.directory = directory_.path();
  const auto second = Daemon::open(std::move(options));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::ErrorCode::kExists);
}

TEST_F(DaemonTest, SlowClient_IsDropped_OthersAreServed) {
  auto slow = client();
  auto busy = client();
  const TestStack a;
  const TestStack b;
  const auto sleeper = *slow.register_stack(a.fds());
  const auto mine = *busy.register_stack(b.fds());
  // `slow` never reads: its socket fills with offers and goodbyes until it is dropped.
  pollfd waited{slow.fd(), POLLRDHUP, 0};
  bool dropped = false;
  for (int i = 0; i < 20'000 && !dropped; ++i) {
    const auto link = busy.open_link(mine, sleeper, sealed_memory().get());
    ASSERT_TRUE(link);
    ASSERT_TRUE(busy.close_link(mine, link->number));
    dropped = base::sys::poll(&waited, 1, 0) == 1 && (waited.revents & POLLHUP) != 0;
  }
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(busy.resolve("ringway"));
  ASSERT_TRUE(slow.reconnect());
  EXPECT_TRUE(slow.lease_listen(sleeper, any(80), 0));
}

TEST(DaemonDirectory, OpenToOthersOrALink_IsRefused) {
  TemporaryDirectory directory;
  const auto open_one = directory.path() + "/open";
  ASSERT_EQ(::mkdir(open_one.c_str(), 0755), 0);
  EXPECT_EQ(proto::open_runtime_directory(open_one).error().code, base::ErrorCode::kPermission);
  const auto link = directory.path() + "/link";
  ASSERT_EQ(::symlink(directory.path().c_str(), link.c_str()), 0);
  EXPECT_EQ(proto::open_runtime_directory(link).error().code, base::ErrorCode::kPermission);
  const auto file = directory.path() + "/file";
  std::ofstream(file) << "x";
  EXPECT_FALSE(proto::open_runtime_directory(file));
  const auto fresh = directory.path() + "/fresh";
  ASSERT_TRUE(proto::open_runtime_directory(fresh));
  struct stat status {};
  ASSERT_EQ(::stat(fresh.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
}

TEST(DaemonDirectory, ForeignOwner_IsRefused) {
  if (::geteuid() == 0) {
    TemporaryDirectory directory;
    const auto foreign = directory.path() + "/foreign";
    ASSERT_EQ(::mkdir(foreign.c_str(), 0700), 0);
    ASSERT_EQ(::chown(foreign.c_str(), 12345, 12345), 0);
    EXPECT_EQ(proto::open_runtime_directory(foreign).error().code, base::ErrorCode::kPermission);
  } else {
    EXPECT_EQ(proto::open_runtime_directory("/").error().code, base::ErrorCode::kPermission);
  }
}

TEST(DaemonIdle, LastClientGone_EndsAfterTheIdleTime) {
  TemporaryDirectory directory;
  DaemonOptions options;
  options.directory = directory.path();
  options.idle_end = base::Duration::milliseconds(1);
  auto daemon = std::move(*Daemon::open(std::move(options)));
  std::thread thread([&] { daemon->run(); });
  thread.join();
  daemon.reset();
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/control.sock"));
}

}  // namespace
}  // namespace ringway::control::daemon
