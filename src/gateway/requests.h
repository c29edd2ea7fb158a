#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringway::gateway {

/// Where a running gateway is asked for more: a Unix socket in the runtime directory, one request
/// and one answer a connection, both text. The directory is the user's own.
class Requests {
 public:
  /// Listens for the network's gateway; takes the place of a socket that a dead one left.
  static base::Result<Requests> listen(std::string_view network);
  Requests() = default;
  Requests(Requests&&) = default;
  Requests& operator=(Requests&&) = default;
  /// Removes the socket.
  ~Requests();

  int fd() const { return socket_.get(); }
  /// Answers everybody who waits. `answer` gives the text, or an error's.
  void serve(const std::function<base::Result<std::string>(std::string_view)>& answer);

 private:
  base::UniqueFd socket_;
  base::UniqueFd directory_;
  std::string name_;
};

/// Asks the network's gateway. Errors: kNotFound if none runs, else what it says.
base::Result<std::string> request(std::string_view network, std::string_view text);

}  // namespace ringway::gateway
