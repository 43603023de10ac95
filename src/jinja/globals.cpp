// What do the functions do that every template knows?
#include "jinja/globals.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "io/text.h"
#include "jinja/compare.h"
#include "jinja/limits.h"
#include "jinja/parameters.h"
#include "jinja/spell.h"

namespace quarot::jinja {
namespace {

Value range(Runtime&, const Arguments& args) {
    if (!args.named.empty()) fail(ErrorCode::Corrupt, "range takes no keyword arguments");
    const Parameters p("range", args, {"start", "stop", "step"}, 1);
    Range range;
    range.start = p.has(1) ? p.integer(0, 0) : 0;
    range.stop = p.has(1) ? p.integer(1, 0) : p.integer(0, 0);
    range.step = p.integer(2, 1);
    if (range.step == 0) fail(ErrorCode::Corrupt, "the step of a range is 0");
    for (int64_t bound : {range.start, range.stop, range.step}) {
        if (bound > limits::kTemplateRangeBound || bound < -limits::kTemplateRangeBound) {
            fail(ErrorCode::Unsupported, "a range reaches to {}, {} is allowed", bound,
                 limits::kTemplateRangeBound);
        }
    }
    if (range.size() > limits::kTemplateRange) {
        fail(ErrorCode::Corrupt, "a range has {} numbers, {} are allowed", range.size(),
             limits::kTemplateRange);
    }
    return range;
}

// The pairs of a list of pairs, or the entries of another dict.
void add_entries(Runtime& runtime, Dict& dict, const Value& source) {
    if (source.is_undefined()) fail(ErrorCode::Corrupt, "dict is made from an undefined value");
    if (source.dict()) {
        for (const auto& [key, value] : source.dict()->entries()) {
            dict.set(runtime.budget, key, value);
        }
        return;
    }
    for (const SequencePtr all = iterate(runtime.budget, source); const Value& pair : all->items) {
        const SequencePtr parts = iterate(runtime.budget, pair);
        if (parts->items.size() != 2) {
            fail(ErrorCode::Corrupt, "dict is made from an item of {} values, expected pairs",
                 parts->items.size());
        }
        dict.set(runtime.budget, parts->items[0], parts->items[1]);
    }
}

Dict dict_from(Runtime& runtime, const Arguments& args, const char* function) {
    if (args.positional.size() > 1) {
        fail(ErrorCode::Corrupt, "{} takes one argument and named ones", function);
    }
    Dict dict;
    if (!args.positional.empty()) add_entries(runtime, dict, args.positional[0]);
    for (const auto& [name, value] : args.named) {
        dict.set(runtime.budget, make_text(runtime.budget, name), value);
    }
    return dict;
}

Value dict(Runtime& runtime, const Arguments& args) {
    return make_dict(runtime.budget, dict_from(runtime, args, "dict"));
}

Value make_namespace(Runtime& runtime, const Arguments& args, Namespaces& namespaces) {
    const auto space = std::make_shared<Namespace>();
    const Dict members = dict_from(runtime, args, "namespace");
    for (const auto& [key, value] : members.entries()) {
        if (!key.text()) fail(ErrorCode::Unsupported, "a namespace takes names as keys");
        runtime.budget.allocate(2 * (sizeof(Text) + key.text()->memory()));
        space->set(*key.text(), value);
    }
    runtime.budget.allocate(sizeof(Namespace));
    namespaces.push_back(space);
    return space;
}

Value raise_exception(Runtime& runtime, const Arguments& args) {
    const Parameters p("raise_exception", args, {"message"}, 1);
    constexpr size_t kShownBytes = 400;
    const Text message = str(runtime.budget, p[0]);
    fail(ErrorCode::Usage, "{}", io::printable(message.bytes(), kShownBytes));
}

Value strftime_now(Runtime& runtime, const Arguments& args) {
    static constexpr std::string_view kDirectives = "aAwdbBmyYHIMSpjUWcxXGuVF%DT";
    const Parameters p("strftime_now", args, {"format"}, 1);
    const std::string& format = p.text(0).bytes();
    for (size_t at = format.find('%'); at != std::string::npos; at = format.find('%', at + 2)) {
        if (at + 1 >= format.size() || kDirectives.find(format[at + 1]) == std::string_view::npos) {
            fail(ErrorCode::Unsupported, "strftime_now(\"{}\") is not supported",
                 io::printable(format, 40));
        }
    }
    if (format.find('\0') != std::string::npos || format.empty()) {
        return make_text(runtime.budget, std::string());
    }
    runtime.budget.allocate(format.size() * 16);
    std::string out(format.size() * 16 + 64, '\0');
    const std::tm now = *runtime.now;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    out.resize(std::strftime(out.data(), out.size(), format.c_str(), &now));
#pragma GCC diagnostic pop
    const bool user = !p.text(0).user().empty();
    return make_text(runtime.budget, std::move(out), user);
}

Value named(const std::string& name, std::function<Value(Runtime&, const Arguments&)> call) {
    return std::make_shared<const Callable>(Callable{name, std::move(call)});
}

}  // namespace

void add_globals(Scope& scope, const Runtime& runtime, Namespaces& namespaces) {
    scope.set("range", named("range", range));
    scope.set("dict", named("dict", dict));
    scope.set("raise_exception", named("raise_exception", raise_exception));
    scope.set("namespace", named("namespace", [&](Runtime& r, const Arguments& args) {
                  return make_namespace(r, args, namespaces);
              }));
    if (runtime.now) scope.set("strftime_now", named("strftime_now", strftime_now));
    for (const std::string name : {"cycler", "joiner", "lipsum"}) {
        scope.set(name, named(name, [name](Runtime&, const Arguments&) -> Value {
                      fail(ErrorCode::Unsupported, "the function {} is not supported", name);
                  }));
    }
}

}  // namespace quarot::jinja
