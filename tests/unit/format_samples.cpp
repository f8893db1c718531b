// format_samples DIRECTORY: writes one of everything that a state_path holds, as this tree writes it today. Run by hand, once a
// format has changed, into tests/data/formats/<next number>; never by a test, and never over samples that are there.
#include "fake/format_samples.h"

#include <filesystem>
#include <iostream>

#include "store_fixture.h"

int main(int count, char** words) {
  using namespace evercert;
  if (count != 2 || std::filesystem::exists(std::filesystem::path(words[1]) / "state")) {
    std::cerr << "usage: format_samples DIRECTORY, where nothing is but for a seal.key\n";
    return 2;
  }
  std::filesystem::create_directories(words[1]);
  Bundle bundle = test::make_bundle(samples::certificate, test::LittleCa(), {{}, {KeyAlgorithm::rsa, 2048}});
  bundle.generation = samples::generation;
  const std::string faults = samples::write(std::filesystem::canonical(words[1]), bundle);
  std::cerr << faults;
  return faults.empty() ? 0 : 1;
}
