// Who follows the work of this thread from outside, and may end it?
#pragma once

#include <cstdint>
#include <string>

#include "quarot/progress.h"

namespace quarot {

// While it lives, the callback hears of every step of Progress on this thread, and is asked
// wherever throw_if_interrupted() is called; an earlier one on the thread waits. The callback must
// outlive it.
class Watch {
  public:
    explicit Watch(const ProgressCallback& callback);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

  private:
    friend void tell_watch(const std::string& what, int64_t done, int64_t total);
    friend void ask_watch();
    void call() const;

    const ProgressCallback& callback_;
    Watch* const previous_;
    ProgressEvent event_{.what = "starting", .done = 0, .total = 1};
};

// Both do nothing without a Watch on this thread, and throw Error{Interrupted} if it says so.
void tell_watch(const std::string& what, int64_t done, int64_t total);
void ask_watch();

}  // namespace quarot
