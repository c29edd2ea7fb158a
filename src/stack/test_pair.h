#pragma once

#include <cstdlib>
#include <memory>
#include <utility>

#include "base/unique_fd.h"
#include "ring/barrier.h"
#include "stack/stack.h"

namespace ringway::stack {

/// Two stacks joined by one link, in one process and in virtual time.
class StackPair {
 public:
  struct End {
    std::unique_ptr<Stack> stack;
    driver::MailboxMemory mailbox;
    base::UniqueFd mailbox_fd;
    std::uint16_t link = Stack::kNoLink;
  };

  StackPair() {
    a = make(1);
    b = make(2);
    const base::UniqueFd memory(*driver::LinkMemory::create());
    join(a, b, memory.get(), true);
    join(b, a, memory.get(), false);
    shared = std::move(*driver::LinkMemory::map(memory.get()));
  }

  static End make(std::uint16_t index) {
    End end;
    StackConfig config;
    config.id = {index, 1};
    config.address_v4 = base::IpAddress::v4(10, 0, 0, 1);
    config.address_v6 = *base::parse_ip("fd00::1");
    config.seed = index;
    config.program = "test";
    end.stack = std::move(*Stack::create(config));
    end.mailbox_fd = base::UniqueFd(*driver::MailboxMemory::create());
    end.mailbox = std::move(*driver::MailboxMemory::map(end.mailbox_fd.get()));
    end.stack->set_mailbox(end.mailbox.get());
    return end;
  }
  static void join(End& end, End& peer, int memory, bool made_here) {
    LinkParts parts{std::move(*driver::LinkMemory::map(memory)),
                    std::move(*driver::MailboxMemory::map(peer.mailbox_fd.get())),
                    base::UniqueFd(base::sys::eventfd(0, 0))};
    const auto link = end.stack->add_link({.parts = std::move(parts),
                                           .peer = peer.stack->state().id,
                                           .number = 1,
                                           .made_here = made_here});
    if (!link) std::abort();
    end.link = *link;
  }
  /// Turns both stacks until neither has anything to do.
  void run() {
    for (int i = 0; i < 1000; ++i) {
      const bool worked = a.stack->turn(now) | b.stack->turn(now);
      now = now + base::Duration::microseconds(1);
      for (Stack* stack : {a.stack.get(), b.stack.get()}) {
        tcp::Event event;
        while (stack->tcp().next_event(event)) {
        }
      }
      if (!worked && !a.stack->has_input() && !b.stack->has_input()) return;
    }
  }

  End a;
  End b;
  driver::LinkMemory shared;  ///< the link as a third party sees it
  base::Instant now{1'000'000};
};

}  // namespace ringway::stack
