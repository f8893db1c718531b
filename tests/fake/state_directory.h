// A state directory of its own for one test, with seal keys and a file store on it; gone with the object.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "agent/store/file_store.h"
#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "evercert/state.h"
#include "fake/leader_of_tests.h"

namespace evercert {

class StateDirectory {
 public:
  StateDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "evercert-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
    mkdir((path_ + "/state").c_str(), 0750);
    keys_.serving = {"0011223344556677", Secret(Bytes(32, 1))};
    keys_.agent = {"0011223344556677", Secret(Bytes(32, 2))};
    store_ = make_file_store(Descriptor(open((path_ + "/state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                             leader_of_tests(), {});
  }
  ~StateDirectory() {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  StateDirectory(const StateDirectory&) = delete;
  StateDirectory& operator=(const StateDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const SealKeys& keys() const { return keys_; }
  [[nodiscard]] Store& store() const { return *store_; }
  [[nodiscard]] ReachedNumbers& reached() { return reached_; }
  [[nodiscard]] std::unique_ptr<Store> another_store() const {
    return make_file_store(Descriptor(open((path_ + "/state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), leader_of_tests(),
                           {});
  }

 private:
  std::string path_;
  SealKeys keys_;
  std::unique_ptr<Store> store_;
  Descriptor leader_{memfd_create("leader", MFD_CLOEXEC)};
  ReachedNumbers reached_{leader_.get()};
};

}  // namespace evercert
