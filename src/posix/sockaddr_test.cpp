#include "posix/sockaddr.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

namespace ringway::posix {
namespace {

struct Room {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

TEST(SockaddrTest, BothFamilies_ComeBackAsTheyWent) {
  for (const auto& [domain, text] : {std::pair{AF_INET, "10.1.2.3"}, std::pair{AF_INET6, "fd00::7"},
                                     std::pair{AF_INET6, "::ffff:10.1.2.3"}}) {
    const base::Endpoint endpoint{*base::parse_ip(text), 4711};
    Room room;
    write_address(domain, endpoint, room.get(), &room.length);
    base::Endpoint back;
    ASSERT_EQ(read_address(domain, room.get(), room.length, &back), 0) << text;
    EXPECT_EQ(back, endpoint) << text;
  }
}

TEST(SockaddrTest, ShortOrForeignAddresses_AreRefused) {
  Room room;
  write_address(AF_INET, {base::IpAddress::loopback_v4(), 1}, room.get(), &room.length);
  base::Endpoint out;
  EXPECT_EQ(read_address(AF_INET, room.get(), 15, &out), -EINVAL);
  EXPECT_EQ(read_address(AF_INET, room.get(), 1, &out), -EINVAL);
  EXPECT_EQ(read_address(AF_INET6, room.get(), 28, &out), -EAFNOSUPPORT);
  EXPECT_EQ(read_address(AF_INET, nullptr, 16, &out), -EFAULT);
}

TEST(SockaddrTest, AddressWithoutScope_IsRead) {
  Room room;
  write_address(AF_INET6, {base::IpAddress::loopback_v6(), 5}, room.get(), &room.length);
  base::Endpoint out;
  EXPECT_EQ(read_address(AF_INET6, room.get(), 24, &out), 0);
  EXPECT_EQ(read_address(AF_INET6, room.get(), 23, &out), -EINVAL);
}

TEST(SockaddrTest, LittleRoom_GetsTheBeginningAndTheFullLength) {
  Room room;
  room.length = 4;
  write_address(AF_INET, {base::IpAddress::loopback_v4(), 0x1234}, room.get(), &room.length);
  EXPECT_EQ(room.length, sizeof(sockaddr_in));
  sockaddr_in in{};
  std::memcpy(&in, &room.storage, sizeof in);
  EXPECT_EQ(ntohs(in.sin_port), 0x1234);
  EXPECT_EQ(in.sin_addr.s_addr, 0U) << "beyond the room";
}

TEST(SockaddrTest, WildcardOfADualStackSocket_IsIpv6s) {
  Room room;
  write_address(AF_INET6, {base::IpAddress::any_v4(), 1}, room.get(), &room.length);
  sockaddr_in6 in6{};
  std::memcpy(&in6, &room.storage, sizeof in6);
  EXPECT_TRUE(IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr));
}

}  // namespace
}  // namespace ringway::posix
