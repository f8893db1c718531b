// The table of open challenge answers on the board. Readers come with every validation request and may be many; writers are
// rare. Nobody waits for anybody: a reader that meets a writer tries again a few times and then finds nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "evercert/board.h"
#include "serving/board/board_layout.h"

namespace evercert::answer_table {

std::optional<ChallengeAnswer> find(const BoardLayout& layout, ChallengeKind kind, std::string_view token);
// Token and answer fit (Board sees to it).
Result<std::uint32_t> add(BoardLayout& layout, ChallengeKind kind, std::string_view token, std::string_view answer,
                          std::chrono::system_clock::time_point expires);
void remove(BoardLayout& layout, ChallengeKind kind, std::string_view token);
void sweep(BoardLayout& layout, std::chrono::system_clock::time_point now);

}  // namespace evercert::answer_table
