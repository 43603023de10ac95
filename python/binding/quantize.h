// A model folder becomes a quantized one.
#pragma once

#include <nanobind/nanobind.h>

namespace quarot::python {

void bind_quantize(nanobind::module_& module);

}  // namespace quarot::python
