// How is a template parsed and rendered, and how do its failures name their place?
#include "jinja/template.h"

#include "core/error.h"
#include "io/text.h"
#include "io/utf8.h"
#include "jinja/interpreter.h"
#include "jinja/limits.h"
#include "jinja/statement_parser.h"
#include "jinja/value_of_json.h"

namespace quarot::jinja {

namespace {

// What failed may quote the template or what a user typed.
std::string printable(const Error& error) {
    constexpr size_t kMaxBytes = 500;
    return io::printable(error.what(), kMaxBytes);
}

}  // namespace

struct Template::Impl {
    std::string name;
    Block block;
};

Template::Template(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Template Template::parse(std::string_view source, std::string name) {
    if (source.size() > size_t{limits::kTemplateBytes}) {
        fail(ErrorCode::Corrupt, "{} is {} bytes long, {} are allowed", name, source.size(),
             limits::kTemplateBytes);
    }
    const size_t bad = io::first_non_utf8(source);
    if (bad < source.size()) fail(ErrorCode::Corrupt, "{} is not UTF-8 at byte {}", name, bad);
    auto impl = std::make_unique<Impl>();
    try {
        impl->block = parse_template(source);
    } catch (const Error& error) {
        fail(error.code(), "{}: {}", name, printable(error));
    }
    impl->name = std::move(name);
    return Template(std::move(impl));
}

Text Template::render(const std::vector<Variable>& variables, const Surroundings& around) const {
    Runtime runtime(Budget(around.clock_ms), around.now);
    Interpreter interpreter(runtime);
    try {
        for (const Variable& variable : variables) {
            interpreter.set_variable(variable.name,
                                     value_of_json(runtime.budget, variable.value, variable.user));
        }
        return interpreter.render(impl_->block);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::Usage) {
            fail(error.code(), "{} refuses: {}", impl_->name, printable(error));
        }
        fail(error.code(), "{}: line {}: {}", impl_->name, interpreter.line(), printable(error));
    }
}

}  // namespace quarot::jinja
