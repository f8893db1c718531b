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
  void clock_jumped() { clock_jumped_at_ = world_now(); }

  void after_step(Host& host);
  void at_rest(Host& host);
  void at_the_end();

 private:
  struct Served {
    std::uint64_t generation = 0;
    Time not_after;
    std::vector<Identifier> names;
  };
  [[nodiscard]] Time world_now() const;
  [[noreturn]] void broken(const std::string& sentence) const;
  std::optional<Served> served_by(const Host& host, const std::string& certificate) const;
  void check_served(Host& host);
  void check_pauses(Host& host);

  World& world_;
  std::uint64_t seen_change_ = 0;
  std::map<std::pair<std::string, std::string>, Served> served_;           // by host and certificate
  std::map<std::pair<std::string, std::string>, std::uint64_t> on_board_;  // the generations
  std::map<std::string, std::deque<Time>> requests_;                       // by CA and need
  std::map<std::string, std::deque<Time>> failed_;                         // validations, by CA and name
  std::map<std::string, std::pair<Time, std::string>> not_before_;         // place, by CA and need
  std::map<std::string, Time> person_;                                     // by certificate
  std::set<std::string> excused_;  // certificates whose next change may be for the worse
  Time clock_jumped_at_{};
  Time last_order_{};
};

}  // namespace evercert::simulation
