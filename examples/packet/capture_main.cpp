#include <cstdlib>
#include <ctime>

#include "forward.h"

// Writes what a port receives into a pcap file: rw-example-capture vale0:c FILE [COUNT].

namespace {

struct FileHeader {
  std::uint32_t magic = 0xa1b23c4d;  // times in nanoseconds
  std::uint16_t version = 2, minor_version = 4;
  std::uint32_t zone = 0, accuracy = 0, snap_length = 65535, link_type = 1;
};

struct FrameHeader {
  std::uint32_t seconds, nanoseconds, captured, length;
};

bool write_frame(std::FILE* file, std::span<const std::byte> frame) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const auto length = static_cast<std::uint32_t>(frame.size());
  const FrameHeader header{static_cast<std::uint32_t>(now.tv_sec),
                           static_cast<std::uint32_t>(now.tv_nsec), length, length};
  return std::fwrite(&header, sizeof header, 1, file) == 1 &&
         (length == 0 || std::fwrite(frame.data(), length, 1, file) == 1);
}

/// Writes at most `most` frames; how many, or -1 if the file takes no more.
long capture(Port& port, std::FILE* file, long most) {
  Ring& in = port.rx();
  const auto count = static_cast<std::uint32_t>(std::min<long>(in.available(), most));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!write_frame(file, in.frame(in[i]))) return -1;
  }
  in.advance(count);
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: %s PORT FILE [COUNT]\n", argv[0]);
    return 2;
  }
  stop_by_signal();
  const auto port = open_or_tell(argv[1]);
  if (port == nullptr) return 1;
  std::FILE* file = std::fopen(argv[2], "wb");
  const FileHeader header;
  if (file == nullptr || std::fwrite(&header, sizeof header, 1, file) != 1) {
    std::perror(argv[2]);
    return 1;
  }
  std::printf("capturing from %s\n", argv[1]);
  std::fflush(stdout);
  long left = argc == 4 ? std::atol(argv[3]) : 1L << 62;
  Port* const waited[] = {port.get()};
  while (stopped == 0 && left > 0) {
    Port::wait(waited, 200);
    const long written = capture(*port, file, left);
    if (written < 0) break;
    left -= written;
  }
  const bool good = std::fclose(file) == 0;
  if (!good) std::perror(argv[2]);
  return good ? 0 : 1;
}
