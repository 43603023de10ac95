// The library's errors as Python's exceptions.
#pragma once

namespace quarot::python {

// quarot::Error becomes the class of quarot/errors.py that has its code.
void translate_errors();

}  // namespace quarot::python
