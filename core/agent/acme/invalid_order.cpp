#include "agent/acme/invalid_order.h"

#include "agent/acme/problem.h"

namespace evercert {
namespace {

std::string sentence_about(const std::string& who, const Problem& problem, bool validation) {
  if (problem.detail.empty() && problem.subproblems.empty()) return who + " made the order invalid without saying why";
  if (!validation) return who + " made the order invalid: " + sentence_of(problem);
  Problem named = problem;
  std::erase_if(named.subproblems, [](const auto& sub) { return sub.identifier.empty(); });
  return who + " could not validate " + subproblems_of(named);
}

}  // namespace

Error why_invalid(const std::string& who, const OrderResource& order, const std::vector<AuthorizationResource>& authorizations,
                  std::chrono::system_clock::time_point now) {
  Problem problem = order.problem.value_or(Problem());
  bool validation = false;
  for (const auto& authorization : authorizations) {
    for (const auto& challenge : authorization.challenges) {
      if (!challenge.problem) continue;
      validation = true;
      if (problem.type.empty()) problem.type = challenge.problem->type;
      problem.subproblems.push_back({challenge.problem->type, challenge.problem->detail, name_of(authorization)});
    }
  }
  Error error;
  error.kind = validation ? ErrorKind::challenge_failed : kind_of(problem, ProblemOf::request, 400);
  error.message = sentence_about(who, problem, validation);
  error.retry_after = retry_after_in(problem.detail, now);
  error.problem = std::make_shared<const Problem>(std::move(problem));
  return error;
}

}  // namespace evercert
