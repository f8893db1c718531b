#include "simulation/medium.h"

#include <algorithm>

namespace evercert::simulation {
namespace {

bool is_below(const std::string& key, const std::string& prefix) {
  return key.starts_with(prefix);
}

}  // namespace

class Medium::View : public Store {
 public:
  explicit View(Medium& medium) : medium_(medium) {}

  Result<std::optional<StoredObject>> get(const std::string& key) override {
    if (auto fault = medium_.fate_.before(Deed::read, key)) return *fault;
    const auto found = medium_.objects_.find(key);
    if (found == medium_.objects_.end()) return std::optional<StoredObject>();
    return std::optional<StoredObject>(StoredObject{found->second.bytes, found->second.revision});
  }

  Result<std::vector<std::string>> list(const std::string& prefix) override {
    if (auto fault = medium_.fate_.before(Deed::read, prefix)) return *fault;
    return medium_.keys(prefix);
  }

  Result<std::uint64_t> put(const std::string& key, BytesView value, const PutOptions& options) override {
    if (auto fault = medium_.fate_.before(Deed::write, key)) return *fault;
    const auto found = medium_.objects_.find(key);
    const bool present = found != medium_.objects_.end();
    const auto kind = options.condition.kind;
    if ((kind == Condition::Kind::absent && present) ||
        (kind == Condition::Kind::revision && (!present || found->second.revision != options.condition.revision))) {
      return Error{ErrorKind::storage, key + " has been changed by another process"};
    }
    medium_.set(key, Bytes(value.begin(), value.end()), options.durability == Durability::power);
    const std::uint64_t revision = medium_.objects_.at(key).revision;
    medium_.fate_.after(Deed::write, key);
    return revision;
  }

  Result<Done> erase(const std::string& key) override {
    if (auto fault = medium_.fate_.before(Deed::erase, key)) return *fault;
    medium_.remove(key);
    medium_.fate_.after(Deed::erase, key);
    return Done{};
  }

  Result<std::string> quarantine(const std::string& key) override {
    if (auto fault = medium_.fate_.before(Deed::move, key)) return *fault;
    const auto found = medium_.objects_.find(key);
    if (found == medium_.objects_.end()) return Error{ErrorKind::storage, "cannot move " + key + ": it is gone"};
    std::string flat = key;
    std::replace(flat.begin(), flat.end(), '/', '_');
    const std::string target = "quarantine/" + flat + "." + std::to_string(++medium_.revision_) + ".0";
    medium_.set(target, found->second.bytes, true);
    medium_.remove(key);
    medium_.fate_.after(Deed::move, key);
    return target;
  }

  Result<std::size_t> sweep(std::chrono::system_clock::time_point) override {
    return std::exchange(medium_.unfinished_, std::size_t{0});
  }

  Result<std::unique_ptr<StoreLock>> lock(const std::string& name, std::chrono::milliseconds, std::stop_token) override {
    if (!medium_.locked_.insert(name).second) return std::unique_ptr<StoreLock>();
    return std::unique_ptr<StoreLock>(std::make_unique<Lock>(medium_, name));
  }

  Result<std::unique_ptr<StoreWatch>> watch(const std::string& prefix,
                                            std::function<void(const std::string& key)> changed) override {
    const std::uint64_t number = medium_.next_watch_++;
    medium_.watches_.emplace(number, std::pair(prefix, std::move(changed)));
    return std::unique_ptr<StoreWatch>(std::make_unique<Watch>(medium_, number));
  }

 private:
  class Lock : public StoreLock {
   public:
    Lock(Medium& medium, std::string name) : medium_(medium), name_(std::move(name)) {}
    ~Lock() override { medium_.locked_.erase(name_); }

   private:
    Medium& medium_;
    std::string name_;
  };
  class Watch : public StoreWatch {
   public:
    Watch(Medium& medium, std::uint64_t number) : medium_(medium), number_(number) {}
    ~Watch() override { medium_.watches_.erase(number_); }

