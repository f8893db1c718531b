#include "simulation/rules.h"

#include <algorithm>

#include "evercert/lines.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/certificate/bundle.h"
#include "simulation/world.h"

namespace evercert::simulation {
namespace {

// For one need at one CA, whatever it answers.
constexpr std::size_t requests_a_minute = 60;
constexpr std::size_t requests_an_hour = 300;
constexpr std::size_t validations_an_hour = 4;
// The longest pause of all, what its spread adds, and an hour for a clock that is turned a little now and then.
constexpr hours longest_pause{28};

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
  for (auto& [need, pause] : not_before_) pause.until = Time();
}

// --- orders ---

void Rules::placed(const Ca& ca, const Wanted& wanted) {
  const std::string need = Ca::need_of(wanted);
  last_order_ = world_now();
  for (const auto& each : world_.cas_) {
    for (const auto& [reference, order] : each->orders()) {
      const bool over = order.gone || order.told_dead || order.abandoned || order.collected;
      // What costs nothing, was given up, and could not be found then, ends by itself.
      if (order.need == need && !over && !(each->spec().type == "acme" && decided_since(order))) {
        broken("a second order for \"" + need + "\" is placed at " + ca.spec().name + " though " + reference +
               " is open there");
      }
    }
  }
  if (ca.spec().type != "acme") {
    for (const auto& [reference, order] : ca.orders()) {
      const bool bought = order.need == need && order.collected && order.wanted.certificate == wanted.certificate;
      if (bought && !decided_since(order) && !published_.contains(sha256(order.leaf)))
        broken("\"" + need + "\" is bought again, though what " + reference + " brought was paid for and never used");
    }
  }
  const auto pause = not_before_.find(ca.spec().name + need);
  if (pause != not_before_.end() && world_now() < pause->second.until) {
    broken("\"" + need + "\" is ordered again at " + ca.spec().name + " before " + to_rfc3339(pause->second.until) +
           ", which is what the CA had asked for");
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
  if (action != "place" || error.kind != ErrorKind::rate_limited || !error.retry_after) return;
  const seconds wish = bounded_wish(*error.retry_after);
  not_before_[ca.spec().name + ca.placing()] = {world_now() + wish, world_now()};
}

void Rules::not_validated(const Ca& ca, const std::string& name) {
  const Time now = world_now();
  auto& times = failed_[ca.spec().name + " " + name];
  times.push_back(now);
  while (now - times.front() >= hours(1)) times.pop_front();
  // Who insists may have more of them.
  const bool insisted =
      std::any_of(person_.begin(), person_.end(), [&](const auto& one) { return now - one.second < hours(2); });
  if (times.size() > validations_an_hour && !insisted)
    broken(ca.spec().name + " could not validate " + name + " " + std::to_string(times.size()) + " times within an hour");
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
  if (event.name == "order_given_up") {
    const bool paid = std::any_of(world_.cas_.begin(), world_.cas_.end(),
                                  [&](const auto& ca) { return ca->spec().name == event.issuer && ca->spec().type != "acme"; });
    if (paid) broken("an order at " + event.issuer + " that was paid for is given up by itself");
    given_up_[event.certificate] = world_now();
  }
  if (event.name == "rolled_back")
    put_there_[event.certificate] = whole_number_in(field("generation"), 1, highest_generation).value_or(0);
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
  Served served{generation, Time::max(), {}, {}, {}};
  for (const auto& pair : bundle->pairs) {
    const auto facts = leaf_facts(pair.leaf);
    if (!facts) return std::nullopt;
    served.not_after = std::min(served.not_after, facts->not_after);
    served.names = facts->identifiers;
    served.leaves.push_back(facts->sha256);
    served.ends[pair.key.algorithm] = facts->not_after;
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
      const bool excused = acted_lately(certificate.name);
      // What lacks a name that is wanted may be followed by something that ends sooner.
      const bool did = covers(before->second.names, certificate.identifiers);
      for (const auto& [algorithm, end] : before->second.ends) {
        const bool wanted = std::any_of(certificate.keys.begin(), certificate.keys.end(),
                                        [&, kind = algorithm](const KeySpec& key) { return key.algorithm == kind; });
        const auto now_ends = served->ends.find(algorithm);
        const bool worse = now_ends == served->ends.end() || now_ends->second < end;
        if (!excused && did && wanted && worse && end > world_.times_.machine())
          broken(certificate.name + " is served by generation " + std::to_string(served->generation) + ", which ends at " +
                 (now_ends == served->ends.end() ? "no time" : to_rfc3339(now_ends->second)) +
                 ", in the place of one that ends at " + to_rfc3339(end));
      }
      for (const auto& name : before->second.names) {
        const bool wanted =
            std::find(certificate.identifiers.begin(), certificate.identifiers.end(), name) != certificate.identifiers.end();
        if (wanted && !excused && !covers(served->names, {name}))
          broken(name.value + " had a valid certificate at " + host.name + " and has none in generation " +
                 std::to_string(served->generation) + " of " + certificate.name);
      }
    }
    published_.insert(served->leaves.begin(), served->leaves.end());
    // Whom nobody wanted when it was left out has no certificate to lose, also where it comes back.
    if (before != served_.end()) {
      for (const auto& name : before->second.names) {
        const bool left_out = !covers(served->names, {name}) && !covers(certificate.identifiers, {name});
        if (left_out) covered_until_.erase({host.name, name.value});
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

// What a worker would send for a name: the newest of the certificate that it belongs to, else another line's.
std::optional<Time> Rules::covered(const Host& host, const Identifier& name) const {
  const Time now = world_now();
  std::string own;
  for (const auto& certificate : host.plan->certificates) {
    if (!covers(certificate.identifiers, {name})) continue;
    own = certificate.name;
    const auto served = served_by(host, own);
    if (served && served->not_after > now && covers(served->names, {name})) return served->not_after;
  }
  const auto stored = stored_lines(*world_.medium_.reader(), world_.machine_->keys.serving, host.plan.get()).lines;
  for (const auto& line : stored) {
    if (line.name == own && line.not_after > now && covers(line.identifiers, {name})) return line.not_after;
  }
  const LineIndex lines(stored, now);
  const StoredLine* const other = lines.best_for(name, own);
  return other == nullptr ? std::nullopt : std::optional(other->not_after);
}

void Rules::check_names(Host& host, bool after_edit) {
  const Time now = world_now();
  for (const auto& certificate : host.plan->certificates) {
    const auto place = served_.find({host.name, certificate.name});
    for (const auto& name : certificate.identifiers) {
      Time& until = covered_until_[{host.name, name.value}];
      if (!after_edit && place != served_.end() && place->second.not_after > now && covers(place->second.names, {name})) {
        until = place->second.not_after;
        continue;
      }
      if (until <= now) continue;
      // What a person has put there may end sooner.
      const auto present = covered(host, name);
      if (!present && !acted_lately(certificate.name))
        broken(name.value + " had a certificate until " + to_rfc3339(until) + " at " + host.name +
               " and is served with none now");
      until = present.value_or(Time());
    }
  }
}

void Rules::edited(Host& host) {
  check_names(host, true);
}

bool Rules::decided_since(const CaOrder& order) const {
  for (const auto* told : {&person_, &decided_, &given_up_}) {
    const auto acted = told->find(order.wanted.certificate);
    if (acted != told->end() && acted->second >= order.placed_at) return true;
  }
  return false;
}

bool Rules::acted_lately(const std::string& certificate) const {
  const auto acted = person_.find(certificate);
  return acted != person_.end() && world_now() - acted->second < day * 30;
}

// --- pauses ---

void Rules::at_rest(Host& host) {
  check_served(host);
  check_names(host, false);
  check_pauses(host);
}

void Rules::check_pauses(Host& host) {
  if (!host.process || !host.process->leader) return;
  const Time now = world_.times_.machine();
  for (const auto& certificate : host.plan->certificates) {
    const auto served = served_.find({host.name, certificate.name});
    for (const auto& key : certificate.keys) {
      const std::string job = renewal_job(certificate.name, key.algorithm);
      const bool there = served != served_.end() && served->second.ends.contains(key.algorithm);
      // What a person has put there stays until it is due.
      const auto put = put_there_.find(certificate.name);
      if (served != served_.end() && put != put_there_.end() && put->second == served->second.generation) continue;
      const Time ends = there ? served->second.ends.at(key.algorithm) : Time();
      const bool good = there && ends > now && covers(served->second.names, certificate.identifiers);
      for (const auto* workers : host.process->workers) {
        if (!workers->has(job)) continue;
        const auto due = workers->due_of(job);
        if (due && *due > now + longest_pause && !good && !acted_lately(certificate.name))
          broken(job + " has no valid certificate and waits until " + to_rfc3339(*due));
        if (due && good && !acted_lately(certificate.name) && *due > std::max(ends, now + longest_pause))
          broken(job + " waits until " + to_rfc3339(*due) + ", longer than its certificate lasts, until " + to_rfc3339(ends));
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
          if (due && *due <= now - day) broken(certificate.name + " is due and not renewed at the end");
        }
      }
    }
  }
  for (const auto& ca : world_.cas_) {
    for (const auto& [reference, order] : ca->orders()) {
      const bool over = order.gone || order.told_dead || order.abandoned || order.collected;
      // Of a line that no configuration names any more nobody takes care (tests/simulation/README.md).
      const bool named = std::any_of(world_.hosts_.begin(), world_.hosts_.end(), [&](const auto& host) {
        return host->plan->certificate(order.wanted.certificate) != nullptr;
      });
      const bool ends_by_itself = ca->spec().type == "acme" && decided_since(order);
      if (!over && named && !ends_by_itself)
        broken("the order " + reference + " for \"" + order.need + "\" is left open at the CA");
    }
  }
  // Answers are open for a day, and a minute after they are of no use.
  if (const auto left = world_.medium_.keys("challenges/"); !left.empty() && now - last_order_ > day * 3)
    broken(left.front() + " is left behind");
}

}  // namespace evercert::simulation
