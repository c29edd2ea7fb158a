#include <arpa/inet.h>

#include <array>
#include <fstream>
#include <sstream>
#include <vector>

#include "forward.h"
#include "headers.h"

// A firewall between two ports: rw-example-firewall vale0:in vale1:out RULES. A rule a line, the
// first that fits decides, what none fits passes; what is not IPv4 passes:
//
//   deny proto 17 to 10.0.0.0/8 port 53
//   allow from 10.1.0.0/16
//   deny

namespace {

struct Network {
  std::uint32_t address = 0, mask = 0;
  bool has(std::uint32_t other) const { return (other & mask) == address; }
};

struct Rule {
  bool allow = true;
  int protocol = -1, port = -1;
  Network from, to;
  bool fits(const Flow& flow) const {
    return (protocol < 0 || protocol == flow.protocol) && from.has(flow.source) &&
           to.has(flow.destination) && (port < 0 || port == flow.destination_port);
  }
};

bool parse_network(const std::string& text, Network* out) {
  const std::size_t slash = text.find('/');
  in_addr address{};
  int bits = 32;
  if (slash != std::string::npos && std::sscanf(text.c_str() + slash, "/%d", &bits) != 1)
    return false;
  if (bits < 0 || bits > 32) return false;
  if (inet_pton(AF_INET, text.substr(0, slash).c_str(), &address) != 1) return false;
  out->mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
  out->address = ntohl(address.s_addr) & out->mask;
  return true;
}

bool parse_rule(std::istringstream& words, Rule* rule) {
  std::string word;
  words >> word;
  if (word != "allow" && word != "deny") return false;
  rule->allow = word == "allow";
  std::string value;
  while (words >> word) {
    if (!(words >> value)) return false;
    bool good = false;
    if (word == "from") good = parse_network(value, &rule->from);
    if (word == "to") good = parse_network(value, &rule->to);
    if (word == "proto") good = std::sscanf(value.c_str(), "%d", &rule->protocol) == 1;
    if (word == "port") good = std::sscanf(value.c_str(), "%d", &rule->port) == 1;
    if (!good) return false;
  }
  return true;
}

bool read_rules(const char* path, std::vector<Rule>* rules) {
  std::ifstream file(path);
  if (!file) return std::perror(path), false;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    line = line.substr(0, line.find('#'));
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    std::istringstream words(line);
    if (!parse_rule(words, &rules->emplace_back())) {
      std::fprintf(stderr,
                   "%s:%d: expected allow or deny, then from NET, to NET, proto N, port N\n", path,
                   number);
      return false;
    }
  }
  return true;
}

bool allowed(const std::vector<Rule>& rules, std::span<const std::byte> frame) {
  const auto flow = flow_of(frame);
  if (!flow) return true;
  for (const Rule& rule : rules) {
    if (rule.fits(*flow)) return rule.allow;
  }
  return true;
}

void pass(Port& from, Port& to, const std::vector<Rule>& rules) {
  Ring& in = from.rx();
  Ring& out = to.tx();
  const std::uint32_t count = in.available();
  std::uint32_t done = 0;
  while (done < count) {
    const std::uint32_t pieces = pieces_of(in, done, count);
    const bool fits = pieces < out.size();  // else it never will
    if (fits && out.available() < pieces) break;
    const bool passes = fits && allowed(rules, in.frame(in[done]));
    for (const std::uint32_t end = done + pieces; done < end; ++done) {
      if (passes) move_frame(in, in[done], out, from.shares_memory(to));
    }
  }
  in.advance(done);
  to.send();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s PORT PORT RULES\n", argv[0]);
    return 2;
  }
  stop_by_signal();
  std::vector<Rule> rules;
  if (!read_rules(argv[3], &rules)) return 1;
  const auto a = open_or_tell(argv[1]);
  const auto b = a != nullptr ? open_or_tell(argv[2], a.get()) : nullptr;
  if (b == nullptr) return 1;
  std::printf("%zu rules between %s and %s\n", rules.size(), argv[1], argv[2]);
  std::fflush(stdout);
  const std::array<Port*, 2> both{a.get(), b.get()};
  while (stopped == 0) {
    Port::wait(both, 200);
    pass(*a, *b, rules);
    pass(*b, *a, rules);
  }
  return 0;
}
