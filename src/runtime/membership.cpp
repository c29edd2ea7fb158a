// Joining the network and leaving it.

#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "control/client/connect.h"
#include "control/proto/runtime_dir.h"
#include "ring/barrier.h"
#include "runtime/impl.h"

namespace ringway::runtime {

base::UniqueFd high_fd(base::UniqueFd fd) {
  if (!fd) return fd;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto floor = std::min<rlim_t>(limit.rlim_cur - limit.rlim_cur / 4, 8192);
  base::UniqueFd moved(base::sys::fcntl(fd.get(), F_DUPFD_CLOEXEC, static_cast<long>(floor)));
  return moved ? std::move(moved) : std::move(fd);
}

Impl::Impl(Options options) : options_(std::move(options)) {
  // Programs clear their environment, change their user and their root: what is found out from
  // these, now.
  options_.directory = control::proto::runtime_directory(options_.directory);
  if (options_.daemon_path.empty()) options_.daemon_path = control::find_daemon();
}

Impl::~Impl() { keeper_.stop(); }

control::Client* Impl::client() {
  if (client_) return &*client_;
  const base::Instant now = clock_now();
  if (now < client_retry_) return nullptr;
  auto made = control::Client::connect({.network = options_.network,
                                        .host = options_.host,
                                        .program = options_.program,
                                        .directory = options_.directory,
                                        .daemon_path = options_.daemon_path,
                                        .spawn = true});
  if (!made) {
    join_error_ = made.error();
    client_retry_ = now + base::Duration::seconds(1);
    return nullptr;
  }
  client_.emplace(std::move(*made));
  replace_table(base::UniqueFd(base::sys::fcntl(client_->table_fd(), F_DUPFD_CLOEXEC, 0)));
  return &*client_;
}

control::Client* Impl::client_for(LocalStack& local) {
  control::Client* c = client();
  if (c == nullptr || local.joined) return c;
  if (!c->join_stack(local.id, local.stack->arena().fd())) return nullptr;
  local.joined = true;
  return c;
}

void Impl::replace_table(base::UniqueFd fd) {
  auto table = steering::Table::attach(fd.get());
  if (!table) return;
  tables_.push_back(std::make_unique<const steering::Table>(std::move(*table)));
  table_.store(tables_.back().get(), std::memory_order_release);
}

base::Result<LocalStack*> Impl::own() {
  if (LocalStack* local = own_.load(std::memory_order_acquire)) [[likely]]
    return local;
  const std::lock_guard guard(setup_mutex_);
  if (LocalStack* local = own_.load(std::memory_order_acquire)) return local;
  if (left_) return base::fail(base::ErrorCode::kUnavailable, "this program has left its network");
  return make_own();
}

base::Result<LocalStack*> Impl::make_own() {
  const ControlScope control(*this);
  const std::uint32_t number = arena_count_.load(std::memory_order_relaxed);
  if (number == kMaxArenas) {
    return base::fail(base::ErrorCode::kExhausted,
                      "too many generations of forks hold sockets here");
  }
  control::Client* c = client();
  if (c == nullptr) return tl::unexpected(join_error_);
  ring::AsymmetricBarrier::enrol();
  auto made = make_stack(c->membership().host);
  if (!made) return tl::unexpected(made.error());
  std::unique_ptr<LocalStack> local = std::move(*made);
  if (auto opened = open_device(*local); !opened) {
    join_error_ = opened.error();
    return tl::unexpected(opened.error());
  }
  const auto id = c->register_stack({.arena = local->stack->arena().fd(),
                                     .mailbox = local->mailbox_fd.get(),
                                     .doorbell = local->doorbell.get(),
                                     .life = local->life_read.get()});
  if (!id) return tl::unexpected(id.error());
  local->id = *id;
  local->state().id = *id;
  local->number = number;
  local->holder = 0;
  local->holder_bit = 1;
  local->own = true;
  local->joined = true;
  local->state().holders[0] = {static_cast<std::uint32_t>(getpid()), 1};
  arenas_[number] = std::move(local);
  arena_count_.store(number + 1, std::memory_order_release);
  own_.store(arenas_[number].get(), std::memory_order_release);
  start_keeper();
  return arenas_[number].get();
}

base::Result<std::unique_ptr<LocalStack>> Impl::make_stack(const steering::Host& host) {
  auto local = std::make_unique<LocalStack>();
  auto mailbox_fd = driver::MailboxMemory::create();
  if (!mailbox_fd) return tl::unexpected(mailbox_fd.error());
  local->mailbox_fd = high_fd(base::UniqueFd(*mailbox_fd));
  auto mailbox = driver::MailboxMemory::map(local->mailbox_fd.get());
  if (!mailbox) return tl::unexpected(mailbox.error());
  local->mailbox = std::move(*mailbox);
  local->doorbell = high_fd(base::UniqueFd(base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  int life[2] = {-1, -1};
  if (base::sys::pipe2(life, O_CLOEXEC) != 0) return base::fail_errno("no pipe could be made");
  local->life_read = high_fd(base::UniqueFd(life[0]));
  local->life_write = high_fd(base::UniqueFd(life[1]));

  stack::StackConfig config;
  config.address_v4 = host.ipv4;
  config.address_v6 = host.ipv6;
  config.mac = host.mac;
  config.program = options_.program;
  getrandom(&config.seed, sizeof config.seed, 0);
  getrandom(config.secret.data(), sizeof config.secret, 0);
  auto stack = stack::Stack::create(config);
  if (!stack) return tl::unexpected(stack.error());
  local->stack = std::move(*stack);
  local->sockets = std::make_unique<socket::Sockets>(*local->stack);
  local->stack->set_mailbox(local->mailbox.get());
  return local;
}

LocalStack* Impl::find_arena(steering::StackId id) {
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    if (arenas_[i]->id == id) return arenas_[i].get();
  }
  return nullptr;
}

namespace {

bool is_passed_on(stack::StackState& state) {
  auto& sockets = state.sockets.sockets;
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    if (sockets[i].kind != stack::SocketKind::kFree && sockets[i].passing != 0) return true;
  }
  return false;
}

}  // namespace

void Impl::leave_queues() {
  std::vector<Clone> clones;
  {
    const std::lock_guard guard(clones_mutex_);
    for (const auto& clone : clones_) clones.push_back(*clone);
  }
  for (const Clone& clone : clones) leave_queue(clone.inherited, clone.own);
}

void Impl::leave() {
  {
    const std::lock_guard setup(setup_mutex_);
    if (left_) return;
    left_ = true;
  }
  // Unlocked: the keeper may be about to take the mutex, for a child that has just died.
  keeper_.stop();
  leave_queues();
  const std::lock_guard setup(setup_mutex_);
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = *arenas_[i];
    bool last = true;
    if (local.joined) withdraw_all(local);
    {
      Entry entry(local);
      stack::StackState& state = local.state();
      drop_holds(local, local.holder_bit, entry.now());
      entry.turn();
      if (local.holder < stack::kMaxHolders) state.holders[local.holder] = {};
      for (const stack::Holder& holder : state.holders) last = last && holder.used == 0;
      last = last && !is_passed_on(state);
    }
    const bool owes = linger(local, last);
    // What is still to be sent is handed over: without a word of ours, the end of the last holder
    // makes ringwayd start a reaper.
    if (last && !owes) {
      const ControlScope control(*this);
      if (client_) static_cast<void>(client_->close_stack(local.id));
    }
  }
}

void Impl::lease_again() {
  // The old table is lost; what this process listens on is its own to say.
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = *arenas_[i];
    if (!local.own) continue;
    for (const auto& [key, flags] : leases_of(local)) {
      static_cast<void>(client_->lease_listen(local.id, key, flags));
    }
  }
}

bool Impl::linger(LocalStack& local, bool last) {
  // What a full ring did not take leaves within moments: the peer reads. Behind a gateway the
  // other side mostly answers a FIN within moments too; only if it does not is a reaper needed.
  const base::Instant begin = clock_now();
  const base::Instant end = begin + base::Duration::milliseconds(200);
  const base::Instant patience = begin + base::Duration::milliseconds(20);
  for (;;) {
    bool owes = false;
    {
      Entry entry(local);
      entry.turn();
      owes = last && local.stack->owes();
      const bool sent = !entry.tcp().blocked() && !entry.tcp().has_output();
      if (sent && (!owes || entry.now() >= patience)) return owes;
    }
    if (clock_now() >= end) return owes;
    const timespec pause{0, 200'000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace ringway::runtime
