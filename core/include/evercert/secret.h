// Bytes that must not be seen: wiped when they go, without any way to be printed or compared by accident.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evercert {

using Bytes = std::vector<std::uint8_t>;
using BytesView = std::span<const std::uint8_t>;

// The bytes of a text; the view lives as long as the text stays unchanged.
inline BytesView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Overwrites and empties a text that held a secret on its way into or out of another form.
void wipe(std::string& text) noexcept;

class Secret {
 public:
  Secret() = default;
  explicit Secret(Bytes bytes) : bytes_(std::move(bytes)) {}
  static Secret from_text(std::string_view text) { return Secret(Bytes(text.begin(), text.end())); }

  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { wipe(); }

  [[nodiscard]] BytesView view() const { return bytes_; }
  // For parsers that read text; the view lives as long as this object stays unchanged.
  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  void wipe() noexcept;

 private:
  Bytes bytes_;
};

}  // namespace evercert
