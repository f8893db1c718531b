#include "agent/challenge/dns_provider.h"

namespace evercert {
namespace {

class UpdateProvider : public DnsProvider {
 public:
  UpdateProvider(DnsUpdate update, const DnsSettings& settings, std::stop_token stop)
      : update_(std::move(update)), timing_{std::chrono::milliseconds(2000), 2, std::move(stop)}, lookup_(settings, timing_) {}

  Result<Done> add(const DnsRecord& record) override { return change(DnsChange::add, record); }
  Result<Done> remove(const DnsRecord& record) override { return change(DnsChange::remove, record); }

 private:
  Result<Done> change(DnsChange what, const DnsRecord& record) {
    // A delegated zone may begin below the one that is configured: only the server knows.
    auto zone = lookup_.zone_of(record.name, &update_.server);
    if (!zone) return zone.error();
    return update_name_server(update_.server, *zone, what, record, update_.key, timing_);
  }

  const DnsUpdate update_;
  const DnsTiming timing_;
  const DnsLookup lookup_;
};

}  // namespace

std::unique_ptr<DnsProvider> make_update_provider(const DnsUpdate& update, const DnsSettings& settings, std::stop_token stop) {
  return std::make_unique<UpdateProvider>(update, settings, std::move(stop));
}

}  // namespace evercert
