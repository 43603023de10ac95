// The fields of a request's body, each checked where it is read.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "io/json.h"

namespace quarot::serve {

// Reading a field makes it known; null counts as absent. Every error is an ApiError of status 400
// that names the field, what it is and what was expected.
class BodyFields {
  public:
    // body: must be a JSON object in UTF-8 within the limits.
    explicit BodyFields(std::string_view body);

    const io::Json* find(const std::string& name);
    bool boolean(const std::string& name, bool absent);
    int64_t integer(const std::string& name, int64_t absent, int64_t min, int64_t max);
    double number(const std::string& name, double absent, double min, double max);
    std::string text(const std::string& name, const std::string& absent);

    // A field that is understood by nobody here: any other value than null, false, an empty list or
    // text, or `only`, is refused.
    void refuse(const std::string& name, const io::Json& only = {});
    // Names of fields that nobody asked for, with commas: those fit for a header, at most 16.
    std::string unknown() const;

  private:
    io::Json body_;
    std::set<std::string> known_;
};

[[noreturn]] void refuse_field(const std::string& name, const io::Json& value,
                               const std::string& expected);

}  // namespace quarot::serve
