// What a commercial CA wants to know with an order, as the plan says it: who we are there, what is bought, for whom, and how
// control over the names is shown. Part of IssuerSpec; made by check() only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "evercert/secret.h"

namespace evercert {

struct Person {
  std::string name;
  std::string email;
  std::string phone;  // "+CC-NUMBER", or empty
  std::string title;
};

// Who agrees to the subscriber agreement, and from where.
struct Signer {
  std::string name;
  std::string place;
  std::string address;  // a public IP address
};

struct Purchase {
  std::string api;        // where a CA has several: "v1", "v2"
  std::string account;    // account number, login name, partner code or client id
  std::string customer;   // the part of the CA's log-in address that names us
  Secret secret;          // access key, password, token or API key
  std::string token_uri;  // where access tokens are fetched, if not below the CA's own address
  std::string product;
  std::string variant;  // of the product, where the CA asks for it
  std::string group;
  std::string organization;
  unsigned term = 0;  // in the CA's own unit; 0: the least it offers
  Person requester;
  Person technical_contact;
  Signer signer;  // no name: the agreement is accepted elsewhere
  std::string comments;
  std::vector<std::string> tags;
  std::vector<std::pair<std::string, std::string>> custom_fields;
  std::vector<std::string> recipients;
  std::string low_balance;      // a number, or empty
  bool www = false;             // also for www.NAME
  std::string email;            // that validation by mail goes to
  std::string validation_name;  // of TXT records; {domain} stands for the name to validate
  std::string validation_file;  // name of the file, where the CA does not tell it
};

}  // namespace evercert
