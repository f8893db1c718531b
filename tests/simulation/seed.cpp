// What a seed's world is made of.
#include <sys/mman.h>

#include <algorithm>

#include "evercert/lines.h"
#include "simulation/world.h"

namespace evercert::simulation {

void World::choose() {
  machine_ = std::make_unique<Machine>(
      Machine{times_, clock_, history_, medium_, {}, Descriptor(memfd_create("leader", MFD_CLOEXEC)), {}, {}, {}});
  machine_->keys.serving = {"0011223344556677", Secret(Bytes(32, 1))};
  machine_->keys.agent = {"0011223344556677", Secret(Bytes(32, 2))};
  machine_->key_provider = std::make_shared<SimulatedKeys>(!dice_.once_in(8), 8 + dice_.below(400));
  machine_->random = [this] { return dice_.share(); };
  machine_->make_issuer = [this](const IssuerSpec& spec) -> Result<std::unique_ptr<Issuer>> {
    for (auto& ca : cas_)
      if (ca->spec().uri == spec.uri) return ca->issuer(spec);
    return Error{ErrorKind::configuration, "there is no such CA"};
  };

  const std::vector<hours> lifetimes{day * 90, day * 90, day * 90, day * 47, day * 199, day * 398};
  const bool two = dice_.once_in(3);
  for (const char* name : {"ca", "other"}) {
    if (!two && name == std::string("other")) break;
    IssuerSpec spec;
    spec.name = name;
    spec.uri = "https://" + spec.name + ".test/directory";
    // Each of its certificates costs money.
    if (dice_.once_in(5)) spec.type = "certinext";
    spec.max_orders = 1 + static_cast<unsigned>(dice_.below(4));
    cas_.push_back(std::make_unique<Ca>(spec, world_of_cas()));
    cas_.back()->lifetime = dice_.of(lifetimes);
  }

  hosts_.push_back(std::make_unique<Host>("nginx", *machine_, plan_of_seed()));
  for (auto& host : hosts_) {
    host->told = [this](Host& whose, const Event& event) {
      history_.add(whose.name, event.name, [&] {
        std::string text = event.certificate + ": " + event.sentence;
        for (const auto& [field, value] : event.fields)
          if (field == "retry_at") text += " (next at " + value + ")";
        return text;
      });
      rules_.told(whose, event);
    };
  }

  for (bool Troubles::*each : {&Troubles::weather, &Troubles::kills, &Troubles::full_disks, &Troubles::clock_jumps,
                               &Troubles::verbs, &Troubles::freezes, &Troubles::edits, &Troubles::foreign_files})
    troubles_.*each = dice_.once_in(3);
  troubles_.weather = troubles_.weather || dice_.once_in(2);
  trouble();
  at(end_ - calm, [this] { clear_up(); });
  chores_every_ = dice_.once_in(8) ? day : day * 7;
}

Ca::World World::world_of_cas() {
  return {times_,
          dice_,
          history_,
          [this](const std::string& action, bool after) { on_wire(action, after); },
          [this](const Identifier&, const std::string& token) -> std::optional<std::string> {
            for (auto& host : hosts_)
              if (auto answer = answer_challenge(*host->board, host->report.get(), -1, ChallengeKind::http_01, token))
                return answer;
            return std::nullopt;
          },
          [this](const Ca& ca, const std::string& action, const CaOrder* order) { rules_.asked(ca, action, order); },
          [this](const Ca& ca, const Wanted& wanted) { rules_.placed(ca, wanted); },
          [this](const Ca& ca, const std::string& action, const CaOrder* order, const Error& error) {
            rules_.refused(ca, action, order, error);
          },
          [this](const Ca& ca, const std::string& name) { rules_.not_validated(ca, name); }};
}

std::shared_ptr<const Plan> World::plan_of_seed() {
  Plan plan;
  plan.server = "nginx/1.22.1";
  std::vector<std::string> issuers;
  for (auto& ca : cas_) {
    plan.issuers.push_back(ca->spec());
    issuers.push_back(ca->spec().name);
  }
  const std::vector<std::vector<std::string>> names{{"a.test", "www.a.test"}, {"b.test"}, {"c.test", "d.test", "www.c.test"}};
  const std::size_t count = dice_.once_in(3) ? 1 + dice_.below(3) : 1;
  for (std::size_t i = 0; i < count; ++i) {
    CertificateSpec certificate;
    certificate.name = names[i].front();
    for (const auto& name : names[i]) certificate.identifiers.push_back({IdentifierKind::dns, name});
    certificate.issuers = issuers;
    if (issuers.size() > 1 && dice_.once_in(3)) certificate.issuers = {issuers[dice_.below(2)]};
    certificate.keys = {{KeyAlgorithm::ecdsa, 256}};
    if (dice_.once_in(12)) certificate.keys.push_back({KeyAlgorithm::rsa, 2048});
    certificate.proof = false;
    plan.certificates.push_back(certificate);
  }
  return with_lines(std::move(plan));
}

std::shared_ptr<const Plan> World::with_lines(Plan plan) {
  Settings settings;
  const auto stored = stored_lines(*medium_.reader(), machine_->keys.serving, &plan);
  find_lines(plan, settings, stored.lines, times_.machine());
  return std::make_shared<const Plan>(std::move(plan));
}

}  // namespace evercert::simulation
