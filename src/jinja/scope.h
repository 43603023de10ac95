// Which value has a name at this place of the template?
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "jinja/value.h"

namespace quarot::jinja {

class Scope {
  public:
    explicit Scope(std::shared_ptr<Scope> parent = nullptr) : parent_(std::move(parent)) {}

    // Of this scope or of those around it; null if there is none.
    const Value* find(std::string_view name) const {
        for (const Scope* scope = this; scope; scope = scope->parent_.get()) {
            const auto found = scope->variables_.find(name);
            if (found != scope->variables_.end()) return &found->second;
        }
        return nullptr;
    }
    // In this scope, whatever stands around it.
    void set(const std::string& name, Value value) { variables_[name] = std::move(value); }
    // Bytes that a variable of this name takes.
    static size_t memory_of(const std::string& name) { return sizeof(Value) + name.size(); }
    void clear() { variables_.clear(); }

  private:
    std::shared_ptr<Scope> parent_;
    std::map<std::string, Value, std::less<>> variables_;
};

}  // namespace quarot::jinja
