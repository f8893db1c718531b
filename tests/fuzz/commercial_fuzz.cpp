// What a commercial CA may answer to each question: the first byte chooses interface and HTTP status, the rest is the body of
// every answer.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/commercial/certinext_v1.h"
#include "agent/commercial/certinext_v2.h"
#include "agent/commercial/digicert.h"
#include "agent/commercial/sectigo.h"
#include "agent/commercial/ssl_store.h"
#include "serving/base/clock.h"

namespace evercert {
namespace {

class Answering : public HttpClient {
 public:
  explicit Answering(HttpResponse answer) : answer_(std::move(answer)) {}
  // So many that whatever reads page after page must have its own end.
  Result<HttpResponse> send(const HttpRequest&) override {
    if (++asked_ > 5000) __builtin_trap();
    return answer_;
  }

 private:
  HttpResponse answer_;
  int asked_ = 0;
};

class NoTime : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const override { return {}; }
};

template <typename Api>
void ask(const IssuerSpec& spec, const HttpResponse& answer) {
  const NoTime clock;
  Api api(spec, std::make_unique<Answering>(answer), clock);
  Wanted wanted;
  wanted.certificate = "example.org";
  wanted.identifiers = {{IdentifierKind::dns, "example.org"}, {IdentifierKind::dns, "www.example.org"}};
  wanted.request = Bytes(40, 48);
  wanted.reference = "0123456789abcdef0123456789abcdef";
  static_cast<void>(api.test_login());
  if (auto number = api.place(wanted); number && number->empty()) __builtin_trap();
  if (auto found = api.find(wanted, {"7"}); found && *found && (**found == "7" || (*found)->empty())) __builtin_trap();
  static_cast<void>(api.track("42"));
  for (const auto kind : {ChallengeKind::http_file, ChallengeKind::dns_txt, ChallengeKind::email}) {
    static_cast<void>(api.task("42", "example.org", kind));
    static_cast<void>(api.verify("42", "example.org", kind, "admin@example.org"));
  }
  static_cast<void>(api.download("42"));
  static_cast<void>(api.cancel("42", "not wanted"));
}

}  // namespace
}  // namespace evercert

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace evercert;
  if (size == 0) return 0;
  static constexpr std::array<int, 8> statuses{200, 200, 201, 400, 401, 404, 429, 500};
  IssuerSpec spec;
  spec.name = "fuzz";
  spec.uri = "https://ca.example/";
  spec.purchase = {};
  spec.purchase.secret = Secret::from_text("secret");
  spec.purchase.product = "842";
  HttpResponse answer;
  answer.status = statuses[bytes[0] >> 5];
  answer.body.assign(reinterpret_cast<const char*>(bytes + 1), size - 1);
  answer.fields = {{"Retry-After", answer.body.substr(0, 40)}, {"Location", answer.body.substr(0, 80)}};
  switch (bytes[0] % 5) {
    case 0:
      ask<CertinextV1>(spec, answer);
      break;
    case 1:
      spec.purchase.api = "v2";
      ask<CertinextV2>(spec, answer);
      break;
    case 2:
      ask<Sectigo>(spec, answer);
      break;
    case 3:
      ask<DigiCert>(spec, answer);
      break;
    default:
      ask<SslStore>(spec, answer);
  }
  return 0;
}
