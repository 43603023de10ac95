// An error in what a flag was given, by whatever way.
#pragma once

#include <string>
#include <utility>

#include "core/error.h"

namespace quarot::apps {

class FlagError : public Error {
  public:
    FlagError(const Error& error, std::string flag) : Error(error), flag_(std::move(flag)) {}
    const std::string& flag() const { return flag_; }  // "--seqlen"

  private:
    std::string flag_;
};

}  // namespace quarot::apps
