#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "mem/frame_pool.h"
#include "port/port.h"
#include "port/spec.h"

namespace ringway::driver {

/// What a replay can be told.
inline constexpr std::array kReplayOptions{
    port::SpecOption{"pace", port::OptionKind::kFlag, 1, 0, 1, "keep the times of the file"},
    port::SpecOption{"speed", port::OptionKind::kFraction, 1'000'000, 1'000, 1'000'000'000,
                     "how much faster than in the file, 0.001 to 1000"},
    port::SpecOption{"loop", port::OptionKind::kCount, 1, 0, INT32_MAX,
                     "how often the file is replayed, 0: without end"},
    port::SpecOption{"out", port::OptionKind::kText, 0, 0, 0,
                     "file that what is sent goes into; pcapng if its name ends so"},
    port::SpecOption{"mtu", port::OptionKind::kCount, 1500, 576, 65521,
                     "largest IP packet, 576 to 65521"},
};

/// "pcap:FILE,speed=10,loop=0" or "pcap:,out=FILE.pcapng"
struct ReplayOptions {
  std::string path;  ///< empty: nothing is received
  bool pace = true;  ///< frames come at the times of the file, counted from the first advance();
                     ///< else at once
  std::int64_t speed_ppm = 1'000'000;  ///< 2'000'000: twice as fast as in the file
  std::uint32_t loops = 1;             ///< 0: without end
  std::string out;                     ///< what is sent is written there; empty: nowhere
  std::uint16_t mtu = 1500;            ///< longer frames of the file are left out and counted

  static base::Result<ReplayOptions> parse(const port::Spec& spec);
};

/// A port that receives the frames of a capture file (any format that libpcap reads, Ethernet
/// only), and sends into another file or nothing. A file that is replayed again goes on after a
/// pause as long as its last one. Virtual time; arm() is not to be had. Frames that the file holds
/// only in part count as rx_bad.
base::Result<std::unique_ptr<port::Port>> open_replay(const ReplayOptions& options,
                                                      mem::FramePool& pool);

}  // namespace ringway::driver
