#include "agent/renewal/pace.h"

#include <algorithm>

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// The longest of backoff_pause(), and a little.
constexpr std::chrono::hours longest_pause{27};

RecordPlace place_of(const std::string& certificate, KeyAlgorithm algorithm) {
  const std::string key =
      "orders/" + file_name_of(certificate) + (algorithm == KeyAlgorithm::rsa ? ".rsa" : ".ecdsa") + ".pace";
  return {SealedKind::order, key, key, "the pace record " + key};
}

std::string set_of(const std::vector<Identifier>& identifiers) {
  std::vector<std::string> names;
  for (const auto& identifier : identifiers) names.push_back(identifier.value);
  std::sort(names.begin(), names.end());
  std::string text;
  for (const auto& name : names) text += name + "\n";
  return to_hex(sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()})).substr(0, 16);
}

std::int64_t number_of(Time time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

Time time_of(const Json& number) {
  return moment_of_milliseconds(number.get<std::int64_t>());
}

std::chrono::seconds lifetime_of(const Json& number) {
  return std::chrono::seconds(std::clamp<std::int64_t>(number.get<std::int64_t>(), 0, farthest_moment.count()));
}

Json failure_json(const Pace::Failure& failure) {
  Json rows = Json::object();
  for (const auto& [kind, count] : failure.rows) rows[std::to_string(static_cast<int>(kind))] = count;
  Json json = {{"kind", static_cast<int>(failure.kind)}, {"message", failure.message}, {"since", number_of(failure.since)},
               {"in_a_row", failure.in_a_row},           {"rows", std::move(rows)},    {"options", failure.options},
               {"until_asked", failure.until_asked},     {"remedy", failure.remedy}};
  if (failure.lost) json["lost"] = true;
  // Without it: since the failure itself.
  if (failure.said_since != Time{} && failure.said_since != failure.since) json["said_since"] = number_of(failure.said_since);
  return json;
}

Pace::Failure failure_from(const Json& json) {
  const int kind = std::clamp(json.at("kind").get<int>(), 0, static_cast<int>(ErrorKind::dns));
  Pace::Failure failure{static_cast<ErrorKind>(kind), json.at("message").get<std::string>(), time_of(json.at("since")),
                        json.at("in_a_row").get<unsigned>(), json.value("options", "")};
  failure.until_asked = json.value("until_asked", false);
  failure.remedy = json.value("remedy", "");
  failure.lost = json.value("lost", false);
  failure.said_since = json.contains("said_since") ? time_of(json["said_since"]) : failure.since;
  if (json.contains("rows")) {
    for (int each = 0; each <= static_cast<int>(ErrorKind::dns); ++each) {
      const auto count = json.at("rows").find(std::to_string(each));
      if (count != json.at("rows").end()) failure.rows[static_cast<ErrorKind>(each)] = count->get<unsigned>();
    }
  } else {
    failure.rows[failure.kind] = failure.in_a_row;
  }
  return failure;
}

Json json_of(const Pace& pace) {
  Json json{{"next_attempt", number_of(pace.next_attempt)},
            {"issuer_index", pace.issuer_index},
            {"issuer_failures", pace.issuer_failures},
            {"unusable", pace.unusable},
            {"seen_at", number_of(pace.seen_at)},
            {"forgotten_at", number_of(pace.forgotten_at)},
            {"issued", Json::array()}};
  if (pace.failure) json["failure"] = failure_json(*pace.failure);
  for (const auto& [issuer, left] : pace.set_aside) {
    Json& one = json["set_aside"][issuer] = {{"next_attempt", number_of(left.next_attempt)}};
    if (left.failure) one["failure"] = failure_json(*left.failure);
  }
  for (const auto& issued : pace.issued) {
    json["issued"].push_back(
        {{"at", number_of(issued.issue.at)}, {"lifetime", issued.issue.lifetime.count()}, {"names", issued.names}});
  }
  return json;
}

Pace pace_of(const Json& json) {
  Pace pace;
  pace.next_attempt = time_of(json.at("next_attempt"));
  pace.issuer_index = json.at("issuer_index").get<unsigned>();
  pace.issuer_failures = json.at("issuer_failures").get<unsigned>();
  pace.unusable = json.value("unusable", 0U);
  if (json.contains("seen_at")) pace.seen_at = time_of(json.at("seen_at"));
  if (json.contains("forgotten_at")) pace.forgotten_at = time_of(json.at("forgotten_at"));
  if (json.contains("failure")) pace.failure = failure_from(json.at("failure"));
  if (json.contains("set_aside")) {
    for (const auto& [issuer, left] : json.at("set_aside").items()) {
      auto& one = pace.set_aside[issuer];
      one.next_attempt = time_of(left.at("next_attempt"));
      if (left.contains("failure")) one.failure = failure_from(left.at("failure"));
    }
  }
  for (const auto& issued : json.at("issued")) {
    pace.issued.push_back(
        {{time_of(issued.at("at")), lifetime_of(issued.at("lifetime"))}, issued.at("names").get<std::string>()});
  }
  return pace;
}

}  // namespace

bool Pace::follow_clock(Time seen, Time now) {
  // Clocks are corrected by less all the time.
  constexpr std::chrono::seconds turned{30};
  bool changed = false;
  const auto move = [&](Time& at, Time last) {
    if (at <= last) return;
    at = last;
    changed = true;
  };
  const auto turned_by = seen > now + turned ? now - seen : Time::duration();
  const auto follow = [&](Time& at) {
    if (turned_by != Time::duration() && at > seen) {
      at += turned_by;
      changed = true;
    }
    // Whatever set it: nothing waits for longer.
    move(at, now + longest_pause);
  };
  // What failed far ahead of now failed because of that clock.
  constexpr std::chrono::hours another_time{1};
  if (failure && failure->since > now + another_time) {
    failure.reset();
    next_attempt = Time();
    unusable = issuer_failures = 0;
    changed = true;
  }
  std::erase_if(set_aside,
                [&](const auto& left) { return left.second.failure && left.second.failure->since > now + another_time; });
  follow(next_attempt);
  move(forgotten_at, now);
  const auto move_failure = [&](Failure& one) {
    move(one.since, now);
    move(one.said_since, now);
  };
  if (failure) move_failure(*failure);
  for (auto& [issuer, left] : set_aside) {
    follow(left.next_attempt);
    if (left.failure) move_failure(*left.failure);
  }
  return changed;
}

std::vector<Issue> Pace::issues_for(const std::vector<Identifier>& identifiers) const {
  const std::string names = set_of(identifiers);
  std::vector<Issue> issues;
  for (const auto& one : issued) {
    if (one.names == names) issues.push_back(one.issue);
  }
  return issues;
}

void Pace::remember_issue(const std::vector<Identifier>& identifiers, const Issue& issue) {
  constexpr std::size_t remembered = 8;
  if (issued.size() >= remembered) issued.erase(issued.begin());
  issued.push_back({issue, set_of(identifiers)});
}

Pace PaceRecords::load(const std::string& certificate, KeyAlgorithm algorithm) {
  Pace pace;
  const auto found = records_.load(place_of(certificate, algorithm), [&](const Json& json) { pace = pace_of(json); });
  return found && found->present ? pace : Pace();
}

Result<Done> PaceRecords::save(const std::string& certificate, KeyAlgorithm algorithm, const Pace& pace) {
  return records_.save(place_of(certificate, algorithm), json_of(pace), {.durability = Durability::process});
}

}  // namespace evercert
