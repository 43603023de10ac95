// The parts of a parsed template: expressions and statements.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/arithmetic.h"
#include "jinja/compare.h"
#include "jinja/value.h"

namespace quarot::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct CallArguments {
    std::vector<ExpressionPtr> positional;
    std::vector<std::pair<std::string, ExpressionPtr>> named;
    ExpressionPtr rest;        // *rest
    ExpressionPtr named_rest;  // **named_rest
};

// One link of a chain such as message.content[0] | trim is defined.
struct Suffix {
    enum class Kind { Attribute, Item, Slice, Call, ByFilter, ByTest, ByNotTest };
    Kind kind = Kind::Attribute;
    int line = 0;
    std::string name;                  // of the attribute, filter or test
    std::vector<ExpressionPtr> parts;  // Item: the key; Slice: start, stop, step (may be null)
    CallArguments arguments;           // of a call, filter or test
};

// Chains of equal rank (a + b - c, a.b.c, a and b and c) are one node, so that the tree is no
// deeper than the source is nested.
struct Expression {
    enum class Kind {
        Constant,
        Name,
        List,
        Tuple,
        Dict,        // parts: key, value, key, value
        Arithmetic,  // parts[0] operators[0] parts[1] ..., from the left
        Concat,
        Compare,
        And,
        Or,
        Not,
        Negate,
        Plus,
        Conditional,  // parts: condition, then, else (may be null)
        Chain,        // parts[0], then suffixes
    };
    Kind kind = Kind::Constant;
    int line = 0;
    Value constant;
    std::string name;
    std::vector<ExpressionPtr> parts;
    std::vector<Operator> operators;
    std::vector<Comparison> comparisons;
    std::vector<Suffix> suffixes;
};

// What an assignment fills: a name, a member of a namespace, or several targets.
struct Target {
    int line = 0;
    std::string name;
    std::string member;         // of the namespace `name`; empty: the name itself
    std::vector<Target> parts;  // if not empty, the value is taken apart
    bool is_tuple = false;
};

struct Statement;
using Block = std::vector<Statement>;

struct Parameter {
    std::string name;
    ExpressionPtr otherwise;  // null: undefined if not given
};

// A macro, or the block of a call.
struct MacroDefinition {
    std::string name;
    std::vector<Parameter> parameters;
    bool uses_varargs = false;
    bool uses_kwargs = false;
    bool uses_caller = false;
    std::vector<Statement> body;
};

struct Branch {
    ExpressionPtr condition;  // null: else
    std::vector<Statement> body;
};

struct Statement {
    enum class Kind {
        Text,
        Print,
        If,
        For,
        Set,
        SetBlock,
        Macro,
        CallBlock,
        FilterBlock,
        With,
        Scope,  // {% generation %}: a scope of its own, else nothing
        Break,
        Continue,
    };
    Kind kind = Kind::Text;
    int line = 0;
    Text text;
    std::vector<ExpressionPtr> expressions;  // Print, Set, CallBlock, values of With
    std::vector<Target> targets;             // Set, SetBlock, For, With
    std::vector<Branch> branches;            // If
    ExpressionPtr iterable;                  // For
    ExpressionPtr filter;                    // For: which items
    std::vector<Suffix> filters;             // SetBlock, FilterBlock
    std::vector<Statement> body;
    std::vector<Statement> otherwise;  // For: else
    std::unique_ptr<MacroDefinition> macro;
};

}  // namespace quarot::jinja
