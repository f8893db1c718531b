// The certificates that a simulated CA issues, good ones and others. They are put together from their parts: no chain is asked
// for, so that nobody looks at the signature, and OpenSSL's way of making one costs more than all that the product does with
// it.
#include <ctime>

#include "serving/base/encoding.h"
#include "serving/certificate/read_certificate.h"
#include "simulation/ca.h"
#include "simulation/keys.h"

namespace evercert::simulation {
namespace {

struct Form {
  Time not_before;
  Time not_after;
  std::vector<Identifier> names;
  bool good = true;
};

// X.690: one element.
Bytes element(std::uint8_t tag, BytesView content) {
  Bytes bytes{tag};
  if (content.size() < 128) {
    bytes.push_back(static_cast<std::uint8_t>(content.size()));
  } else {
    bytes.push_back(0x82);
    bytes.push_back(static_cast<std::uint8_t>(content.size() >> 8U));
    bytes.push_back(static_cast<std::uint8_t>(content.size()));
  }
  bytes.insert(bytes.end(), content.begin(), content.end());
  return bytes;
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

constexpr std::uint8_t sequence = 0x30;
constexpr std::uint8_t set = 0x31;
constexpr std::uint8_t octets = 0x04;

Bytes algorithm() {  // ecdsa-with-SHA256
  return {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
}

Bytes date(Time time) {  // GeneralizedTime
  const std::time_t seconds_since = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds_since, &parts);
  char text[20];
  const std::size_t size = std::strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &parts);
  return element(0x18, bytes_of({text, size}));
}

Bytes name(std::string_view common_name) {
  const Bytes type{0x06, 0x03, 0x55, 0x04, 0x03};
  return element(sequence, element(set, element(sequence, joined({type, element(0x0c, bytes_of(common_name))}))));
}

Bytes serial(std::uint64_t number) {
  Bytes bytes{0x01};
  for (int shift = 56; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::uint8_t>(number >> static_cast<unsigned>(shift)));
  return element(0x02, bytes);
}

Bytes alternative_names(const std::vector<Identifier>& names) {
  Bytes list;
  for (const auto& one : names) {
    const Bytes each = element(0x82, bytes_of(one.value));
    list.insert(list.end(), each.begin(), each.end());
  }
  const Bytes type{0x06, 0x03, 0x55, 0x1d, 0x11};
  const Bytes extension = element(sequence, joined({type, element(octets, element(sequence, list))}));
  return element(0xa3, element(sequence, extension));
}

Bytes leaf_of(const Form& form, BytesView public_key, std::uint64_t number, const std::string& issuer) {
  const Bytes version{0xa0, 0x03, 0x02, 0x01, 0x02};
  const Bytes body = joined({version, serial(number), algorithm(), name(issuer),
                             element(sequence, joined({date(form.not_before), date(form.not_after)})), element(sequence, {}),
                             Bytes(public_key.begin(), public_key.end()), alternative_names(form.names)});
  const Bytes signature{0x03, 0x09, 0x00, 0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01};
  return element(sequence, joined({element(sequence, body), algorithm(), signature}));
}

}  // namespace

Bytes Ca::sign(CaOrder& order) {
  const Time now = world_.times.now;
  Form form{now - seconds(60), now - seconds(60) + lifetime, order.wanted.identifiers};
  Bytes other;
  BytesView key = public_key_in_request(order.wanted.request);
  if (one_in(weather.bad)) {
    form.good = false;
    switch (world_.dice.below(6)) {
      case 0:
        form.not_before = now - day * 100;
        form.not_after = now - hours(1);
        break;
      case 1:
        form.not_after = now + hours(30);
        break;
      case 2:
        form.not_before = now + world_.dice.between(minutes(10), day * 40);
        form.not_after = form.not_before + lifetime;
        break;
      case 3:
        form.names = {{IdentifierKind::dns, "somebody-else.test"}};
        break;
      case 4:
        other = Bytes(key.begin(), key.end());
        other.back() ^= 1U;
        key = other;
        break;
      default:
        form.names.push_back({IdentifierKind::dns, "added.test"});
        form.good = true;
    }
  }
  Bytes der = leaf_of(form, key, serial_++, spec_.name);
  leaves_[sha256(der)] = {form.not_before, form.not_after, form.names, now, form.good, false};
  world_.history.add(spec_.name, "issues", [&] {
    return order.reference + " from " + to_rfc3339(form.not_before) + " to " + to_rfc3339(form.not_after) + " for " +
           (form.names.empty() ? "nobody" : form.names.front().value) + (form.good ? "" : ", which is no good");
  });
  return der;
}

}  // namespace evercert::simulation
