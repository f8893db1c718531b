#include <cppunit/extensions/HelperMacros.h>

#include "agent/publish/publication.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class PublishRevokedTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(PublishRevokedTest);
  CPPUNIT_TEST(what_is_revoked_is_so_since_its_revocation);
  CPPUNIT_TEST_SUITE_END();

 public:
  void what_is_revoked_is_so_since_its_revocation() {
    Publication::Current current;
    current.published_at = Time(1'800'000'000s);
    const Time revoked = current.published_at + 5h;
    for (const auto leaf : {std::uint8_t{1}, std::uint8_t{2}}) {
      current.pairs.emplace_back();
      current.pairs.back().leaf_sha256 = Bytes(32, leaf);
    }
    CPPUNIT_ASSERT(!current.revoked_at());
    current.revoked = {{to_hex(Bytes(32, 3)), current.published_at - 1h}, {to_hex(Bytes(32, 2)), revoked}};
    CPPUNIT_ASSERT(current.revoked_at() == revoked);
    CPPUNIT_ASSERT(!current.is_revoked(current.pairs[0]) && current.is_revoked(current.pairs[1]));
    // Noted without a time: it was published before it was revoked.
    current.revoked[1].at = Time();
    CPPUNIT_ASSERT(current.revoked_at() == current.published_at);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(PublishRevokedTest);

}  // namespace
}  // namespace evercert
