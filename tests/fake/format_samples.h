// One of everything that lies below a state_path, with every member set, written by the product's own writers. The files in
// tests/data/formats were made by them; seal_formats_test.cpp holds both sides to each other.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "agent/challenge/open_answers.h"
#include "agent/commercial/offers.h"
#include "agent/commercial/open_requests.h"
#include "agent/issuer/account_records.h"
#include "agent/observe/event.h"
#include "agent/order/order_record.h"
#include "agent/renewal/pace.h"
#include "agent/store/import_ledger.h"
#include "agent/store/revoked_leaves.h"
#include "evercert/lines.h"
#include "serving/certificate/bundle.h"

namespace evercert::samples {

inline constexpr const char* certificate = "www.example.com";
inline constexpr const char* wildcard = "*.example.com";
inline constexpr const char* issuer = "bought";
inline constexpr const char* issuer_uri = "https://ca.example/directory";
inline constexpr const char* account_id = "0123456789abcdef";
inline constexpr std::uint64_t generation = 3;
inline const auto moment = std::chrono::system_clock::from_time_t(1'700'000'000);

OrderRecord order();
Pace pace();
AccountRecord account();
Offers offers();
std::vector<OpenRequest> requests();
std::map<std::string, std::string> left_alone();
OpenAnswer answer();
StoredLine line();
ImportLedger::Known imported();
std::vector<RevokedLeaf> revoked();
Event event();
// A hook that may run once in a working directory, and fails at the second time.
std::vector<std::string> hook();

// Below `state_path`, which has a seal.key or gets one. `bundle` is the one that lies there as its generation. Returns what
// went wrong, or an empty text.
std::string write(const std::string& state_path, const Bundle& bundle);
// Gives the generation to the hook and waits for what comes of it. Empty: it was told, now or before.
std::string tell_hook(const std::string& state_path);

}  // namespace evercert::samples
