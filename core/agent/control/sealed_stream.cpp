#include "agent/control/sealed_stream.h"

#include "serving/store/gcm.h"
#include "serving/store/seal_key.h"

namespace evercert {
namespace {

constexpr std::size_t length_size = 4;
constexpr std::string_view from_client = "evercert control 1 client";
constexpr std::string_view from_server = "evercert control 1 server";

std::size_t length_in(const std::string& received) {
  return static_cast<std::size_t>(big_endian(bytes_of(received).first(length_size)));
}

}  // namespace

Bytes SealedStream::Direction::next_nonce() {
  Bytes nonce(gcm_nonce_size - sizeof count, 0);
  append_big_endian(nonce, count++, sizeof count);
  return nonce;
}

Result<SealedStream> SealedStream::begin(const SealKey& agent, BytesView clients_number, BytesView servers_number, Side side) {
  if (agent.key.view().size() != gcm_key_size || clients_number.size() != number_size || servers_number.size() != number_size)
    return Error{ErrorKind::internal, "a sealed connection needs a key and two numbers"};
  Bytes salt(clients_number.begin(), clients_number.end());
  salt.insert(salt.end(), servers_number.begin(), servers_number.end());
  auto client = hkdf_sha256(agent.key.view(), salt, from_client, gcm_key_size);
  if (!client) return client.error();
  auto server = hkdf_sha256(agent.key.view(), salt, from_server, gcm_key_size);
  if (!server) return server.error();
  return side == Side::client ? SealedStream(std::move(*client), std::move(*server))
                              : SealedStream(std::move(*server), std::move(*client));
}

Result<std::string> SealedStream::seal(std::string_view message) {
  Bytes frame;
  frame.reserve(length_size + message.size() + gcm_tag_size);
  append_big_endian(frame, message.size() + gcm_tag_size, length_size);
  const Bytes length = frame;
  if (auto sealed = gcm_seal(frame, out_.key.view(), out_.next_nonce(), {length}, bytes_of(message)); !sealed)
    return sealed.error().with_prefix("a message");
  return std::string(frame.begin(), frame.end());
}

bool SealedStream::holds_frame(const std::string& received) {
  return received.size() >= length_size && received.size() - length_size >= length_in(received);
}

Result<std::optional<std::string>> SealedStream::open(std::string& received, std::size_t longest) {
  if (received.size() < length_size) return std::optional<std::string>();
  const std::size_t length = length_in(received);
  if (length > longest + gcm_tag_size)
    return Error{ErrorKind::internal, "a message of " + std::to_string(length) + " bytes is longer than any may be"};
  if (!holds_frame(received)) return std::optional<std::string>();
  const BytesView frame = bytes_of(received).first(length_size + length);
  const auto content = gcm_open(in_.key.view(), in_.next_nonce(), {frame.first(length_size)}, frame.subspan(length_size));
  if (!content) return Error{ErrorKind::internal, "the other side does not hold the key of this state directory"};
  std::string message(content->text());
  received.erase(0, length_size + length);
  return std::optional<std::string>(std::move(message));
}

}  // namespace evercert
