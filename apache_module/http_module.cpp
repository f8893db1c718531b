// The table that Apache looks up, and the callbacks in it.
#include "http_module.h"

#include <ap_mpm.h>
#include <http_protocol.h>
#include <mpm_common.h>

#include "directives.h"
#include "handshake.h"

namespace evercert {

namespace {

int before_reading(apr_pool_t* pool, apr_pool_t*, apr_pool_t*) {
  return guarded(static_cast<int>(HTTP_INTERNAL_SERVER_ERROR), [&] {
    new_cycle(pool);
    return OK;
  });
}

void* create_server(apr_pool_t* pool, server_rec*) {
  return guarded<void*>(nullptr, [&]() -> void* { return pool_new<VirtualHost>(pool); });
}

int check_configuration(apr_pool_t* pool, apr_pool_t*, apr_pool_t*, server_rec* main) {
  return guarded(static_cast<int>(HTTP_INTERNAL_SERVER_ERROR),
                 [&] { return cycle().check(main, pool) ? OK : static_cast<int>(HTTP_INTERNAL_SERVER_ERROR); });
}

int begin_cycle(apr_pool_t*, apr_pool_t*, apr_pool_t*, server_rec* main) {
  return guarded(static_cast<int>(HTTP_INTERNAL_SERVER_ERROR),
                 [&] { return cycle().begin(main) ? OK : static_cast<int>(HTTP_INTERNAL_SERVER_ERROR); });
}

int after_all_keys(apr_pool_t*, apr_pool_t*, apr_pool_t*, server_rec*) {
  cycle().close_stand_in();
  return OK;
}

void begin_child(apr_pool_t*, server_rec*) {
  guarded(0, [] {
    cycle().begin_process();
    return 0;
  });
}

int look_after_agent(apr_pool_t*, server_rec*) {
  return guarded(OK, [] {
    if (kept_agent() != nullptr) kept_agent()->tend();
    return OK;
  });
}

void register_hooks(apr_pool_t*) {
  ap_hook_pre_config(before_reading, nullptr, nullptr, APR_HOOK_MIDDLE);
  ap_hook_check_config(check_configuration, nullptr, nullptr, APR_HOOK_MIDDLE);
  // Before mod_ssl: the agent and its relay are forked while no key of any host is in memory.
  ap_hook_post_config(begin_cycle, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  ap_hook_post_config(after_all_keys, nullptr, nullptr, APR_HOOK_REALLY_LAST);
  ap_hook_child_init(begin_child, nullptr, nullptr, APR_HOOK_FIRST);
  ap_hook_monitor(look_after_agent, nullptr, nullptr, APR_HOOK_MIDDLE);
  // First of all: whatever a host does with its requests, a CA gets its answer.
  ap_hook_post_read_request(answer_challenge, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  ap_hook_handler(show_status, nullptr, nullptr, APR_HOOK_MIDDLE);
  ap_hook_log_transaction(note_certificate, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  register_handshake();
  register_server_status();
}

}  // namespace

void send_page(request_rec* request, std::string_view type, std::string_view body) {
  ap_set_content_type(request, apr_pstrmemdup(request->pool, type.data(), type.size()));
  ap_set_content_length(request, static_cast<apr_off_t>(body.size()));
  if (request->header_only == 0) ap_rwrite(body.data(), static_cast<int>(body.size()), request);
}

}  // namespace evercert

// What Apache looks up by name; everything else is hidden.
extern "C" {
module AP_MODULE_DECLARE_DATA evercert_module = {STANDARD20_MODULE_STUFF,  nullptr, nullptr,
                                                 evercert::create_server,  nullptr, evercert::directives(),
                                                 evercert::register_hooks, 0};
}
