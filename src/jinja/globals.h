// Which functions does every template know?
#pragma once

#include <memory>
#include <vector>

#include "jinja/runtime.h"
#include "jinja/scope.h"

namespace quarot::jinja {

// Whoever keeps this list empties the namespaces in the end.
using Namespaces = std::vector<std::shared_ptr<Namespace>>;

// range, dict, namespace, raise_exception; strftime_now if there is a clock. `namespaces` must
// outlive the scope.
void add_globals(Scope& scope, const Runtime& runtime, Namespaces& namespaces);

}  // namespace quarot::jinja
