#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "mem/frame_pool.h"
#include "port/port.h"
#include "port/spec.h"

namespace ringway::driver {

/// "pcap:FILE,pace=off,mtu=9000"
struct ReplayOptions {
  std::string path;
  bool pace = true;  ///< frames come at the times of the file, counted from the first advance();
                     ///< else at once
  std::uint16_t mtu = 1500;  ///< longer frames of the file are left out and counted

  static base::Result<ReplayOptions> parse(const port::Spec& spec);
};

/// A port that receives the frames of a capture file (any format that libpcap reads, Ethernet
/// only), and sends into nothing. Virtual time; arm() is not to be had. Frames that the file holds
/// only in part count as rx_bad.
base::Result<std::unique_ptr<port::Port>> open_replay(const ReplayOptions& options,
                                                      mem::FramePool& pool);

}  // namespace ringway::driver
