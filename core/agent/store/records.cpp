#include "agent/store/records.h"

#include "serving/base/json.h"

namespace evercert {
namespace {

// Null: there is no fault, `read` has what it wanted.
std::optional<Error> fault_in(const Unsealed& opened, const RecordPlace& place, const Records::Reader& read) {
  if (opened.fault) return seal_error(*opened.fault, place.what);
  auto content = parse_json(opened.content.text(), place.what);
  // Not the parser's own sentence: it may quote the text.
  if (!content) return Error{ErrorKind::storage, place.what + " is damaged: it is not JSON"};
  std::optional<Error> fault;
  const auto format = json_number(*content, "format", place.what, 1);
  if (!format) {
    fault = Error{ErrorKind::storage, place.what + " is damaged: it has no valid format number"};
  } else if (*format > record_format) {
    fault = seal_error(SealFault::newer, place.what);
  } else {
    try {
      read(*content);
    } catch (const std::exception& misfit) {
      fault = Error{ErrorKind::storage, place.what + " is damaged: " + misfit.what()};
    }
  }
  wipe_texts(*content);
  return fault;
}

}  // namespace

Result<RecordFound> Records::load(const RecordPlace& place, const Reader& read) {
  const auto object = store_.get(place.key);
  if (!object && is_no_object(object.error())) return RecordFound{false, put_away(store_, place.key, object.error())};
  if (!object) return object.error();
  if (!*object) return RecordFound{};
  auto fault = fault_in(unseal(key_, {place.kind, place.label}, (*object)->value), place, read);
  if (!fault) return RecordFound{true, {}};
  if (fault->kind == ErrorKind::action_required) return *fault;
  return RecordFound{false, put_away(store_, place.key, std::move(*fault))};
}

Result<Done> Records::save(const RecordPlace& place, Json content, const Store::PutOptions& options) {
  if (!content.is_object()) return Error{ErrorKind::internal, place.what + " cannot be written: it is not an object"};
  content["format"] = record_format;
  std::string text = dump_json(content);
  wipe_texts(content);
  const auto file = seal(key_, {place.kind, place.label}, bytes_of(text));
  wipe(text);
  if (!file) return file.error();
  const auto put = store_.put(place.key, *file, options);
  if (!put) return put.error();
  return Done{};
}

Error put_away(Store& store, const std::string& key, Error fault) {
  const auto moved = store.quarantine(key);
  fault.message += moved ? "; it was moved to " + *moved : "; " + moved.error().message;
  return fault;
}

}  // namespace evercert
