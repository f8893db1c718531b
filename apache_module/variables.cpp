// Notes for log formats: %{evercert-certificate}n and %{evercert-generation}n, of the handshake that made the connection.
#include "handshake.h"
#include "http_module.h"

namespace evercert {

int note_certificate(request_rec* request) {
  if (const Given* const given = given_to(request->connection)) {
    apr_table_setn(request->notes, "evercert-certificate", given->certificate);
    apr_table_setn(request->notes, "evercert-generation", given->generation);
  }
  return DECLINED;
}

}  // namespace evercert
