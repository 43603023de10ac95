// What do Python's two ways to fill in a pattern give: "%s" % x and "{}".format(x)?
#pragma once

#include "jinja/value.h"

namespace quarot::jinja {

// Directives %s %r %d %i %u %f %F %e %E %g %G %x %X %o %c %% with flags, width and precision, by
// position, or %(name)s from one dict. Error{Corrupt} if the values do not fit.
Value format_percent(Budget& budget, const Text& pattern, const std::vector<Value>& values,
                     const Value& names);
// {} {0} {name} without attributes, conversions and format specifications.
Value format_braces(Budget& budget, const Text& pattern, const Arguments& args);

}  // namespace quarot::jinja
