#include "simulation/host.h"

#include <algorithm>

namespace evercert::simulation {

Host::Host(std::string its_name, Machine& its_machine, std::shared_ptr<const Plan> its_plan)
    : name(std::move(its_name)), machine(its_machine), plan(std::move(its_plan)) {
  auto board_file = Board::create();
  auto report_file = ReportPage::create();
  if (!board_file || !report_file) throw std::runtime_error("no memory for a board");
  auto mapped = Board::map(board_file->get(), Board::Access::write);
  auto page = ReportPage::map(report_file->get());
  if (!mapped || !page) throw std::runtime_error("no memory for a board");
  board = std::make_unique<Board>(std::move(*mapped));
  report = std::make_unique<ReportPage>(std::move(*page));
}

Host::Process::Process(Host& host, Machine& machine)
    : reached(machine.leader_file.get()), loop(machine.times), log(machine.history), store(machine.medium.open()) {
  context.emplace(AgentContext{host.name,
                               "simulated",
                               -1,
                               -1,
                               reached,
                               host.plan,
                               "",
                               {},
                               machine.keys,
                               machine.clock.now(),
                               machine.clock,
                               log,
                               events,
                               *store,
                               *host.board,
                               *host.report,
                               loop});
  context->make_issuer = machine.make_issuer;
  context->key_provider = machine.key_provider;
  context->random = machine.random;
  context->prove = host.prove;
  context->make_state_files = [&machine]() -> Result<std::unique_ptr<StateFiles>> { return machine.medium.reader(); };
  context->make_workers = [this, &machine](unsigned) -> std::unique_ptr<Workers> {
    auto made = std::make_unique<SimulatedWorkers>(machine.times);
    workers.push_back(made.get());
    return made;
  };
  events.subscribe([this, &host](const Event& event) {
    if (host.told) host.told(host, event);
    loop.post([this, event] {
      if (leader) leader->count(event);
    });
  });
}

bool Host::Process::ready() const {
  return loop.ready() || std::any_of(workers.begin(), workers.end(), [](const auto* each) { return each->ready(); });
}

std::optional<Time> Host::Process::next(const Times& times) const {
  std::optional<Time> first = loop.next();
  for (const auto* each : workers) {
    const auto at = each->next();
    if (at && (!first || *at - times.offset < *first)) first = *at - times.offset;
  }
  return first;
}

void Host::Process::look_at_the_clock(bool chores_too) {
  for (auto* each : workers) each->look_at_the_clock(chores_too);
}

void Host::Process::run_one() {
  if (loop.ready()) return loop.run_one();
  for (auto* each : workers) {
    if (!each->ready()) continue;
    each->run_one();
    return;
  }
}

void Host::start() {
  process = std::make_unique<Process>(*this, machine);
}

void Host::lead() {
  process->leader = std::make_unique<Leader>(*process->context, [] {});
  process->leader->start();
}

}  // namespace evercert::simulation
