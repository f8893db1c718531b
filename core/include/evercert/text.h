// The one way on which text leaves us: to a terminal, a server's log, a page, a metric's label, the audit trail, a mail.
// What a CA, a file, a configuration or another user wrote must not move a cursor, forge a line, hide or reorder words there.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace evercert {

// A line of a server's log: nginx has room for 2048 bytes, with its own prefix.
inline constexpr std::size_t longest_line = 1900;
// A sentence for a person, which a log line follows with its fields.
inline constexpr std::size_t longest_sentence = 1500;
// One text of a peer (the detail of a problem, the title of a page) where it is read.
inline constexpr std::size_t longest_quote = 500;

// Well-formed UTF-8 (RFC 3629) on one line, at most `limit` bytes, with "..." at its end where it was cut. Line breaks and
// tabulators become blanks. Bytes that are no UTF-8 and characters that are not seen or that steer what is seen (C0, C1,
// separators of lines and paragraphs, marks of direction, zero width, tags) become \x1b or \u202e. Never throws but bad_alloc;
// what it returns it returns again unchanged.
std::string printable(std::string_view text, std::size_t limit = longest_line);

}  // namespace evercert
