// Notes for log formats: %{evercert-certificate}n and %{evercert-generation}n, of the handshake that made the connection.
#include "handshake.h"
#include "http_module.h"

namespace evercert {

int note_certificate(request_rec* request) {
  if (const Given* const given = given_to(request->connection)) {
    apr_table_setn(request->notes, "evercert-certificate", given->certificate->c_str());
    apr_table_set(request->notes, "evercert-generation", std::to_string(given->generation).c_str());
  }
  return DECLINED;
}

}  // namespace evercert
