// What the files of the module share of requests.
#pragma once

#include "configuration.h"

namespace evercert {

// Answers open challenges, then refuses requests of hosts that have no certificate yet. OK and DECLINED let a request go on.
int answer_challenge(request_rec* request);
int show_status(request_rec* request);
// mod_status, where it is loaded.
void register_server_status();
// Notes for log formats, once a request is over.
int note_certificate(request_rec* request);
// Status 200 with a whole body, or its headers for HEAD.
void send_page(request_rec* request, std::string_view type, std::string_view body);

}  // namespace evercert
