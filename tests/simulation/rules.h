// What must hold in every simulated world, after every step and at the end. A rule that is broken throws Broken.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "simulation/ca.h"
#include "simulation/host.h"

namespace evercert::simulation {

class World;

class Rules {
 public:
  explicit Rules(World& world) : world_(world) {}

  // --- told by the world ---
  void placed(const Ca& ca, const Wanted& wanted);
  void asked(const Ca& ca, const std::string& action, const CaOrder* order);
  void refused(const Ca& ca, const std::string& action, const CaOrder* order, const Error& error);
  void told(const Host& host, const Event& event);
  // A person did something to this certificate (or to all): what follows from it is no fault.
  void person_acted(const std::string& certificate);
  void not_validated(const Ca& ca, const std::string& name);
  // Pauses are on the disk, by the machine's clock: where either fails they may be shorter.
  void pauses_are_lost() {
    not_before_.clear();
    failed_.clear();
  }
  // What was told at this moment has reached nobody.
  void killed() {
    std::erase_if(not_before_, [&](const auto& one) { return one.second.told == world_now(); });
  }
  void edited_by_person(const std::string& certificate) { decided_[certificate] = world_now(); }
  void edited(Host& host);

  void after_step(Host& host);
  void at_rest(Host& host);
  void at_the_end();

 private:
  struct Served {
    std::uint64_t generation = 0;
    Time not_after;
    std::vector<Identifier> names;
    std::vector<Bytes> leaves;            // SHA-256
    std::map<KeyAlgorithm, Time> ends{};  // of each kind of key
  };
  [[nodiscard]] Time world_now() const;
  [[noreturn]] void broken(const std::string& sentence) const;
  std::optional<Served> served_by(const Host& host, const std::string& certificate) const;
  void check_served(Host& host);
  void check_names(Host& host, bool after_edit);
  std::optional<Time> covered(const Host& host, const Identifier& name) const;
  void check_pauses(Host& host);
  [[nodiscard]] bool decided_since(const CaOrder& order) const;
  [[nodiscard]] bool acted_lately(const std::string& certificate) const;

  World& world_;
  std::uint64_t seen_change_ = 0;
  std::map<std::pair<std::string, std::string>, Served> served_;  // by host and certificate
  std::map<std::string, std::deque<Time>> requests_;              // by CA and need
  std::map<std::string, std::deque<Time>> failed_;                // validations, by CA and name
  struct Pause {
    Time until;
    Time told;
  };
  std::map<std::string, Pause> not_before_;                            // place, by CA and need
  std::map<std::string, std::uint64_t> put_there_;                     // generations, by certificate: by a person
  std::map<std::string, Time> decided_;                                // by certificate: what was ordered before is no matter
  std::map<std::string, Time> given_up_;                               // by certificate: what the CA kept open without end
  std::map<std::string, Time> person_;                                 // by certificate
  std::map<std::pair<std::string, std::string>, Time> covered_until_;  // by host and name
  std::set<Bytes> published_;                                          // leaves, by SHA-256
  Time last_order_{};
};

}  // namespace evercert::simulation
