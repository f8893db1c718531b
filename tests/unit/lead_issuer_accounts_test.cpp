#include <cppunit/extensions/HelperMacros.h>

#include <algorithm>

#include "agent/lead/issuer_accounts.h"
#include "fake/fake_clock.h"
#include "fake/fake_issuer.h"

namespace evercert {
namespace {

IssuerSpec account(const std::string& name, const std::string& secret = "") {
  IssuerSpec spec;
  spec.name = name;
  spec.type = "digicert";
  spec.uri = "https://ca.test/";
  spec.purchase.secret = Secret::from_text(secret);
  return spec;
}

std::shared_ptr<const Plan> plan_of(std::vector<IssuerSpec> issuers) {
  auto plan = std::make_shared<Plan>();
  plan->issuers = std::move(issuers);
  return plan;
}

class IssuerAccountsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(IssuerAccountsTest);
  CPPUNIT_TEST(an_account_is_made_once_whoever_asks);
  CPPUNIT_TEST(an_account_that_no_plan_names_any_more_is_forgotten);
  CPPUNIT_TEST(an_account_with_another_secret_takes_the_place_of_the_one_before);
  CPPUNIT_TEST(who_still_works_with_a_forgotten_account_keeps_it);
  CPPUNIT_TEST_SUITE_END();

 public:
  void an_account_is_made_once_whoever_asks() {
    CPPUNIT_ASSERT(issuer_accounts_.access(account("one"))->issuer == issuer_accounts_.access(account("one"))->issuer);
    CPPUNIT_ASSERT_EQUAL(1U, made_);
  }

  void an_account_that_no_plan_names_any_more_is_forgotten() {
    for (const char* name : {"one", "two", "three"}) CPPUNIT_ASSERT(issuer_accounts_.access(account(name)));
    issuer_accounts_.keep({plan_of({account("one")}), plan_of({account("three"), account("four")})});
    CPPUNIT_ASSERT(names() == std::vector<std::string>({"one", "three"}));
    issuer_accounts_.keep({});
    CPPUNIT_ASSERT(names().empty());
  }

  void an_account_with_another_secret_takes_the_place_of_the_one_before() {
    const auto before = issuer_accounts_.access(account("one", "old"));
    const auto now = plan_of({account("one", "new")});
    CPPUNIT_ASSERT(issuer_accounts_.access(now->issuers.front())->issuer != before->issuer);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, names().size());
    issuer_accounts_.keep({now});
    CPPUNIT_ASSERT(names() == std::vector<std::string>({"one"}));
    CPPUNIT_ASSERT(issuer_accounts_.issuers().front() != before->issuer);
  }

  void who_still_works_with_a_forgotten_account_keeps_it() {
    auto access = issuer_accounts_.access(account("one"));
    const std::weak_ptr<ChallengeSolver> solver = access->solver;
    const std::weak_ptr<Issuer> issuer = access->issuer;
    issuer_accounts_.keep({});
    CPPUNIT_ASSERT(!solver.expired() && issuer.lock()->spec().name == "one");
    access.reset();
    CPPUNIT_ASSERT(solver.expired() && issuer.expired());
  }

 private:
  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const auto& issuer : issuer_accounts_.issuers()) names.push_back(issuer->spec().name);
    std::sort(names.begin(), names.end());
    return names;
  }

  FakeClock clock_;
  Events events_;
  unsigned made_ = 0;
  IssuerAccounts issuer_accounts_{[this](const IssuerSpec& spec) -> Result<std::unique_ptr<Issuer>> {
                                    ++made_;
                                    return std::unique_ptr<Issuer>(new FakeIssuer(spec, clock_));
                                  },
                                  [](const IssuerSpec&) { return std::make_unique<FakeSolver>(); }, events_};
};

CPPUNIT_TEST_SUITE_REGISTRATION(IssuerAccountsTest);

}  // namespace
}  // namespace evercert
