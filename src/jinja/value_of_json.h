// Which value of a template is this value of JSON?
#pragma once

#include "io/json.h"
#include "jinja/template.h"
#include "jinja/value.h"

namespace quarot::jinja {

Value value_of_json(Budget& budget, const io::Json& json, UserText user);

}  // namespace quarot::jinja
