#include "core/watch.h"

#include "core/error.h"

namespace quarot {

namespace {

thread_local Watch* current_watch = nullptr;

}  // namespace

Watch::Watch(const ProgressCallback& callback) : callback_(callback), previous_(current_watch) {
    current_watch = this;
}

Watch::~Watch() {
    current_watch = previous_;
}

void Watch::call() const {
    if (callback_ && !callback_(event_)) fail(ErrorCode::Interrupted, "cancelled by the caller");
}

void tell_watch(const std::string& what, int64_t done, int64_t total) {
    if (current_watch == nullptr) return;
    current_watch->event_ = {.what = what, .done = done, .total = total};
    current_watch->call();
}

void ask_watch() {
    if (current_watch != nullptr) current_watch->call();
}

}  // namespace quarot
