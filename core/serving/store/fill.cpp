// What a starter puts on the board before it forks. Opening a bundle authenticates every byte that publish_bundle() proved
// before sealing it, so the proof (signatures) is not repeated here: 10,000 of them would hold up the start for seconds.
#include <string>

#include "evercert/state.h"
#include "serving/publish/bundle.h"

namespace evercert {
namespace {

// A lost seal key locks all bundles at once; the log gets a few lines and a sum, not one line for each.
class Reports {
 public:
  explicit Reports(Logger& log) : log_(log) {}

  void tell(LogLevel level, const std::string& certificate, const std::string& sentence) {
    if (++told_ > most_lines) return;
    log_.write(level, sentence + " certificate=\"" + certificate + "\"");
  }
  void finish() {
    if (told_ > most_lines) log_.write(LogLevel::error, std::to_string(told_ - most_lines) + " more bundles could not be used");
  }

 private:
  static constexpr std::size_t most_lines = 20;
  Logger& log_;
  std::size_t told_ = 0;
};

// The newest generation that opens, 0 when none does.
std::uint64_t usable_generation(const StateReader& state, const SealKey& serving, const std::string& certificate,
                                Reports& reports) {
  const auto generations = generations_of(state, certificate);
  if (!generations) {
    reports.tell(LogLevel::error, certificate, generations.error().message);
    return 0;
  }
  for (const std::uint64_t generation : *generations) {
    const auto file = state.read(bundle_path(certificate, generation));
    if (file && !*file) continue;  // the agent removed it since
    const auto bundle = file ? open_bundle(serving, certificate, generation, **file) : Result<Bundle>(file.error());
    if (bundle) return generation;
    const bool for_people = bundle.error().kind == ErrorKind::action_required;
    reports.tell(for_people ? LogLevel::error : LogLevel::warn, certificate,
                 bundle.error().message + (for_people ? "; action required" : "; the generation before it is used"));
  }
  return 0;
}

}  // namespace

void fill_board(Board& board, const StateReader& state, const SealKey& serving, const Plan& plan, Logger& log) {
  Reports reports(log);
  for (const CertificateSpec& certificate : plan.certificates) {
    const std::uint64_t generation = usable_generation(state, serving, certificate.name, reports);
    const auto slot = board.add(certificate.name);
    if (!slot) {
      reports.tell(LogLevel::error, certificate.name, slot.error().message);
    } else if (generation > 0) {
      board.publish(*slot, generation);
    }
  }
  reports.finish();
}

}  // namespace evercert
