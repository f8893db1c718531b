// Open orders, and such as may be, in the records of lines that no plan names any more. What they were placed for may be wanted
// under another name now (docs/decisions, "Lines"): then they are carried on there, not placed again. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "agent/order/order_record.h"

namespace evercert {

class LeftOrders {
 public:
  LeftOrders(Store& store, OrderRecords& orders) : store_(store), orders_(orders) {}

  // The lines that plans name now.
  void named(std::set<std::string> lines);
  // The open order for exactly these names and this key from one of the certificate's issuers, as the certificate's own record
  // from now on; the other one is gone. Errors: storage; whether there is one is not known, or it is still where it was.
  Result<std::optional<OrderRecord>> take(const CertificateSpec& certificate, const KeySpec& key);

 private:
  Result<Done> look();

  Store& store_;
  OrderRecords& orders_;
  std::mutex mutex_;
  std::set<std::string> lines_;
  bool looked_ = false;
  std::multimap<std::string, OrderRecord> left_;  // by names and key
};

}  // namespace evercert
