#include "agent/commercial/commercial_issuer.h"

#include <cppunit/extensions/HelperMacros.h>

#include <map>

#include "agent/commercial/open_requests.h"
#include "agent/commercial/rest.h"
#include "fake/fake_clock.h"
#include "serving/base/json.h"
#include "serving/base/openssl_handles.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

constexpr std::int64_t day = 86400;

// A CA that does as it is told and notes what it was asked for.
struct MadeUpApi : CommercialApi {
  struct Told {
    std::vector<std::string> asked;
    bool reissues = true;
    std::optional<Error> refuses_reissue = std::nullopt;
    std::optional<std::string> found = std::nullopt;
    std::optional<std::string> found_reissue = std::nullopt;
    Progress progress = {};
    Result<Settled> revocation = Settled::yes;
    std::optional<Error> refuses_revocation = std::nullopt;
    std::optional<Error> refuses_cancel = std::nullopt;
  };
  explicit MadeUpApi(Told& given) : told(given) {}

  [[nodiscard]] std::string title() const override { return "Made-up CA"; }
  Result<std::string> test_login() override { return std::string("nobody"); }
  Result<std::string> place(const Wanted&) override { return asked("place", "new"); }
  Result<std::optional<std::string>> find(const Wanted&, const std::vector<std::string>&) override {
    told.asked.emplace_back("find");
    return told.found;
  }
  [[nodiscard]] bool can_reissue(const Subscription&, const Wanted&) const override { return told.reissues; }
  Result<std::string> reissue(const Subscription& subscription, const Wanted&) override {
    auto reference = asked("reissue", subscription.order);
    if (told.refuses_reissue) return *told.refuses_reissue;
    return reference;
  }
  Result<std::optional<std::string>> find_reissue(const Subscription&, const Wanted&,
                                                  const std::vector<std::string>&) override {
    told.asked.emplace_back("find_reissue");
    return told.found_reissue;
  }
  Result<Progress> track(const std::string&) override {
    told.asked.emplace_back("track");
    return told.progress;
  }
  Result<Task> task(const std::string&, const std::string&, ChallengeKind) override { return Task{}; }
  Result<Done> verify(const std::string&, const std::string&, ChallengeKind, const std::string&) override { return Done{}; }
  Result<std::string> download(const std::string&) override { return asked("download", ""); }
  Result<Done> cancel(const std::string&, const std::string&) override {
    told.asked.emplace_back("cancel");
    if (told.refuses_cancel) return *told.refuses_cancel;
    return Done{};
  }
  Result<Done> revoke(const LeafFacts&, int, const std::string&) override {
    told.asked.emplace_back("revoke");
    if (told.refuses_revocation) return *told.refuses_revocation;
    return Done{};
  }
  Result<Settled> revocation_of(const LeafFacts&) override { return told.revocation; }

  std::string asked(const char* what, std::string answer) {
    told.asked.emplace_back(what);
    return answer;
  }
  Told& told;
};

struct NoAccounts : AccountRecords {
  Result<std::optional<AccountRecord>> load(const std::string&) override { return std::optional<AccountRecord>(); }
  Result<AccountRecord> add(const std::string&, const AccountRecord& record) override { return record; }
  Result<Done> save(const std::string&, const AccountRecord&) override { return Done{}; }
};

class CommercialIssuerTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(CommercialIssuerTest);
  CPPUNIT_TEST(without_a_running_order_one_is_placed);
  CPPUNIT_TEST(a_running_order_is_reissued_instead_of_bought_again);
  CPPUNIT_TEST(an_order_that_ends_with_its_certificate_is_followed_by_another);
  CPPUNIT_TEST(a_young_certificate_is_replaced_without_another_term);
  CPPUNIT_TEST(other_names_are_reissued_while_there_is_time_left);
  CPPUNIT_TEST(a_ca_without_a_reissue_for_it_is_sent_an_order);
  CPPUNIT_TEST(a_reissue_that_is_refused_becomes_an_order_and_an_event);
  CPPUNIT_TEST(a_reissue_under_way_is_waited_for_and_not_paid_around);
  CPPUNIT_TEST(a_reissue_whose_outcome_is_unknown_places_nothing);
  CPPUNIT_TEST(a_lost_reissue_is_looked_for_after_a_lost_order);
  CPPUNIT_TEST(giving_up_cancels_orders_and_never_reissues);
  CPPUNIT_TEST(cancelled_is_said_only_when_the_ca_says_so);
  CPPUNIT_TEST(what_a_ca_has_ended_is_not_cancelled_there);
  CPPUNIT_TEST(an_order_that_somebody_rejected_is_a_matter_for_a_person);
  CPPUNIT_TEST(revoked_is_said_only_when_the_ca_says_so);
  CPPUNIT_TEST(a_revocation_whose_answer_was_lost_is_looked_for);
  CPPUNIT_TEST(what_was_asked_for_is_looked_after_until_it_is_true);
  CPPUNIT_TEST(what_is_not_ready_yet_is_asked_for_soon_and_then_less_often);
  CPPUNIT_TEST(what_was_laid_out_long_ago_is_laid_out_again);
  CPPUNIT_TEST(a_text_that_is_no_running_order_is_none);
  CPPUNIT_TEST(serial_numbers_are_the_same_in_every_notation);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    told_ = {};
    said_.clear();
    IssuerSpec spec;
    spec.name = "shop";
    spec.type = "digicert";
    spec.challenges = {ChallengeKind::http_file};
    events_ = std::make_unique<Events>();
    events_->subscribe([this](const Event& event) { said_.push_back(event.name); });
    issuer_ = make_commercial_issuer(spec, std::make_unique<MadeUpApi>(told_), {accounts_, *events_, clock_});
    const auto key = make_file_keys()->generate({});
    CPPUNIT_ASSERT(key);
    wanted_ = {"a.test", {{IdentifierKind::dns, "a.test"}, {IdentifierKind::dns, "b.test"}}, {}, {}, "ref", ""};
    wanted_.request = make_request(*key, wanted_.identifiers, false).value();
  }

  void without_a_running_order_one_is_placed() {
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
    CPPUNIT_ASSERT(told_.asked == asked({"place"}));
  }

  void a_running_order_is_reissued_instead_of_bought_again() {
    runs(60 * day, 200 * day);
    CPPUNIT_ASSERT_EQUAL(std::string("4711"), issuer_->place(wanted_)->reference);
    CPPUNIT_ASSERT(told_.asked == asked({"reissue"}));
  }

  void an_order_that_ends_with_its_certificate_is_followed_by_another() {
    runs(60 * day, 60 * day);
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
    runs(60 * day, 73 * day);
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
    runs(60 * day, 74 * day);
    CPPUNIT_ASSERT_EQUAL(std::string("4711"), issuer_->place(wanted_)->reference);
  }

  void a_young_certificate_is_replaced_without_another_term() {
    runs(101 * day, 101 * day);
    CPPUNIT_ASSERT_EQUAL(std::string("4711"), issuer_->place(wanted_)->reference);
    runs(100 * day, 100 * day);
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
  }

  void other_names_are_reissued_while_there_is_time_left() {
    runs(60 * day, 60 * day, {"a.test"});
    CPPUNIT_ASSERT_EQUAL(std::string("4711"), issuer_->place(wanted_)->reference);
    runs(13 * day, 13 * day, {"a.test"});
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
    runs(-day, -day, {"a.test"});
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
  }

  void a_ca_without_a_reissue_for_it_is_sent_an_order() {
    runs(60 * day, 200 * day);
    told_.reissues = false;
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
  }

  void a_reissue_that_is_refused_becomes_an_order_and_an_event() {
    runs(60 * day, 200 * day);
    told_.refuses_reissue = Error{ErrorKind::issuer_refused, "no"};
    told_.progress.stage = Stage::dead;
    CPPUNIT_ASSERT_EQUAL(std::string("new"), issuer_->place(wanted_)->reference);
    CPPUNIT_ASSERT(told_.asked == asked({"reissue", "track", "place"}));
    CPPUNIT_ASSERT(said_ == asked({"reissue_refused"}));
  }

  void a_reissue_under_way_is_waited_for_and_not_paid_around() {
    runs(60 * day, 200 * day);
    told_.refuses_reissue = Error{ErrorKind::issuer_refused, "no"};
    told_.progress.stage = Stage::working;
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::rate_limited && placed.error().retry_after);
    CPPUNIT_ASSERT(told_.asked == asked({"reissue", "track"}));
  }

  void a_reissue_whose_outcome_is_unknown_places_nothing() {
    runs(60 * day, 200 * day);
    told_.refuses_reissue = Error{ErrorKind::connection, "no answer"};
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT(told_.asked == asked({"reissue"}));
  }

  void a_lost_reissue_is_looked_for_after_a_lost_order() {
    runs(60 * day, 200 * day);
    CPPUNIT_ASSERT(!*issuer_->find(wanted_, {}));
    CPPUNIT_ASSERT(told_.asked == asked({"find", "find_reissue"}));
    told_.found_reissue = "4711";
    const auto found = issuer_->find(wanted_, {"4711"});
    CPPUNIT_ASSERT(found && *found && (*found)->reference == "4711");
    CPPUNIT_ASSERT(detail_of(**found)->reissue);
  }

  void giving_up_cancels_orders_and_never_reissues() {
    const auto order = issuer_->place(wanted_);
    CPPUNIT_ASSERT(issuer_->abandon(*order));
    CPPUNIT_ASSERT(told_.asked == asked({"place", "cancel", "track"}));
    told_.asked.clear();
    runs(60 * day, 200 * day);
    const auto reissue = issuer_->place(wanted_);
    CPPUNIT_ASSERT(issuer_->abandon(*reissue));
    CPPUNIT_ASSERT(told_.asked == asked({"reissue"}));
  }

  void cancelled_is_said_only_when_the_ca_says_so() {
    const auto order = issuer_->place(wanted_);
    told_.progress.stage = Stage::dead;
    CPPUNIT_ASSERT(issuer_->abandon(*order) && said_ == asked({"order_cancelled"}));
    told_.progress.stage = Stage::people;
    said_.clear();
    CPPUNIT_ASSERT(issuer_->abandon(*order) && said_ == asked({"cancellation_requested"}));
    told_.refuses_cancel = Error{ErrorKind::issuer_refused, "it is at work"};
    said_.clear();
    CPPUNIT_ASSERT(!issuer_->abandon(*order) && said_ == asked({"order_not_cancelled"}));
    // Its answer was lost: what the CA shows is said.
    told_.refuses_cancel = Error{ErrorKind::connection, "no answer"};
    told_.progress.stage = Stage::dead;
    said_.clear();
    CPPUNIT_ASSERT(issuer_->abandon(*order) && said_ == asked({"order_cancelled"}));
  }

  void what_a_ca_has_ended_is_not_cancelled_there() {
    auto order = issuer_->place(wanted_).value();
    order.status = IssuerOrderStatus::invalid;
    CPPUNIT_ASSERT(issuer_->abandon(order) && said_.empty() && told_.asked == asked({"place"}));
  }

  void an_order_that_somebody_rejected_is_a_matter_for_a_person() {
    const auto order = issuer_->place(wanted_).value();
    told_.progress.stage = Stage::dead;
    told_.progress.said = "was rejected by the CA";
    const auto dead = issuer_->refresh(order);
    CPPUNIT_ASSERT(dead && dead->status == IssuerOrderStatus::invalid && dead->problem);
    CPPUNIT_ASSERT(dead->problem->kind == ErrorKind::action_required && dead->problem->problem->type == order_rejected);
  }

  Bytes leaf() {
    const KeyHandle key(EVP_EC_gen("P-256"));
    const CertificateHandle made(X509_new());
    X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 77);
    X509_set_pubkey(made.get(), key.get());
    X509_sign(made.get(), key.get(), EVP_sha256());
    Bytes der(static_cast<std::size_t>(i2d_X509(made.get(), nullptr)));
    unsigned char* at = der.data();
    i2d_X509(made.get(), &at);
    return der;
  }

  void revoked_is_said_only_when_the_ca_says_so() {
    CPPUNIT_ASSERT(issuer_->revoke(leaf(), {}, nullptr).value() == Fulfilment::done);
    for (const auto state : {Settled::requested, Settled::no}) {
      told_.revocation = state;
      CPPUNIT_ASSERT(issuer_->revoke(leaf(), {}, nullptr).value() == Fulfilment::requested);
    }
    told_.revocation = Settled::no;
    told_.refuses_revocation = Error{ErrorKind::issuer_refused, "no"};
    CPPUNIT_ASSERT(!issuer_->revoke(leaf(), {}, nullptr));
    // It may be refused because it is done.
    told_.revocation = Settled::yes;
    CPPUNIT_ASSERT(issuer_->revoke(leaf(), {}, nullptr).value() == Fulfilment::done);
  }

  void a_revocation_whose_answer_was_lost_is_looked_for() {
    told_.refuses_revocation = Error{ErrorKind::connection, "no answer"};
    CPPUNIT_ASSERT(issuer_->revoke(leaf(), {}, nullptr).value() == Fulfilment::done);
    told_.revocation = Settled::requested;
    CPPUNIT_ASSERT(issuer_->revoke(leaf(), {}, nullptr).value() == Fulfilment::requested);
    told_.revocation = Settled::no;
    const auto none = issuer_->revoke(leaf(), {}, nullptr);
    CPPUNIT_ASSERT(!none && none.error().message.find("shows no revocation: ask again") != std::string::npos);
    told_.revocation = Error{ErrorKind::connection, "still nothing"};
    const auto unknown = issuer_->revoke(leaf(), {}, nullptr);
    CPPUNIT_ASSERT(!unknown && unknown.error().message.find("is not known") != std::string::npos);
  }

  void what_was_asked_for_is_looked_after_until_it_is_true() {
    struct Kept : OfferRecords {
      Result<bool> load(const std::string&, What what, const Reader& read) override {
        if (texts.contains(what)) read(Json::parse(texts.at(what)));
        return texts.contains(what);
      }
      Result<Done> save(const std::string&, What what, Json content) override {
        texts[what] = content.dump();
        return Done{};
      }
      std::map<What, std::string> texts;
    } kept;
    MadeUpApi api(told_);
    IssuerSpec spec;
    spec.name = "shop";
    const auto make = [&] { return std::make_unique<OpenRequests>(spec, api, clock_, *events_, &kept); };
    auto open = make();
    told_.progress.stage = Stage::people;
    told_.revocation = Settled::requested;
    open->add({OpenRequest::What::cancellation, "a.test", "7", {}, clock_.now(), {}});
    open->add({OpenRequest::What::revocation, "b.test", "", leaf(), clock_.now(), {}});
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, open->seen().size());
    // Another process goes on with both.
    open = make();
    CPPUNIT_ASSERT(open->tend() && open->seen().size() == 2 && said_.empty());
    told_.progress.stage = Stage::dead;
    clock_.advance(std::chrono::hours(2));
    CPPUNIT_ASSERT(open->tend() && said_ == asked({"order_cancelled"}) && open->seen().size() == 1);
    CPPUNIT_ASSERT(open->seen().front().what == "revocation" && open->seen().front().certificate == "b.test");
    told_.revocation = Settled::yes;
    clock_.advance(std::chrono::hours(2));
    CPPUNIT_ASSERT(!open->tend() && said_ == asked({"order_cancelled", "revoked"}) && make()->seen().empty());
  }

  void what_is_not_ready_yet_is_asked_for_soon_and_then_less_often() {
    using std::chrono::seconds;
    const auto order = issuer_->place(wanted_).value();
    std::vector<seconds> pauses;
    for (int i = 0; i < 7; ++i) {
      pauses.push_back(*issuer_->refresh(order)->retry_after);
      clock_.advance(pauses.back());
    }
    CPPUNIT_ASSERT(
        (pauses == std::vector<seconds>{seconds(1), seconds(1), seconds(2), seconds(4), seconds(8), seconds(15), seconds(15)}));
    // A clock that was put back asks no less often than one that was not.
    clock_.advance(-std::chrono::hours(1));
    CPPUNIT_ASSERT(*issuer_->refresh(order)->retry_after == seconds(1));
  }

  void what_was_laid_out_long_ago_is_laid_out_again() {
    auto order = issuer_->place(wanted_).value();
    told_.progress.domains_known = true;
    told_.progress.domains = {{"a.test", false, false}, {"b.test", true, false}};
    CPPUNIT_ASSERT(issuer_->refresh(order)->authorize_again);
    for (int round = 0; round < 2; ++round) {
      CPPUNIT_ASSERT(issuer_->challenges(order).has_value());
      CPPUNIT_ASSERT(!issuer_->refresh(order)->authorize_again);
      clock_.advance(std::chrono::hours(13));
      CPPUNIT_ASSERT(issuer_->refresh(order)->authorize_again);
    }
  }

  void a_text_that_is_no_running_order_is_none() {
    const Subscription given{"4711", {"a.test"}, "0a1b", 4, 5, 6};
    const auto read = subscription_from(text_of(given));
    CPPUNIT_ASSERT(read && read->order == given.order && read->names == given.names && read->serial == given.serial &&
                   read->not_before == 4 && read->not_after == 5 && read->ends == 6);
    for (const char* text :
         {"", "{}", "[", R"({"order":1})", R"({"order":"1","names":[],"serial":"1","not_before":1,"not_after":1})"}) {
      CPPUNIT_ASSERT_MESSAGE(text, !subscription_from(text));
    }
  }

  void serial_numbers_are_the_same_in_every_notation() {
    for (const char* theirs : {"0a1b2c3d4e5f", "A1B2C3D4E5F", "0A:1B:2C:3D:4E:5F", "11111822610015"}) {
      CPPUNIT_ASSERT_MESSAGE(theirs, same_serial("0a1b2c3d4e5f", theirs));
    }
    for (const char* theirs : {"", "0", "0a1b2c3d4e5e", "11111822610016", "xyz"}) {
      CPPUNIT_ASSERT_MESSAGE(theirs, !same_serial("0a1b2c3d4e5f", theirs));
    }
  }

 private:
  static std::vector<std::string> asked(std::initializer_list<const char*> what) { return {what.begin(), what.end()}; }

  // What was bought before ends so many seconds from now: its last certificate, which lives 200 days, and the order.
  void runs(std::int64_t certificate, std::int64_t order, std::vector<std::string> names = {"b.test", "a.test"}) {
    const std::int64_t now = std::chrono::system_clock::to_time_t(clock_.now());
    wanted_.subscription =
        text_of({"4711", std::move(names), "01", now + certificate - 200 * day, now + certificate, now + order});
  }

  MadeUpApi::Told told_;
  std::vector<std::string> said_;
  NoAccounts accounts_;
  std::unique_ptr<Events> events_;
  FakeClock clock_;
  std::unique_ptr<Issuer> issuer_;
  Wanted wanted_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(CommercialIssuerTest);

}  // namespace
}  // namespace evercert
