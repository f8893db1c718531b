#include "agent/store/bundles.h"

#include <algorithm>

#include "agent/store/records.h"
#include "agent/store/revoked_leaves.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

constexpr std::chrono::seconds longest_turn{30};
constexpr unsigned turns = 64;

std::string folder_of(const std::string& name) {
  return "certificates/" + file_name_of(name) + "/";
}

// `foreign`: receives the names that end like a bundle's and are none.
Result<std::vector<std::uint64_t>> present_generations(Store& store, const std::string& name,
                                                       std::vector<std::string>* foreign = nullptr) {
  const std::string folder = folder_of(name);
  const auto keys = store.list(folder);
  if (!keys) return keys.error();
  std::vector<std::uint64_t> generations;
  for (const std::string_view key : *keys) {
    if (const auto number = generation_in(key.substr(folder.size()))) {
      generations.push_back(*number);
    } else if (foreign != nullptr && key.ends_with(".bundle")) {
      foreign->emplace_back(key);
    }
  }
  std::sort(generations.begin(), generations.end(), std::greater<>());
  return generations;
}

struct Found {
  std::optional<Bundle> bundle;
  std::optional<Error> fault;  // neither: the file has gone
};

Result<Found> look_at(Store& store, const SealKey& serving, const std::string& name, std::uint64_t generation) {
  const auto object = store.get(bundle_path(name, generation));
  if (!object && is_no_object(object.error())) return Found{{}, object.error()};
  if (!object) return object.error();
  if (!*object) return Found{};
  auto bundle = open_bundle(serving, name, generation, (*object)->value);
  if (!bundle) return Found{{}, bundle.error()};
  return Found{std::move(*bundle), {}};
}

bool is_for_people(const Error& error) {
  return error.kind == ErrorKind::action_required;
}

