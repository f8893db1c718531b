// The one source of chance in a simulated world: the same seed throws the same numbers on every machine.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace evercert::simulation {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 0x1234567) {
    for (int i = 0; i < 4; ++i) next();
  }

  std::uint64_t next() {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  double share() { return static_cast<double>(next() >> 11U) / 9007199254740992.0; }  // 0 … 1
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(next() % count); }
  bool once_in(std::size_t count) { return below(count) == 0; }
  bool chance(double probability) { return probability > 0 && share() < probability; }

  // Between the two, small ones as likely as large ones by their magnitude.
  std::chrono::milliseconds between(std::chrono::milliseconds least, std::chrono::milliseconds most) {
    double low = static_cast<double>(least.count()) + 1;
    const double high = static_cast<double>(most.count()) + 1;
    double factor = high / low;
    // A power without <cmath>, whose last bits differ between machines: halves of the way, taken or not.
    for (int step = 0; step < 12; ++step) {
      factor = root(factor);
      if ((next() & 1U) != 0) low *= factor;
    }
    return std::chrono::milliseconds(static_cast<std::int64_t>(low) - 1);
  }

  template <typename Value>
  const Value& of(const std::vector<Value>& values) {
    return values[below(values.size())];
  }

 private:
  static double root(double of) {
    double guess = of > 1 ? of / 2 + 0.5 : 1;
    for (int i = 0; i < 40; ++i) guess = (guess + of / guess) / 2;
    return guess;
  }
  std::uint64_t state_;
};

}  // namespace evercert::simulation
