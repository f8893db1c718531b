#include "simulation/rules.h"

#include <algorithm>

#include "serving/base/bounds.h"
#include "serving/certificate/bundle.h"
#include "simulation/world.h"

namespace evercert::simulation {
namespace {

// For one need at one CA, whatever it answers.
constexpr std::size_t requests_a_minute = 60;
constexpr std::size_t requests_an_hour = 300;
constexpr std::size_t validations_an_hour = 4;
// The longest pause of all, and what its spread adds.
constexpr hours longest_pause{27};

bool covers(const std::vector<Identifier>& names, const std::vector<Identifier>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(),
                     [&](const Identifier& one) { return std::find(names.begin(), names.end(), one) != names.end(); });
}

}  // namespace

Time Rules::world_now() const {
  return world_.times_.now;
}

void Rules::broken(const std::string& sentence) const {
  throw Broken(sentence);
}

void Rules::person_acted(const std::string& certificate) {
  person_[certificate] = world_now();
  for (auto& [need, until] : not_before_) until.first = Time();
}

// --- orders ---

void Rules::placed(const Ca& ca, const Wanted& wanted) {
  const std::string need = Ca::need_of(wanted);
  last_order_ = world_now();
  for (const auto& each : world_.cas_) {
    for (const auto& [reference, order] : each->orders()) {
      const bool over = order.gone || order.told_dead || order.abandoned || order.collected;
      if (order.need == need && !over) {
        broken("a second order for \"" + need + "\" is placed at " + ca.spec().name + " though " + reference +
               " is open there");
      }
    }
  }
  const auto until = not_before_.find(ca.spec().name + need);
  if (until != not_before_.end() && world_now() < until->second.first) {
    broken("\"" + need + "\" is ordered again at " + ca.spec().name + " before " + to_rfc3339(until->second.first) + ", " +
           until->second.second);
  }
}

void Rules::asked(const Ca& ca, const std::string& action, const CaOrder* order) {
  if (order == nullptr) return;
  const Time now = world_now();
  auto& times = requests_[ca.spec().name + order->need];
  times.push_back(now);
  while (now - times.front() > hours(1)) times.pop_front();
  const auto lately =
      static_cast<std::size_t>(std::count_if(times.begin(), times.end(), [&](Time at) { return now - at < minutes(1); }));
  if (times.size() > requests_an_hour || lately > requests_a_minute) {
    broken(ca.spec().name + " is asked for \"" + order->need + "\" " + std::to_string(lately) + " times in a minute and " +
           std::to_string(times.size()) + " times in an hour, the last time to " + action);
  }
}

void Rules::refused(const Ca& ca, const std::string& action, const CaOrder*, const Error& error) {
  static_cast<void>(ca);
  static_cast<void>(action);
  static_cast<void>(error);
}

// --- what is said ---

void Rules::told(const Host& host, const Event& event) {
  const auto field = [&](const char* name) -> std::string {
    for (const auto& [key, value] : event.fields)
      if (key == name) return value;
    return "";
  };
  if (event.name == "published" || event.name == "rolled_back") {
    const auto generation = whole_number_in(field("generation"), 1, highest_generation);
    if (!generation || world_.medium_.find(bundle_path(event.certificate, *generation)) == nullptr)
      broken("generation " + field("generation") + " of " + event.certificate + " is called published, and is not stored");
  }
  if (event.name == "served") {
    const auto served = served_by(host, event.certificate);
    if (!served || std::to_string(served->generation) != field("generation"))
      broken("generation " + field("generation") + " of " + event.certificate + " is called served, and is not");
  }
}

// --- what is served ---

std::optional<Rules::Served> Rules::served_by(const Host& host, const std::string& certificate) const {
  const auto slot = host.board->find(certificate);
  const std::uint64_t generation = slot ? host.board->generation(*slot) : 0;
  const Bytes* const file = generation == 0 ? nullptr : world_.medium_.find(bundle_path(certificate, generation));
  if (file == nullptr) return std::nullopt;
  const auto bundle = open_bundle(world_.machine_->keys.serving, certificate, generation, *file);
  if (!bundle) return std::nullopt;
  Served served{generation, Time::max(), {}};
  for (const auto& pair : bundle->pairs) {
    const auto facts = leaf_facts(pair.leaf);
    if (!facts) return std::nullopt;
    served.not_after = std::min(served.not_after, facts->not_after);
    served.names = facts->identifiers;
  }
  return served;
}

