// evercert.json as anybody might write it: whatever is read must pass check() without harm and survive the way to JSON and
// back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "evercert/plan.h"

namespace {

// Files named by the input do not exist; nothing on this machine is opened for it but by `include`.
bool includes(std::string_view text) {
  return text.find("include") != std::string_view::npos || text.find("\\u") != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  if (includes(text)) return 0;
  evercert::Settings settings;
  if (!evercert::read_settings_text(settings, text, "fuzz.json")) return 0;
  evercert::CarriedFiles files({});
  const evercert::Checked checked = evercert::check(settings, files, false);

  evercert::Settings again;
  const std::string json = evercert::to_json(settings);
  if (!evercert::read_settings_text(again, json, "again.json")) std::abort();
  if (checked.plan && !evercert::check(again, files, false).plan) std::abort();
  if (evercert::to_json(again) != json) std::abort();
  return 0;
}