// One publisher at a time numbers a certificate: a slow one would else take a number that a faster one has used and removed
// since. A few locks serve all certificates.
Result<std::unique_ptr<StoreLock>> wait_for_turn(Store& store, const std::string& name) {
  const Bytes digest = sha256({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
  auto turn = store.lock("publish " + std::to_string(digest.front() % turns), longest_turn, {});
  if (turn && *turn == nullptr) {
    return Error{ErrorKind::storage, "\"" + name + "\" cannot be published: another process has been publishing for too long"};
  }
  return turn;
}

// The number of the next generation: above all that are in use. One that no file here can prove counts only while it is near
// one that does: whoever may write into the folder must not be able to use the numbers up.
Result<std::uint64_t> next_generation(Store& store, const SealKey& serving, const std::string& name, std::uint64_t above) {
  const auto generations = present_generations(store, name);
  if (!generations) return generations.error();
  std::uint64_t proved = above;
  for (const std::uint64_t generation : *generations) {
    const auto found = look_at(store, serving, name, generation);
    if (!found) return found.error();
    if (found->fault && is_for_people(*found->fault)) return *found->fault;
    if (!found->bundle) continue;
    proved = std::max(proved, generation);
    break;
  }
  const std::uint64_t limit = proved + widest_generation_gap;
  const auto quarantined = highest_quarantined(store, name, limit);
  if (!quarantined) return quarantined.error();
  std::uint64_t next = std::max(proved, *quarantined) + 1;
  for (const std::uint64_t generation : *generations) {
    if (generation <= limit) next = std::max(next, generation + 1);
  }
  if (next <= highest_generation) return next;
  return Error{ErrorKind::storage, "\"" + name + "\" cannot be published: its generations have reached the highest number, " +
                                       std::to_string(highest_generation)};
}

// Keeps the new generation and the one below it that opens; what nobody can open here stays as well.
void remove_older(Store& store, const SealKey& serving, const std::string& name, std::uint64_t newest) {
  const auto generations = present_generations(store, name);
  if (!generations) return;
  bool previous_found = false;
  for (const std::uint64_t generation : *generations) {
    if (generation >= newest) continue;
    const auto found = look_at(store, serving, name, generation);
    if (!found || found->fault || !found->bundle) continue;  // newest_bundle() sees to damaged ones
    // A file that could not be removed is tried again after the next publication.
    if (previous_found && !store.erase(bundle_path(name, generation))) return;
    previous_found = true;
  }
}

// What a person may go back to instead: the generations that open and were not revoked, the present one among them.
std::string left_to_go_back_to(Store& store, const SealKey& serving, const std::string& name,
                               const std::vector<std::uint64_t>& generations, const std::vector<RevokedLeaf>& revoked) {
  std::string left;
  for (const std::uint64_t generation : generations) {
    const auto found = look_at(store, serving, name, generation);
    if (!found || !found->bundle || is_revoked(*found->bundle, revoked)) continue;
    left += (left.empty() ? "" : ", ") + std::to_string(generation) +
            (generation == generations.front() ? " (the present one)" : "");
  }
  return left.empty() ? "; none that is left is not revoked: `evercert renew " + name + "` orders another"
                      : "; left and not revoked: " + left;
}

}  // namespace

Result<std::uint64_t> highest_quarantined(Store& store, const std::string& name, std::uint64_t limit) {
  const auto keys = store.list("quarantine/");
  if (!keys) return keys.error();
  const std::string begin = "quarantine/certificates_" + file_name_of(name) + "_";
  std::uint64_t highest = 0;
  for (const std::string& key : *keys) {
    if (!key.starts_with(begin)) continue;
    const std::string_view rest = std::string_view(key).substr(begin.size());
    const std::size_t end = rest.find(".bundle.");
    const auto number = end == std::string_view::npos ? std::nullopt : generation_in(rest.substr(0, end + 7));
    if (number && *number <= limit) highest = std::max(highest, *number);
  }
  return highest;
}

Result<std::uint64_t> publish_bundle(Store& store, const SealKey& serving, Bundle bundle,
                                     std::chrono::system_clock::time_point now, const PublishOptions& options) {
  if (!options.verified) {
    if (const auto verified = verify_bundle(bundle, now); !verified) return verified.error();
  }
  const auto turn = wait_for_turn(store, bundle.name);
  if (!turn) return turn.error();
  const auto number = next_generation(store, serving, bundle.name, options.above);
  if (!number) return number.error();
  bundle.generation = *number;
  const auto file = seal_bundle(serving, bundle);
  if (!file) return file.error();
  const Store::PutOptions put_options{{Store::Condition::Kind::absent}, Durability::power};
  const auto put = store.put(bundle_path(bundle.name, bundle.generation), *file, put_options);
  if (!put) return put.error();
  if (options.committed) options.committed(bundle.generation);
  remove_older(store, serving, bundle.name, bundle.generation);
  return bundle.generation;
}

Result<bool> has_generation(Store& store, const std::string& name, std::uint64_t generation) {
  const auto generations = present_generations(store, name);
  if (!generations) return generations.error();
  return std::find(generations->begin(), generations->end(), generation) != generations->end();
}

Result<NewestBundle> newest_bundle(Store& store, const SealKey& serving, const std::string& name) {
  NewestBundle newest;
  const auto generations = present_generations(store, name, &newest.foreign);
  if (!generations) return generations.error();
  for (const std::uint64_t generation : *generations) {
    auto found = look_at(store, serving, name, generation);
    if (!found) return found.error();
    if (found->bundle) {
      newest.bundle = std::move(found->bundle);
      return newest;
    }
    if (!found->fault) continue;
    if (is_for_people(*found->fault)) {
      if (!newest.held) newest.held = std::move(found->fault);
      continue;
    }
    newest.damaged.push_back(put_away(store, bundle_path(name, generation), std::move(*found->fault)));
  }
  return newest;
}

Result<std::uint64_t> rollback(Store& store, const SealKey& serving, const std::string& name, std::optional<std::uint64_t> to,
                               std::chrono::system_clock::time_point now, const PublishOptions& options) {
  const std::string what = "\"" + name + "\" cannot be rolled back";
  const auto generations = present_generations(store, name);
  if (!generations) return generations.error();
  if (!to) {
    if (generations->size() < 2) {
      return Error{ErrorKind::storage, what + ": there is no generation before the present one"};
    }
    to = (*generations)[1];
  }
  const auto revoked = read_revoked_leaves(store, name);
  const auto refuse = [&](const std::string& why) {
    return Error{ErrorKind::storage, what + ": " + why + left_to_go_back_to(store, serving, name, *generations, revoked)};
  };
  auto found = look_at(store, serving, name, *to);
  if (!found) return found.error();
  if (found->fault) return found->fault->with_prefix(what);
  if (!found->bundle) {
    const std::uint64_t newest = generations->empty() ? 0 : generations->front();
    const bool never = *to > std::max(newest, options.above);
    return refuse(never ? "there never was a generation " + std::to_string(*to)
                        : "there is no generation " + std::to_string(*to) + " any more");
  }
  if (is_revoked(*found->bundle, revoked)) return refuse("generation " + std::to_string(*to) + " is revoked");
  Bundle bundle = std::move(*found->bundle);
  for (const BundlePair& pair : bundle.pairs) {
    const auto facts = leaf_facts(pair.leaf);
    if (!facts) return facts.error().with_prefix(what);
    if (facts->not_after <= now) {
      return Error{ErrorKind::storage, what + ": generation " + std::to_string(*to) + " has expired"};
    }
  }
  bundle.origin = "rollback to " + std::to_string(*to);
  return publish_bundle(store, serving, std::move(bundle), now, options);
}

}  // namespace evercert
