// What goes wrong, and what people do.
#include <algorithm>

#include "simulation/world.h"

namespace evercert::simulation {

// The next thing that goes wrong whatever the agents do just then.
void World::trouble() {
  if (times_.now >= end_ - calm) return;
  std::vector<std::function<void()>> kinds;
  if (troubles_.kills)
    kinds.emplace_back([this] {
      fatal_in_ = 1 + static_cast<unsigned>(dice_.below(40));
      power_fails_ = dice_.once_in(3);
    });
  if (troubles_.weather) kinds.emplace_back([this] { bad_weather(); });
  if (troubles_.full_disks) kinds.emplace_back([this] { fill_the_disk(); });
  if (troubles_.clock_jumps) kinds.emplace_back([this] { turn_the_clock(); });
  if (troubles_.freezes) kinds.emplace_back([this] { freeze(*hosts_.front()); });
  if (troubles_.edits) kinds.emplace_back([this] { edit(*hosts_.front()); });
  if (troubles_.foreign_files) kinds.emplace_back([this] { leave_a_file(); });
  if (troubles_.verbs) kinds.emplace_back([this] { operate(); });
  if (kinds.empty()) return;
  dice_.of(kinds)();
  at(times_.now + dice_.between(hours(1), day * 90), [this] { trouble(); });
}

void World::bad_weather() {
  Ca& ca = *cas_[dice_.below(cas_.size())];
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
  // They come together, too.
  if (dice_.once_in(3)) weather.odd_waits = often;
  static const std::vector<const char*> words{
      "nobody gets through", "requests are lost", "answers are lost", "it refuses",        "it limits",
      "it repeats itself",   "odd waits",         "validations fail", "it forgets orders", "people are wanted",
      "bad certificates",    "orders stay ready", "it works slowly"};
  history_.add(ca.spec().name, "has bad weather", [&] { return words[which]; });
  at(times_.now + dice_.between(minutes(5), day * 20), [this, &ca] {
    ca.weather = {};
    history_.add(ca.spec().name, "has fine weather");
  });
}

void World::turn_the_clock() {
  const auto by = dice_.between(minutes(1), day * 3650);
  times_.offset = dice_.once_in(2) ? by : -by;
  clock_turned_at_ = times_.now;
  rules_.pauses_are_lost();
  history_.add("the clock", "is turned", [&] { return "by " + std::to_string(times_.offset.count() / 1000) + " s"; });
  at(times_.now + seconds(1 + dice_.below(9)), [] {});
  at(times_.now + dice_.between(minutes(1), day * 5), [this] {
    times_.offset = milliseconds(0);
    clock_turned_at_ = times_.now;
    rules_.pauses_are_lost();
    rules_.pauses_are_lost();
    history_.add("the clock", "is set right");
    at(times_.now + seconds(1 + dice_.below(9)), [] {});
  });
}

void World::fill_the_disk() {
  if (dice_.once_in(2))
    disk_full_ = true;
  else
    disk_fails_ = 1 + static_cast<unsigned>(dice_.below(5));
  history_.add("the disk", disk_full_ ? "is full" : "fails now and then");
  at(times_.now + dice_.between(minutes(1), day * 3), [this] {
    disk_full_ = false;
    disk_fails_ = 0;
    history_.add("the disk", "has room");
  });
}

void World::freeze(Host& host) {
  if (!host.process) return;
  const Time until = times_.now + dice_.between(seconds(5), day * 4);
  host.frozen_until = until;
  history_.add(host.name, "is stopped");
  at(until, [this, &host, until] {
    if (host.frozen_until != until) return;
    host.frozen_until.reset();
    history_.add(host.name, "goes on");
  });
}

// The operator changes the configuration, and the server is reloaded: another agent takes over between two steps.
void World::edit(Host& host) {
  if (!running_.empty()) return;
  Plan plan = *host.plan;
  CertificateSpec& certificate = plan.certificates[dice_.below(plan.certificates.size())];
  auto& names = certificate.identifiers;
  switch (dice_.below(5)) {
    case 0:
      std::rotate(names.begin(), names.begin() + 1, names.end());
      break;
    case 1:
      if (names.size() > 1) names.erase(names.begin());
      break;
    case 2:
      if (names.size() < 6)
        names.insert(names.begin(), {IdentifierKind::dns, "n" + std::to_string(dice_.below(1000)) + ".test"});
      break;
    case 3:
      std::reverse(certificate.issuers.begin(), certificate.issuers.end());
      break;
    default:
      if (certificate.keys.size() > 1) certificate.keys.pop_back();
  }
  // Without a name of its own, it is called after its first name until its line is found.
  for (auto& each : plan.certificates) each.name = each.identifiers.front().value;
  host.plan = with_lines(std::move(plan));
  history_.add("the operator", "edits the configuration", [&] {
    std::string text;
    for (const auto& each : host.plan->certificates) {
      text += (text.empty() ? "" : "; ") + each.name + " =";
      for (const auto& name : each.identifiers) text += " " + name.value;
    }
    return text;
  });
  for (const auto& each : host.plan->certificates) rules_.edited_by_person(each.name);
  rules_.edited(host);
  if (!host.process) return;
  host.end();
  begin(host);
}

// Whoever may write below certificates/ leaves a file of a number that nobody would write.
void World::leave_a_file() {
  const auto& certificates = hosts_.front()->plan->certificates;
  const std::string& name = certificates[dice_.below(certificates.size())].name;
  static const std::vector<std::string> numbers{"18446744073709551615", "18446744073709551616", "281474976710657", "0", "01"};
  const std::string key = "certificates/" + name + "/" + dice_.of(numbers) + ".bundle";
  history_.add("somebody", "leaves a file", [&] { return key; });
  medium_.put_there(key, Bytes(200, 7));
}

// --- people ---

void World::operate() {
  Host& host = *hosts_.front();
  if (!host.process || !host.process->leader || host.frozen_until) return;
  Leader& leader = *host.process->leader;
  const auto& certificates = host.plan->certificates;
  const CertificateSpec& certificate = certificates[dice_.below(certificates.size())];
  const std::string& name = certificate.name;
  const std::size_t verb = dice_.below(5);
  static const std::vector<const char*> words{"renew", "renew --force", "cancel", "rollback", "renew"};
  history_.add("the operator", "says", [&] { return words[verb] + (" " + name); });
  rules_.person_acted(name);
  switch (verb) {
    case 1:
      leader.renew(name, true);
      break;
    case 2:
      static_cast<void>(leader.cancel(name).has_value());
      break;
    case 3:
      // As the verb has it: a worker's job.
      leader.workers().add("request 1", -2, clock_.now(), [&leader, certificate]() -> Workers::Again {
        static_cast<void>(leader.publication().roll_back(certificate, std::nullopt).has_value());
        return {std::nullopt, true};
      });
      break;
    default:
      leader.renew(name, false);
  }
}

void World::renew_all() {
  for (auto& host : hosts_) {
    if (!host->process || !host->process->leader) continue;
    for (const auto& certificate : host->plan->certificates) {
      rules_.person_acted(certificate.name);
      host->process->leader->renew(certificate.name, false);
    }
  }
}

void World::clear_up() {
  calm_ = true;
  history_.add("the world", "is calm");
  for (auto& ca : cas_) ca->weather = {};
  fatal_in_ = 0;
  power_fails_ = disk_full_ = false;
  disk_fails_ = 0;
  if (times_.offset.count() != 0) {
    times_.offset = milliseconds(0);
    clock_turned_at_ = times_.now;
    rules_.pauses_are_lost();
    rules_.pauses_are_lost();
    at(times_.now + seconds(5), [] {});
  }
  // What only a person can decide is decided: what stands still is given up and ordered anew.
  at(times_.now + day * 5, [this] {
    for (auto& host : hosts_) {
      if (!host->process || !host->process->leader) continue;
      for (const auto& line : host->process->leader->report().orders) {
        history_.add("the operator", "says", [&] { return "cancel " + line.certificate; });
        rules_.person_acted(line.certificate);
        static_cast<void>(host->process->leader->cancel(line.certificate).has_value());
      }
    }
  });
  at(times_.now + day * 6, [this] {
    history_.add("the operator", "says", [] { return std::string("renew --all"); });
    renew_all();
  });
}

}  // namespace evercert::simulation
