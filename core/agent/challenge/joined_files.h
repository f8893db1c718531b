// Files that prove names and have the same name for every order of a CA: DigiCert looks for its value anywhere in fileauth.txt.
// Where two orders of one host are open at once, the file has the values of both, one a line. Stands before the places where
// answers are laid out.
// Rule: only files of that name; other CAs want a file that has their content and nothing else.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "agent/challenge/open_answers.h"

namespace evercert {

class JoinedFiles : public AnswerPlace {
 public:
  JoinedFiles(std::vector<AnswerPlace*> places, const Clock& clock) : places_(std::move(places)), clock_(clock) {}
  Result<Done> put(const OpenAnswer& answer) override;

 private:
  OpenAnswer joined(const OpenAnswer& answer);

  const std::vector<AnswerPlace*> places_;
  const Clock& clock_;
  std::mutex mutex_;                                     // guards what follows
  std::map<std::string, std::vector<OpenAnswer>> open_;  // by token
};

}  // namespace evercert
