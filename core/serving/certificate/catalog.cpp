#include "evercert/catalog.h"

#include <openssl/sha.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <mutex>
#include <utility>

#include "evercert/leader_file.h"
#include "serving/base/limits.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/bundle.h"
#include "serving/certificate/served_pairs.h"

namespace evercert {

namespace {

constexpr std::chrono::seconds retry_after{1};
constexpr unsigned previous_attempts = 4;

using Served = std::shared_ptr<const ServedCertificate>;
using SteadyTime = std::chrono::steady_clock::time_point;

}  // namespace

class Catalog::Content {
 public:
  Content(Board board, StateReader state, SealKey serving, std::unique_ptr<ReportPage> report, std::size_t capacity,
          Logger& log)
      : board_(std::move(board)),
        state_(std::move(state)),
        serving_(std::move(serving)),
        report_(std::move(report)),
        capacity_(capacity == 0 ? 1 : capacity),
        log_(log) {}

  void know(CertificateSlot slot, const std::string& certificate, std::uint64_t reached) {
    const std::lock_guard guard(mutex_);
    names_[slot] = {certificate, reached};
  }

  Served find(CertificateSlot slot) {
    const std::uint64_t wanted = board_.generation(slot);
    Served present;
    std::string name;
    std::uint64_t reached = 0;
    std::uint64_t reported = 0;
    {
      const std::lock_guard guard(mutex_);
      const auto known = names_.find(slot);
      if (known == names_.end()) return nullptr;
      Entry& entry = touch(slot);
      present = entry.served;
      if (wanted == 0 ? entry.looked : present && present->generation() >= wanted) return present;
      const bool waits = entry.failed_generation == wanted && std::chrono::steady_clock::now() < entry.retry_at;
      // While another thread loads, what is there is good enough; only who has nothing loads beside it.
      if (waits || (entry.loading && present)) return present;
      entry.loading = true;
      name = known->second.name;
      reached = known->second.reached;
      reported = entry.reported_generation;
    }
    Loaded loaded;
    try {
      loaded = load(name, wanted, present == nullptr, reported != wanted);
      // The agent, once it runs, tells what it puts on the board.
      const std::uint64_t found = loaded.served ? loaded.served->generation() : 0;
      if (wanted == 0 && found < reached && (loaded.served || loaded.nothing_there))
        log_.write(LogLevel::error, "evercert: " + older_generation_sentence(name, found, reached));
    } catch (...) {
      keep(slot, wanted, {});  // out of memory: whoever comes after the pause may try again
      throw;
    }
    return keep(slot, wanted, std::move(loaded));
  }

  const Board& board() const { return board_; }

  ReportPage* report() const { return report_.get(); }

 private:
  struct Entry {
    Served served;
    std::uint64_t failed_generation = 0;
    std::uint64_t reported_generation = 0;  // the failure of which is in the log already
    SteadyTime retry_at;
    bool loading = false;
    bool looked = false;  // at the disk, while the board knew of no generation
    std::list<CertificateSlot>::iterator position;
  };

  struct Loaded {
    Served served;
    bool is_wanted = false;
    bool nothing_there = false;
  };

  // The entry of a slot, moved to the front. The least recently used ones go; connections keep what they hold.
  Entry& touch(CertificateSlot slot) {
    const auto [found, fresh] = entries_.try_emplace(slot);
    if (fresh) {
      recent_.push_front(slot);
      found->second.position = recent_.begin();
      while (entries_.size() > capacity_) {
        entries_.erase(recent_.back());
        recent_.pop_back();
      }
    } else {
      recent_.splice(recent_.begin(), recent_, found->second.position);
    }
    return found->second;
  }

  Served keep(CertificateSlot slot, std::uint64_t wanted, Loaded loaded) {
    const std::lock_guard guard(mutex_);
    Entry& entry = touch(slot);
    entry.loading = false;
    entry.looked = true;
    // Another thread may have loaded a newer one in the meantime.
    if (loaded.served && (!entry.served || entry.served->generation() < loaded.served->generation())) {
      entry.served = std::move(loaded.served);
      if (report_) report_->loaded(slot, entry.served->generation());
    }
    if (!loaded.is_wanted && wanted != 0) {
      entry.failed_generation = wanted;
      entry.reported_generation = wanted;
      entry.retry_at = std::chrono::steady_clock::now() + retry_after;
    }
    return entry.served;
  }

