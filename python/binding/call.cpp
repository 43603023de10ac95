#include "call.h"

#include <nanobind/stl/string.h>

namespace quarot::python {

bool Listener::hear(const ProgressEvent& event) {
    if (raised_) return false;
    const bool is_news =
        event.done != told_.done || event.total != told_.total || event.what != told_.what;
    const Clock::time_point now = Clock::now();
    const bool tells = is_news && !progress_.is_none();
    if (!tells && now - last_ask_ < kSignalPause) return true;
    last_ask_ = now;
    const nb::gil_scoped_acquire acquired;
    try {
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        if (!tells) return true;
        told_ = event;
        return !progress_(event.what, event.done, event.total).is(nb::handle(Py_False));
    } catch (...) {
        raised_ = std::current_exception();
        return false;
    }
}

void Listener::rethrow() const {
    if (raised_) std::rethrow_exception(raised_);
}

}  // namespace quarot::python
