// How is a value called?
#include "jinja/runtime.h"

#include "core/error.h"
#include "jinja/limits.h"

namespace quarot::jinja {

Value Runtime::call(const Value& callee, const Arguments& arguments) {
    const auto* callable = callee.get_if<std::shared_ptr<const Callable>>();
    if (!callable) {
        const Undefined* missing = callee.get_if<Undefined>();
        if (missing && missing->reason) fail(ErrorCode::Corrupt, "{}", *missing->reason);
        fail(ErrorCode::Corrupt, "a {} cannot be called", callee.type_name());
    }
    if (calls_ == limits::kTemplateDepth) {
        fail(ErrorCode::Corrupt, "calls nest more than {} deep; does a macro call itself?",
             limits::kTemplateDepth);
    }
    budget.step();
    const std::shared_ptr<const Callable> kept = *callable;
    ++calls_;
    Value result = kept->call(*this, arguments);
    --calls_;
    return result;
}

}  // namespace quarot::jinja
