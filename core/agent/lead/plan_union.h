// The union of the plans that one leader works: its own and those of the servers that follow it. Each certificate is asked for
// once; a second plan that wants something else under the same name is refused by that name. Main thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "evercert/plan.h"

namespace evercert {

struct PlanSource {
  std::string id;      // the instance
  std::string server;  // "nginx/1.22.1"
  std::shared_ptr<const Plan> plan;
  bool own = false;
};

class PlanUnion {
 public:
  struct Item {
    CertificateSpec certificate;  // with the proof addresses of our own server only
    std::string source;           // whose issuers it uses
    std::shared_ptr<const Plan> plan;
    bool own = false;
  };
  struct Change {
    std::vector<std::string> added;
    std::vector<std::string> removed;
    std::vector<std::pair<std::string, std::string>> conflicts;  // name, sentence
  };
  // Adds a plan, or replaces the one of the same source.
  Change put(PlanSource source);
  Change remove(const std::string& id);

  [[nodiscard]] const std::map<std::string, Item>& items() const { return items_; }
  [[nodiscard]] const Item* find(const std::string& certificate) const;
  // By the line's name, or by one of its names where no other line has it.
  [[nodiscard]] const Item* find_by_any_name(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> servers() const;  // of the followers

 private:
  Change rebuild();
  std::vector<PlanSource> sources_;  // the first that claims a name has it
  std::map<std::string, Item> items_;
};

}  // namespace evercert