void Rules::check_served(Host& host) {
  const Time now = world_now();
  for (const auto& certificate : host.plan->certificates) {
    const auto slot = host.board->find(certificate.name);
    const std::uint64_t generation = slot ? host.board->generation(*slot) : 0;
    const std::pair place(host.name, certificate.name);
    const auto before = served_.find(place);
    if (generation == 0) continue;
    if (before != served_.end() && before->second.generation == generation) continue;
    const auto served = served_by(host, certificate.name);
    if (!served)
      broken("generation " + std::to_string(generation) + " of " + certificate.name + " is on the board of " + host.name +
             " and cannot be opened");
    if (before != served_.end() && before->second.not_after > now) {
      const auto acted = person_.find(certificate.name);
      const bool excused = acted != person_.end();
      if (served->not_after < before->second.not_after && !excused)
        broken(certificate.name + " is served by generation " + std::to_string(served->generation) + ", which ends at " +
               to_rfc3339(served->not_after) + ", in the place of one that ends at " + to_rfc3339(before->second.not_after));
      for (const auto& name : before->second.names) {
        const bool wanted =
            std::find(certificate.identifiers.begin(), certificate.identifiers.end(), name) != certificate.identifiers.end();
        if (wanted && !covers(served->names, {name}))
          broken(name.value + " had a valid certificate at " + host.name + " and has none in generation " +
                 std::to_string(served->generation) + " of " + certificate.name);
      }
    }
    served_[place] = *served;
  }
}

void Rules::after_step(Host& host) {
  if (world_.medium_.certificates_changed() == seen_change_) return;
  seen_change_ = world_.medium_.certificates_changed();
  check_served(host);
}

// --- pauses ---

void Rules::at_rest(Host& host) {
  check_served(host);
  check_pauses(host);
}

void Rules::check_pauses(Host& host) {
  if (!host.process || !host.process->leader) return;
  const Time now = world_.times_.machine();
  for (const auto& certificate : host.plan->certificates) {
    const auto served = served_.find({host.name, certificate.name});
    const bool good =
        served != served_.end() && served->second.not_after > now && covers(served->second.names, certificate.identifiers);
    for (const auto& key : certificate.keys) {
      const std::string job = renewal_job(certificate.name, key.algorithm);
      for (const auto* workers : host.process->workers) {
        if (!workers->has(job)) continue;
        const auto due = workers->due_of(job);
        if (due && *due > now + longest_pause && !good)
          broken(job + " has no valid certificate and waits until " + to_rfc3339(*due));
        if (due && good && *due > std::max(served->second.not_after, now + longest_pause))
          broken(job + " waits until " + to_rfc3339(*due) + ", longer than its certificate lasts, until " +
                 to_rfc3339(served->second.not_after));
      }
    }
  }
}

// --- the end ---

void Rules::at_the_end() {
  const Time now = world_now();
  for (const auto& host : world_.hosts_) {
    for (const auto& certificate : host->plan->certificates) {
      const auto served = served_by(*host, certificate.name);
      if (!served) broken(certificate.name + " has no certificate at the end at " + host->name);
      if (served->not_after <= now) broken(certificate.name + " has expired at the end at " + host->name);
      if (!covers(served->names, certificate.identifiers))
        broken(certificate.name + " is not served with all its names at the end");
      for (const auto& key : certificate.keys) {
        for (const auto* workers : host->process->workers) {
          const auto due = workers->due_of(renewal_job(certificate.name, key.algorithm));
          if (due && *due <= now) broken(certificate.name + " is due and not renewed at the end");
        }
      }
    }
  }
  for (const auto& ca : world_.cas_) {
    for (const auto& [reference, order] : ca->orders()) {
      const bool over = order.gone || order.told_dead || order.abandoned || order.collected;
      if (!over) broken("the order " + reference + " for \"" + order.need + "\" is left open at the CA");
    }
  }
  // Answers are open for a day, and a minute after they are of no use.
  if (const auto left = world_.medium_.keys("challenges/"); !left.empty() && now - last_order_ > day * 3)
    broken(left.front() + " is left behind");
}

}  // namespace evercert::simulation
