#include <cerrno>
#include <vector>

#include "netmap/test_program.h"

namespace ringway::netmap::testing {
namespace {

const auto* const environment = ::testing::AddGlobalTestEnvironment(new Environment);

TEST(Device, UnboundDescriptor_RefusesSyncAndMmapAndPollsError) {
  Program p;
  ASSERT_GE(p.fd(), 0);
  EXPECT_EQ(p.sync_tx(), -ENXIO);
  EXPECT_EQ(p.sync_rx(), -ENXIO);
  EXPECT_EQ(p.poll(POLLIN, 1000), POLLERR);
  EXPECT_EQ(hooks::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, p.fd(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Device, UnknownIoctl_IsNotSupported) {
  Program p;
  EXPECT_EQ(hooks::ioctl(p.fd(), 0x12345678, nullptr), -EOPNOTSUPP);
  EXPECT_EQ(hooks::ioctl(p.fd(), abi::kControl, nullptr), -EINVAL);
  EXPECT_EQ(hooks::ioctl(p.fd(), abi::kControl, reinterpret_cast<void*>(8)), -EFAULT);
}

TEST(Register, DefaultValePort_ReportsItsShape) {
  Program p("vale0:a");
  ASSERT_EQ(p.error(), 0);
  EXPECT_EQ(p.request.nr_tx_rings, 1);
  EXPECT_EQ(p.request.nr_rx_slots, 1024U);
  EXPECT_EQ(p.request.nr_host_tx_rings, 0);
  EXPECT_GT(p.request.nr_mem_id, 1);
  EXPECT_EQ(p.request.nr_memsize, 42369024U);
  EXPECT_EQ(p.tx().tail, 1023U);
  EXPECT_EQ(p.rx().tail, 0U);
  EXPECT_EQ(p.nifp()->ni_host_tx_rings, 1U);
  EXPECT_EQ(p.nifp()->ring_ofs()[1], 0);
  std::vector<bool> seen(20482);
  for (abi::Ring* ring : {&p.tx(), &p.rx()}) {
    for (std::uint32_t i = 0; i < ring->num_slots; ++i) {
      const std::uint32_t index = ring->slots()[i].buf_idx;
      ASSERT_GE(index, 2U);
      ASSERT_LT(index, seen.size());
      EXPECT_FALSE(seen[index]);
      seen[index] = true;
      EXPECT_EQ(ring->slots()[i].len, 2048);
    }
  }
}

TEST(Register, CountsAboveTheBounds_AreClamped) {
  Program p;
  p.request.nr_mode = abi::kModeAllNic;
  p.request.nr_tx_rings = 17;
  p.request.nr_tx_slots = 5000;
  ASSERT_EQ(p.bind("vale0:a"), 0);
  EXPECT_EQ(p.request.nr_tx_rings, 16);
  EXPECT_EQ(p.request.nr_tx_slots, 4096U);
}

TEST(Register, BadRequests_LeaveTheDescriptorUsable) {
  Program p;
  EXPECT_EQ(p.bind("vale0:a"), EINVAL);  // mode 0
  p.request.nr_mode = abi::kModeSw;
  EXPECT_EQ(p.bind("vale0:a"), EINVAL);
  p.request.nr_mode = abi::kModeAllNic;
  p.request.nr_mem_id = 999;
  EXPECT_EQ(p.bind("vale0:a"), EINVAL);
  p.request.nr_mem_id = 0;
  EXPECT_EQ(p.bind("no-such-if"), ENXIO);
  EXPECT_EQ(p.bind("vale-0:a"), ENOMEM);
  EXPECT_EQ(p.bind("vale0:a"), 0);
  EXPECT_EQ(p.bind("vale0:b"), EBUSY);
}

TEST(Register, UnknownOption_IsReportedAndNothingIsBound) {
  Program p;
  p.request.nr_mode = abi::kModeAllNic;
  abi::OptionHeader option{};
  option.nro_reqtype = 1234;
  EXPECT_EQ(p.bind("vale0:a", &option), EOPNOTSUPP);
  EXPECT_EQ(option.nro_status, static_cast<std::uint32_t>(EOPNOTSUPP));
  option.nro_next = reinterpret_cast<std::uint64_t>(&option);
  EXPECT_EQ(p.bind("vale0:a", &option), EMSGSIZE);
  abi::OptCsb csb{};
  csb.nro_opt.nro_reqtype = abi::kOptCsb;
  csb.nro_opt.nro_next = reinterpret_cast<std::uint64_t>(&csb);
  EXPECT_EQ(p.bind("vale0:a", &csb.nro_opt), EINVAL);
  EXPECT_EQ(csb.nro_opt.nro_status, static_cast<std::uint32_t>(EINVAL));
  EXPECT_EQ(p.bind("vale0:a"), 0);
}

TEST(Register, ExclusiveBind_KeepsOthersOutInBothOrders) {
  Program first("vale0:a");
  ASSERT_EQ(first.error(), 0);
  EXPECT_EQ(Program("vale0:a", abi::kExclusive).error(), EBUSY);
  first.close();
  Program alone("vale0:a", abi::kExclusive);
  EXPECT_EQ(alone.error(), 0);
  EXPECT_EQ(Program("vale0:a").error(), EBUSY);
}

TEST(Register, ExtraBuffers_AreAListAndComeBack) {
  for (int round = 0; round < 100; ++round) {
    Program p;
    p.request.nr_mode = abi::kModeAllNic;
    p.request.nr_extra_bufs = 500;
    ASSERT_EQ(p.bind("vale0:a"), 0);
    ASSERT_EQ(p.request.nr_extra_bufs, 500U);
    std::uint32_t count = 0;
    for (std::uint32_t i = p.nifp()->ni_bufs_head; i != 0; ++count) {
      std::memcpy(&i, Program::buffer(p.tx(), i), sizeof i);
    }
    EXPECT_EQ(count, 500U);
  }
}

TEST(Vale, Broadcast_ReachesAllOthersOnce) {
  Program a("vale0:a"), b("vale0:b"), c("vale0:c"), other("vale1:b");
  a.put(-1, 1, "hello");
  EXPECT_EQ(a.sync_tx(), 0);
  EXPECT_EQ((a.tx().tail + 1) % 1024, a.tx().head);
  EXPECT_EQ(b.get(), "hello");
  EXPECT_EQ(b.get(), "-");
  EXPECT_EQ(c.get(), "hello");
  EXPECT_EQ(a.get(), "-");
  EXPECT_EQ(other.get(), "-");
}

TEST(Vale, LearnedAddress_ReachesOnePortOnly) {
  Program a("vale0:a"), b("vale0:b"), c("vale0:c");
  b.put(9, 2, "i am 2");  // unknown: floods
  b.sync_tx();
  EXPECT_EQ(a.get(), "i am 2");
  EXPECT_EQ(c.get(), "i am 2");
  a.put(2, 1, "to 2");
  a.put(1, 1, "to myself");
  a.sync_tx();
  EXPECT_EQ(b.get(), "to 2");
  EXPECT_EQ(b.get(), "-");
  EXPECT_EQ(c.get(), "-");
}

TEST(Vale, FullReceiver_LosesWithoutHoldingTheSender) {
  Program a("vale0:a"), b("vale0:b");
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k < 700; ++k) a.put(-1, 1, "x");
    a.sync_tx();
    EXPECT_EQ((a.tx().tail + 1) % 1024, a.tx().head);
  }
  b.sync_rx();
  EXPECT_EQ(b.available(), 1023U);
}

TEST(Vale, PacketInSlots_ArrivesWholeOrNotAtAll) {
  Program a("vale0:a"), b("vale0:b");
  a.put(-1, 1, "first", abi::kMoreFrag);
  a.put(-1, 1, "second");
  a.put(-1, 1, "short");
  a.tx().slots()[2].len = 10;  // no Ethernet header: dropped alone
  a.put(-1, 1, "last");
  a.sync_tx();
  EXPECT_EQ(b.get(), "first");
  EXPECT_EQ(b.last.flags, 2 << 8 | abi::kMoreFrag);
  EXPECT_EQ(b.get(), "second");
  EXPECT_EQ(b.last.flags, 2 << 8);
  EXPECT_EQ(b.get(), "last");
}

TEST(Vale, IndirectPayload_IsReadFromTheProgram) {
  Program a("vale0:a"), b("vale0:b");
  alignas(64) char frame[64] = "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x00indirect";
  for (const std::uint64_t address : {reinterpret_cast<std::uint64_t>(frame), std::uint64_t{8}}) {
    a.put(-1, 1, "12345678", abi::kIndirect);
    a.tx().slots()[(a.tx().head + 1023) % 1024].ptr = address;
  }
  a.sync_tx();
  EXPECT_EQ(b.get(), "indirect");
  EXPECT_EQ(b.get(), "");
  EXPECT_EQ(b.last.len, 0);
}

TEST(Vale, PortsGoWithTheirLastUser) {
  {
    Program a("vale0:a");
    Program list;
    abi::ValeList body{};
    EXPECT_EQ(list.control(abi::kReqValeList, "", &body), 0);
    EXPECT_EQ(list.name_back, "vale0:a");
  }
  Program list;
  abi::ValeList body{};
  EXPECT_EQ(list.control(abi::kReqValeList, "", &body), ENOENT);
  EXPECT_EQ(list.control(abi::kReqValeList, "vale0:a", &body), ENOENT);
}

TEST(Persistent, AttachedPort_IsOpenedUnderBothNames) {
  Program ctl;
  abi::ValeNewif newif{};
  ASSERT_EQ(ctl.control(abi::kReqValeNewif, "per0", &newif), 0);
  EXPECT_EQ(ctl.control(abi::kReqValeNewif, "per0", &newif), EEXIST);
  abi::ValeAttach attach{};
  attach.reg.nr_mode = abi::kModeAllNic;
  EXPECT_EQ(ctl.control(abi::kReqValeAttach, "vale0:per0", &attach), 0);
  EXPECT_EQ(ctl.control(abi::kReqValeAttach, "vale0:per0", &attach), EBUSY);
  EXPECT_EQ(ctl.control(abi::kReqValeDelif, "per0", nullptr), EBUSY);
  {
    Program a("vale0:per0"), b("vale0:eph");
    ASSERT_EQ(a.error(), 0);
    b.put(-1, 1, "hi");
    b.sync_tx();
    EXPECT_EQ(a.get(), "hi");
    Program same("per0");
    EXPECT_EQ(same.request.nr_mem_id, a.request.nr_mem_id);
  }
  abi::ValeDetach detach{};
  EXPECT_EQ(ctl.control(abi::kReqValeDetach, "vale0:per0", &detach), 0);
  EXPECT_EQ(ctl.control(abi::kReqValeDelif, "per0", nullptr), 0);
  EXPECT_EQ(ctl.control(abi::kReqValeDelif, "per0", nullptr), ENXIO);
}

TEST(Pipe, BuffersTravelAndComeBack) {
  Program a("x{1"), b("x}1");
  ASSERT_EQ(a.error(), 0);
  ASSERT_EQ(b.error(), 0);
  EXPECT_EQ(a.request.nr_mem_id, b.request.nr_mem_id);
  const std::uint32_t sent = a.tx().slots()[0].buf_idx;
  a.put(1, 2, "payload");
  a.tx().slots()[0].ptr = 77;
  a.sync_tx();
  EXPECT_NE((a.tx().tail + 1) % 1024, a.tx().head);
  EXPECT_EQ(b.get(), "payload");
  EXPECT_EQ(b.last.buf_idx, sent);
  EXPECT_EQ(b.last.ptr, 77U);
  b.rx().slots()[0].ptr = 78;
  b.rx().slots()[0].flags = abi::kBufChanged;
  b.sync_rx();
  a.sync_tx();
  EXPECT_EQ((a.tx().tail + 1) % 1024, a.tx().head);
  EXPECT_EQ(a.tx().slots()[0].ptr, 78U);
  EXPECT_EQ(a.tx().slots()[0].flags, abi::kBufChanged);
}

TEST(Pipe, SenderWaitsForTheReceiver) {
  Program a("x{1"), b("x}1");
  for (int i = 0; i < 1023; ++i) a.put(1, 2, "x");
  EXPECT_EQ(a.poll(POLLOUT, 0), 0);
  EXPECT_EQ(b.get(), "x");
  b.sync_rx();
  EXPECT_EQ(a.poll(POLLOUT, 1000), POLLOUT);
}

TEST(Pipe, IncompletePacket_IsNotShown) {
  Program a("x{1"), b("x}1");
  a.put(1, 2, "one", abi::kMoreFrag);
  a.sync_tx();
  EXPECT_EQ(b.get(), "-");
  a.put(1, 2, "two");
  a.sync_tx();
  EXPECT_EQ(b.get(), "one");
  EXPECT_EQ(b.get(), "two");
}

TEST(Pipe, WhatWasSentBeforeTheOtherEndOpened_IsFound) {
  Program a("x{1");
  a.put(1, 2, "early");
  a.sync_tx();
  Program b("x}1");
  EXPECT_EQ(b.get(), "early");
  b.close();
  Program again("x}1");
  EXPECT_EQ(again.get(), "-");
}

TEST(Null, MapsExistingMemoryOnly) {
  Program p;
  p.request.nr_mode = abi::kModeNull;
  EXPECT_EQ(p.bind("anything"), EINVAL);
  p.request.nr_mem_id = 1;
  EXPECT_EQ(p.bind("anything"), 0);
  EXPECT_EQ(p.request.nr_memsize, 343019520U);
  EXPECT_EQ(p.sync_tx(), 0);
}

}  // namespace
}  // namespace ringway::netmap::testing
