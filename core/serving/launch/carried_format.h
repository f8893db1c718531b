// What the writing and the reading side of a Cycle agree upon.
//
// The secrets are {"format":1,"seal":{"id","serving":base64,"agent":base64},"files":{path:base64}}.
#pragma once

#include <fcntl.h>

#include <chrono>
#include <cstddef>
#include <string_view>

namespace evercert {

constexpr unsigned carried_format = 1;
// To a keeper, from the first process that serves.
constexpr std::string_view go_message = "{\"go\":1}";
// An agent's loop says {"beat":1} to its starter, and {"alive":1} to whoever is connected to it, this often; one that says
// nothing for so long is stuck, or was stopped.
constexpr std::chrono::seconds agent_beat{4};
constexpr std::chrono::seconds agent_silence{20};
constexpr std::string_view beat_message = "{\"beat\":1}";
// On an AgentLink: a message is a line of JSON and, for a delivery, the PEM texts behind it. Leaf, a long chain and a key for
// each of two kinds of key stay far below it; so does what the kernel lets a socket hold by default.
constexpr std::size_t largest_link_message = std::size_t{192} << 10;
constexpr int final_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

}  // namespace evercert
