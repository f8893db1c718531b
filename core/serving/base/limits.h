// How much of a file is read, by its kind. Looked at before a byte of memory is taken (files.h): a file grows under the hands
// of whoever may write it, and one with a hole in it costs that user nothing.
#pragma once

#include <cstddef>

namespace evercert {

namespace size {
inline constexpr std::size_t kibi = std::size_t{1} << 10;
inline constexpr std::size_t mebi = std::size_t{1} << 20;
}  // namespace size

// Below state_path/state. Who serves never reads a status, but sends it; a thousand certificates are half a megabyte.
inline constexpr std::size_t largest_status = 32 * size::mebi;
inline constexpr std::size_t largest_status_head = 64 * size::kibi;  // of a status, where it is told that the agent is silent
inline constexpr std::size_t largest_record = 256 * size::kibi;    // what the store writes: bundles, orders, accounts, answers
inline constexpr std::size_t largest_bundle = 2 * largest_record;  // as read: the seal's own bytes are on top
inline constexpr std::size_t largest_index = 64 * size::mebi;      // names and ends of what is stored
inline constexpr std::size_t largest_ledger = 256 * size::mebi;    // imports/*.jsonl, by the agent only
inline constexpr std::size_t largest_trail_end = 16 * size::mebi;  // the last lines of a month of events

// Above it, or where the operator says.
inline constexpr std::size_t largest_seal_key = 1 * size::kibi;
inline constexpr std::size_t largest_leader_file = 64 * size::mebi;  // a million certificates, written by the leader
inline constexpr std::size_t largest_settings = 16 * size::mebi;     // evercert.json with what it includes, each
inline constexpr std::size_t largest_named_file = 1 * size::mebi;    // secrets, keys and CA certificates that the settings name
inline constexpr std::size_t largest_pem = 1 * size::mebi;           // exports, PEM files for HAProxy, files to import
inline constexpr std::size_t largest_pem_list = 64 * size::mebi;     // names of the PEM files that were written for HAProxy
inline constexpr std::size_t largest_resolver_file = 64 * size::kibi;  // /etc/resolv.conf

// How many generations of a line a start tries to open, newest first: two are kept, and whoever may write there can make more.
inline constexpr std::size_t most_generations_tried = 16;

// Memory files that a server hands to its agent, and lines between processes.
inline constexpr std::size_t largest_memory_file = 64 * size::mebi;
inline constexpr std::size_t largest_plan_line =
    16 * size::mebi;  // to the agent, from its own user or root: ten thousand names
inline constexpr std::size_t largest_answer_line = 4 * size::mebi;  // of the agent to the command line

}  // namespace evercert
