#include "errors.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <quarot/error.h>

#include <exception>

namespace quarot::python {

namespace nb = nanobind;

namespace {

void raise(const Error& error) {
    const nb::object make = nb::module_::import_("quarot.errors").attr("error_of");
    const nb::object made = make(static_cast<int>(error.code()), error.what(), error.setting());
    PyErr_SetObject(made.type().ptr(), made.ptr());
}

}  // namespace

void translate_errors() {
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const Error& error) {
            raise(error);
        }
    });
}

}  // namespace quarot::python
