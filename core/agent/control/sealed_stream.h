// What the control socket speaks once both ends have said a number used once: frames that only who holds the agent key of the
// state directory can make or read, in their order. The socket lies where the web server's user may put another one, and the
// agent has that user, so that no name and no credentials of the kernel tell the right peer.
//
// Keys: HKDF-SHA-256 (RFC 5869) of the agent key, the client's number and the server's as salt, one key for each direction.
// A frame: length of what follows (u32, big-endian), AES-256-GCM ciphertext and tag. The nonce is the count of frames before
// it in that direction, the length is authenticated. Nothing may follow an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "evercert/result.h"
#include "evercert/state.h"

namespace evercert {

class SealedStream {
 public:
  enum class Side { client, server };
  static constexpr std::size_t number_size = 32;

  // Errors: internal.
  static Result<SealedStream> begin(const SealKey& agent, BytesView clients_number, BytesView servers_number, Side side);

  // A whole frame around a message.
  Result<std::string> seal(std::string_view message);
  // Takes a frame off the front of what was received, once it is whole: until then nullopt. Errors (internal): it is longer
  // than `longest`, or was not sealed by the other side of this very connection.
  Result<std::optional<std::string>> open(std::string& received, std::size_t longest);
  static bool holds_frame(const std::string& received);

 private:
  struct Direction {
    Secret key;
    std::uint64_t count = 0;
    [[nodiscard]] Bytes next_nonce();
  };
  SealedStream(Secret out, Secret in) : out_{std::move(out)}, in_{std::move(in)} {}

  Direction out_;
  Direction in_;
};

}  // namespace evercert
