// One seed's world: a machine with servers and their agents, CAs, operators and everything that goes wrong, in one thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "simulation/ca.h"
#include "simulation/host.h"
#include "simulation/rules.h"

namespace evercert::simulation {

constexpr hours simulated = day * 400;
// The last of them are calm, so that everything can come to its end.
constexpr hours calm = day * 45;

class World {
 public:
  World(std::uint64_t seed, bool told);
  ~World();
  // Throws Broken.
  void run();
  [[nodiscard]] const History& history() const { return history_; }

 private:
  friend class Rules;
  struct Troubles {
    bool weather = false;
    bool kills = false;
    bool full_disks = false;
    bool clock_jumps = false;
    bool verbs = false;
    bool freezes = false;
    bool edits = false;
    bool foreign_files = false;
  };
  void choose();
  Ca::World world_of_cas();
  std::shared_ptr<const Plan> plan_of_seed();
  // The plan's certificates get the names of their lines, as a server's starter gives them.
  std::shared_ptr<const Plan> with_lines(Plan plan);
  void at(Time when, std::function<void()> what) { events_.emplace(when, std::move(what)); }
  [[nodiscard]] Time next_wake() const;
  void run_events();
  void run_host(Host& host);
  void begin(Host& host);
  void end(Host& host);
  void pass(milliseconds by) { times_.now += by; }

  // Points at which something else may happen.
  void point(const char* where);
  void on_wire(const std::string& action, bool after);
  std::optional<Error> before_deed(Medium::Deed deed, const std::string& key);
  void meanwhile();

  void trouble();
  void bad_weather();
  void turn_the_clock();
  void fill_the_disk();
  void freeze(Host& host);
  void edit(Host& host);
  void leave_a_file();
  void clear_up();
  // An operator says something, while the leader's main thread has nothing else to do.
  void operate();
  void renew_all();

  std::uint64_t seed_;
  Times times_;
  Dice dice_;
  MachineClock clock_;
  History history_;
  Troubles troubles_;
  Medium medium_;
  std::unique_ptr<Machine> machine_;
  std::vector<std::unique_ptr<Ca>> cas_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::multimap<Time, std::function<void()>> events_;
  std::vector<Host*> running_;
  Rules rules_;
  Time end_;
  Time next_chores_;
  hours chores_every_{24};
  Time clock_turned_at_;
  unsigned fatal_in_ = 0;  // points of an agent until it is killed; 0: it lives
  bool power_fails_ = false;
  bool disk_full_ = false;
  unsigned disk_fails_ = 0;
  bool calm_ = false;
};

}  // namespace evercert::simulation