  Loaded load(const std::string& name, std::uint64_t wanted, bool needs_any, bool tell) {
    const CleanErrorQueue clean;
    if (wanted == 0) return load_newest(name);
    auto served = load_generation(name, wanted);
    if (served) return {std::move(*served), true};
    if (tell)
      log_.write(LogLevel::error, "evercert: cannot load generation " + std::to_string(wanted) + ": " + served.error().message +
                                      (needs_any ? "; trying others on disk" : "; the one in memory is served on") +
                                      " certificate=\"" + name + "\"");
    if (!needs_any) return {};
    return {load_other(name, wanted, tell), false};
  }

  Loaded load_newest(const std::string& name) {
    const auto generations = generations_of(state_, name);
    if (!generations || generations->empty()) return {nullptr, false, generations.has_value()};
    auto served = load_generation(name, generations->front());
    if (served) return {std::move(*served)};
    log_.write(LogLevel::error, "evercert: cannot load generation " + std::to_string(generations->front()) + ": " +
                                    served.error().message + "; trying others on disk certificate=\"" + name + "\"");
    return {load_other(name, generations->front(), true)};
  }

  Served load_other(const std::string& name, std::uint64_t wanted, bool tell) {
    const auto generations = generations_of(state_, name);
    if (!generations) return nullptr;
    unsigned attempts = 0;
    for (const std::uint64_t generation : *generations) {
      if (generation == wanted) continue;
      if (++attempts > previous_attempts) break;
      auto served = load_generation(name, generation);
      if (!served) continue;
      if (tell)
        log_.write(LogLevel::warn, "evercert: generation " + std::to_string(generation) + " is served instead of generation " +
                                       std::to_string(wanted) + " certificate=\"" + name + "\"");
      return std::move(*served);
    }
    return nullptr;
  }

  Result<Served> load_generation(const std::string& name, std::uint64_t generation) {
    auto file = read_bundle(state_, serving_, name, generation);
    if (!file) return file.error();
    if (!*file) return Error{ErrorKind::storage, "its bundle is missing"};
    auto bundle = open_bundle(serving_, name, generation, **file);
    if (!bundle) return bundle.error();
    return parse_bundle(*bundle, chains_);
  }

  const Board board_;
  const StateReader state_;
  const SealKey serving_;
  const std::unique_ptr<ReportPage> report_;
  const std::size_t capacity_;
  Logger& log_;
  ChainPool chains_;

  std::mutex mutex_;  // never held while something is read or parsed
  struct Known {
    std::string name;
    std::uint64_t reached = 0;
  };
  std::unordered_map<CertificateSlot, Known> names_;
  std::unordered_map<CertificateSlot, Entry> entries_;
  std::list<CertificateSlot> recent_;
};

Catalog::Catalog(Board board, StateReader state, SealKey serving, std::unique_ptr<ReportPage> report, std::size_t capacity,
                 Logger& log)
    : content_(std::make_unique<Content>(std::move(board), std::move(state), std::move(serving), std::move(report), capacity,
                                         log)) {}

Catalog::~Catalog() = default;

void Catalog::know(CertificateSlot slot, const std::string& certificate, std::uint64_t reached) {
  content_->know(slot, certificate, reached);
}

bool Catalog::has(CertificateSlot slot) {
  return content_->board().generation(slot) != 0 || content_->find(slot) != nullptr;
}

std::shared_ptr<const ServedCertificate> Catalog::find(CertificateSlot slot) {
  return content_->find(slot);
}

const Board& Catalog::board() const {
  return content_->board();
}

std::optional<std::string> Catalog::answer_http(std::string_view host, std::string_view path, int wake) {
  return answer_http_challenge(content_->board(), content_->report(), wake, host, path);
}

std::optional<std::string> Catalog::answer(ChallengeKind kind, std::string_view token, int wake) {
  return answer_challenge(content_->board(), content_->report(), wake, kind, token);
}

std::array<unsigned char, 32> session_context(std::string_view certificate_name) {
  const std::string text = "evercert session context 1\n" + std::string(certificate_name);
  std::array<unsigned char, 32> digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

}  // namespace evercert
