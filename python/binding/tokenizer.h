// Text to token ids and back.
#pragma once

#include <nanobind/nanobind.h>

namespace quarot::python {

void bind_tokenizer(nanobind::module_& module);

}  // namespace quarot::python
