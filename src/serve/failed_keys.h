// Which addresses give so many wrong keys that they seem to guess?
#pragma once

#include <map>
#include <string>

#include "serve/service.h"

namespace quarot::serve {

// For one thread.
class FailedKeys {
  public:
    // Counts one more wrong key of an address; whether that makes too many within a minute.
    bool is_guessing(const std::string& peer);

  private:
    struct Failures {
        Clock::time_point since;
        int n = 0;
    };
    std::map<std::string, Failures> by_address_;
};

}  // namespace quarot::serve
