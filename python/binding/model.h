// A model in memory, and what it can be asked.
#pragma once

#include <nanobind/nanobind.h>

namespace quarot::python {

void bind_model(nanobind::module_& module);

}  // namespace quarot::python
