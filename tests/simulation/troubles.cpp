// What a seed's world is made of, and what goes wrong in it.
#include <sys/mman.h>

#include <algorithm>

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
      if (ca->spec().name == spec.name) return ca->issuer(spec);
    return Error{ErrorKind::configuration, "there is no such CA"};
  };

  Ca::World world{times_,
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
                  }};
  IssuerSpec spec;
  spec.name = "ca";
  spec.uri = "https://ca.test/directory";
  cas_.push_back(std::make_unique<Ca>(spec, world));
  const std::vector<hours> lifetimes{day * 90, day * 90, day * 47, day * 199, day * 398};
  cas_.front()->lifetime = dice_.of(lifetimes);

  hosts_.push_back(std::make_unique<Host>("nginx", *machine_, plan_of_seed()));
  for (auto& host : hosts_) {
    host->told = [this](Host& whose, const Event& event) {
      history_.add(whose.name, event.name, [&] { return event.certificate + ": " + event.sentence; });
      rules_.told(whose, event);
    };
  }

  const auto some = [this](unsigned often) { return dice_.once_in(2) ? often : 0U; };
  troubles_.weather = some(2);
  troubles_.kills = some(2);
  trouble();
  at(end_ - calm, [this] { clear_up(); });
  chores_every_ = dice_.once_in(8) ? day : day * 7;
}

std::shared_ptr<const Plan> World::plan_of_seed() {
  auto plan = std::make_shared<Plan>();
  plan->server = "nginx/1.22.1";
  for (auto& ca : cas_) plan->issuers.push_back(ca->spec());
  CertificateSpec certificate;
  certificate.name = "www.a.test";
  certificate.identifiers = {{IdentifierKind::dns, "www.a.test"}};
  certificate.issuers = {"ca"};
  certificate.keys = {{KeyAlgorithm::ecdsa, 256}};
  certificate.proof = false;
  plan->certificates.push_back(certificate);
  return plan;
}

// The next thing that goes wrong whatever the agents do just then.
void World::trouble() {
  if (times_.now >= end_ - calm) return;
  if (troubles_.kills != 0 && dice_.once_in(troubles_.kills)) {
    fatal_in_ = 1 + static_cast<unsigned>(dice_.below(40));
    power_fails_ = dice_.once_in(3);
  }
  at(times_.now + dice_.between(hours(1), day * 60), [this] { trouble(); });
}

void World::bad_weather() {
  Ca& ca = *dice_.of(std::vector<Ca*>{cas_.front().get()});
  Weather& weather = ca.weather;
  const unsigned often = 1 + static_cast<unsigned>(dice_.below(6));
  const std::size_t which = dice_.below(13);
  switch (which) {
    case 0:
      weather.down = true;
      break;
    case 1:
      weather.lost_requests = often;
      break;
    case 2:
      weather.lost_answers = often;
      break;
    case 3:
      weather.refusals = often;
      break;
    case 4:
      weather.limits = often;
      break;
    case 5:
      weather.stale = often;
      break;
    case 6:
      weather.odd_waits = often;
      break;
    case 7:
      weather.failing = often;
      break;
    case 8:
      weather.forgets = often * 3;
      break;
    case 9:
      weather.people = often;
      break;
    case 10:
      weather.bad = often;
      break;
    case 11:
      weather.never_ready = true;
      break;
    default:
      weather.slow = dice_.between(minutes(1), day * 2);
  }
  history_.add(ca.spec().name, "has bad weather", [&] { return "of kind " + std::to_string(which); });
  at(times_.now + dice_.between(minutes(5), day * 20), [this, &ca] {
    ca.weather = {};
    history_.add(ca.spec().name, "has fine weather");
  });
}

void World::clear_up() {
  calm_ = true;
  history_.add("the world", "is calm");
  for (auto& ca : cas_) ca->weather = {};
  fatal_in_ = 0;
  power_fails_ = disk_full_ = false;
  disk_fails_ = 0;
}

}  // namespace evercert::simulation
