// Where do the library's remarks go?
#pragma once

#include <nanobind/nanobind.h>

namespace quarot::python {

void bind_logging(nanobind::module_& module);

}  // namespace quarot::python
