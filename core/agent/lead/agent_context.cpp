#include "agent/lead/agent_context.h"

#include "agent/renewal/thread_workers.h"

namespace evercert {

std::unique_ptr<Workers> AgentContext::workers(unsigned threads) const {
  if (make_workers) return make_workers(threads);
  return std::make_unique<ThreadWorkers>(clock, threads);
}

Result<std::unique_ptr<StateFiles>> AgentContext::open_state() const {
  if (make_state_files) return make_state_files();
  auto reader = StateReader::open(state_path);
  if (!reader) return reader.error();
  return std::unique_ptr<StateFiles>(std::make_unique<StateReader>(std::move(*reader)));
}

}  // namespace evercert