   private:
    Medium& medium_;
    std::uint64_t number_;
  };
  Medium& medium_;
};

class Medium::Reader : public StateFiles {
 public:
  explicit Reader(const Medium& medium) : medium_(medium) {}
  [[nodiscard]] Result<std::optional<Bytes>> read(const std::string& path, std::size_t limit) const override {
    const Bytes* const found = medium_.find(path);
    if (found == nullptr) return std::optional<Bytes>();
    if (found->size() > limit) return Error{ErrorKind::storage, path + " is too large"};
    return std::optional<Bytes>(*found);
  }
  [[nodiscard]] Result<std::optional<Bytes>> read_start(const std::string& path, std::size_t size) const override {
    const Bytes* const found = medium_.find(path);
    if (found == nullptr) return std::optional<Bytes>();
    return std::optional<Bytes>({found->begin(), found->begin() + static_cast<std::ptrdiff_t>(std::min(size, found->size()))});
  }
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override {
    std::vector<std::string> names;
    for (const auto& key : medium_.keys(path + "/")) {
      const std::string rest = key.substr(path.size() + 1);
      const std::string name = rest.substr(0, rest.find('/'));
      if (names.empty() || names.back() != name) names.push_back(name);
    }
    return names;
  }

 private:
  const Medium& medium_;
};

std::unique_ptr<Store> Medium::open() {
  return std::make_unique<View>(*this);
}

std::unique_ptr<StateFiles> Medium::reader() const {
  return std::make_unique<Reader>(*this);
}

void Medium::changed(const std::string& key) {
  if (is_below(key, "certificates/")) ++certificates_changed_;
  for (const auto& [number, watch] : watches_) {
    if (is_below(key, watch.first)) watch.second(key);
  }
}

void Medium::set(const std::string& key, Bytes bytes, bool durable) {
  const auto [place, fresh] = objects_.try_emplace(key);
  Object& object = place->second;
  if (durable) {
    object.on_disk.reset();
    unsynced_.erase(key);
  } else if (!object.on_disk) {
    object.on_disk = fresh ? std::optional<Bytes>() : std::optional<Bytes>(std::move(object.bytes));
    unsynced_.insert(key);
  }
  object.bytes = std::move(bytes);
  object.revision = ++revision_;
  changed(key);
}

void Medium::remove(const std::string& key) {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return;
  auto before =
      found->second.on_disk ? std::move(*found->second.on_disk) : std::optional<Bytes>(std::move(found->second.bytes));
  if (before) erased_[key] = std::move(before);
  unsynced_.erase(key);
  objects_.erase(found);
  changed(key);
}

void Medium::lose_unsynced(const std::function<bool()>& keeps) {
  for (const auto& key : std::exchange(unsynced_, {})) {
    Object& object = objects_.at(key);
    auto before = std::move(*object.on_disk);
    object.on_disk.reset();
    if (keeps()) continue;
    if (before) {
      object.bytes = std::move(*before);
      object.revision = ++revision_;
    } else {
      objects_.erase(key);
    }
    changed(key);
  }
  for (auto& [key, bytes] : std::exchange(erased_, {})) {
    if (keeps() || objects_.contains(key) || !bytes) continue;
    objects_[key] = {std::move(*bytes), ++revision_, std::nullopt};
    changed(key);
  }
}

void Medium::damage(const std::string& key) {
  Bytes& bytes = objects_.at(key).bytes;
  bytes[bytes.size() / 2] ^= 1U;
  changed(key);
}

void Medium::put_there(const std::string& key, Bytes bytes) {
  set(key, std::move(bytes), true);
}

std::vector<std::string> Medium::keys(const std::string& prefix) const {
  std::vector<std::string> keys;
  for (auto at = objects_.lower_bound(prefix); at != objects_.end() && is_below(at->first, prefix); ++at)
    keys.push_back(at->first);
  return keys;
}

const Bytes* Medium::find(const std::string& key) const {
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : &found->second.bytes;
}

}  // namespace evercert::simulation
