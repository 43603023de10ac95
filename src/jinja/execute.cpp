// What does a statement print and set?
#include "core/error.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/inner_scope.h"
#include "jinja/limits.h"
#include "jinja/spell.h"

namespace quarot::jinja {

Interpreter::Interpreter(Runtime& runtime) : runtime_(runtime) {
    const auto globals = std::make_shared<Scope>();
    add_globals(*globals, runtime_, namespaces_);
    scope_ = std::make_shared<Scope>(globals);
}

Interpreter::~Interpreter() {
    // Macros, namespaces and loops may hold each other in circles.
    for (const auto& space : namespaces_) space->members.clear();
    for (const auto& loop : loops_) {
        loop->items.reset();
        loop->last_changed.reset();
    }
    for (const ScopePtr& scope : captured_) scope->clear();
    scope_->clear();
}

void Interpreter::set_variable(const std::string& name, Value value) {
    scope_->set(name, std::move(value));
}

Text Interpreter::render(const Block& block) {
    Text text;
    out_ = &text;
    const InnerScope scope(*this);
    execute(block);
    return text;
}

Interpreter::Flow Interpreter::execute(const Block& block) {
    const Nesting nesting(runtime_.budget);
    for (const Statement& statement : block) {
        const Flow flow = execute(statement);
        if (flow != Flow::Normal) return flow;
    }
    return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
    runtime_.budget.step();
    line_ = statement.line;
    switch (statement.kind) {
        case Statement::Kind::Text:
            print(statement.text);
            return Flow::Normal;
        case Statement::Kind::Print:
            for (const ExpressionPtr& part : statement.expressions) print(evaluate(*part));
            return Flow::Normal;
        case Statement::Kind::If:
            return execute_if(statement);
        case Statement::Kind::For:
            return execute_for(statement);
        case Statement::Kind::Set:
            assign(statement.targets[0], evaluate(*statement.expressions[0]));
            return Flow::Normal;
        case Statement::Kind::SetBlock:
        case Statement::Kind::FilterBlock:
            return execute_captured(statement);
        case Statement::Kind::Macro:
            runtime_.budget.allocate(Scope::memory_of(statement.macro->name));
            scope_->set(statement.macro->name, make_macro(*statement.macro));
            return Flow::Normal;
        case Statement::Kind::CallBlock:
            call_with_block(statement);
            return Flow::Normal;
        case Statement::Kind::With:
            return execute_with(statement);
        case Statement::Kind::Scope:
            return execute_in_scope(statement.body);
        case Statement::Kind::Break:
            return Flow::Break;
        case Statement::Kind::Continue:
            return Flow::Continue;
    }
    return Flow::Normal;
}

Interpreter::Flow Interpreter::execute_in_scope(const Block& block) {
    const InnerScope scope(*this);
    return execute(block);
}

Interpreter::Flow Interpreter::execute_if(const Statement& statement) {
    for (const Branch& branch : statement.branches) {
        if (!branch.condition || is_true(evaluate(*branch.condition))) return execute(branch.body);
    }
    return Flow::Normal;
}

SequencePtr Interpreter::items_of(const Statement& loop) {
    const SequencePtr all = iterate(runtime_.budget, evaluate(*loop.iterable));
    if (!loop.filter) return all;
    std::vector<Value> kept;
    for (const Value& item : all->items) {
        const InnerScope scope(*this);
        assign(loop.targets[0], item);
        if (is_true(evaluate(*loop.filter))) kept.push_back(item);
    }
    return *make_list(runtime_.budget, std::move(kept)).get_if<SequencePtr>();
}

Interpreter::Flow Interpreter::execute_for(const Statement& statement) {
    runtime_.budget.allocate(sizeof(Loop) + sizeof(std::shared_ptr<Loop>));
    const auto loop = std::make_shared<Loop>();
    loop->items = items_of(statement);
    loops_.push_back(loop);
    // As in jinja2, a body that always breaks or continues counts as not run.
    bool completed = false;
    for (size_t i = 0; i < loop->items->items.size(); ++i) {
        runtime_.budget.step();
        loop->index0 = static_cast<int64_t>(i);
        const InnerScope scope(*this);
        scope_->set("loop", loop);
        assign(statement.targets[0], loop->items->items[i]);
        const Flow flow = execute(statement.body);
        if (flow == Flow::Break) break;
        if (flow == Flow::Normal) completed = true;
    }
    if (completed) return Flow::Normal;
    return execute_in_scope(statement.otherwise);
}

Interpreter::Flow Interpreter::execute_with(const Statement& statement) {
    std::vector<Value> values;
    for (const ExpressionPtr& part : statement.expressions) values.push_back(evaluate(*part));
    const InnerScope scope(*this);
    for (size_t i = 0; i < values.size(); ++i) assign(statement.targets[i], values[i]);
    return execute(statement.body);
}

Interpreter::Flow Interpreter::execute_captured(const Statement& statement) {
    Text captured;
    Text* const outer = std::exchange(out_, &captured);
    const Flow flow = execute_in_scope(statement.body);
    out_ = outer;
    if (flow != Flow::Normal) return flow;
    Value value = make_text(runtime_.budget, std::move(captured));
    for (const Suffix& filter : statement.filters) value = apply(filter, value);
    if (statement.kind == Statement::Kind::SetBlock) {
        assign(statement.targets[0], value);
    } else {
        print(value);
    }
    return Flow::Normal;
}

void Interpreter::print(const Value& value) {
    if (const Text* text = value.text()) return print(*text);
    print(str(runtime_.budget, value));
}

void Interpreter::print(const Text& text) {
    if (text.size() > limits::kTemplateOutputBytes - out_->size()) {
        fail(ErrorCode::Corrupt, "it prints more than {} MiB", limits::kTemplateOutputBytes >> 20);
    }
    runtime_.budget.allocate(text.memory());
    out_->append(text);
}

void Interpreter::assign(const Target& target, const Value& value) {
    line_ = target.line;
    if (!target.member.empty()) return assign_member(target, value);
    if (!target.is_tuple) {
        runtime_.budget.allocate(Scope::memory_of(target.name));
        return scope_->set(target.name, value);
    }
    const SequencePtr items = iterate(runtime_.budget, value);
    if (items->items.size() != target.parts.size()) {
        fail(ErrorCode::Corrupt, "{} values cannot be assigned to {} names", items->items.size(),
             target.parts.size());
    }
    for (size_t i = 0; i < target.parts.size(); ++i) assign(target.parts[i], items->items[i]);
}

void Interpreter::assign_member(const Target& target, const Value& value) {
    const Value* found = scope_->find(target.name);
    const auto* space = found ? found->get_if<std::shared_ptr<Namespace>>() : nullptr;
    if (!space) {
        fail(ErrorCode::Corrupt, "{} is no namespace, so {}.{} cannot be set", target.name,
             target.name, target.member);
    }
    runtime_.budget.allocate(sizeof(Text) + 2 * Scope::memory_of(target.member));
    (*space)->set(Text(target.member), value);
}

}  // namespace quarot::jinja
