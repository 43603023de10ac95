// Who may ask: the keys of a file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quarot::serve {

// Digests of keys. Comparing takes as long for a wrong key as for a right one.
class ApiKeys {
  public:
    ApiKeys() = default;
    // A key a line; empty lines and those that begin with # are left out. Error{NotFound}, or
    // Error{Usage} for a file without keys, with too many, or one of less than 16 characters or of
    // other characters than visible ASCII.
    static ApiKeys of_file(const std::string& path);

    bool empty() const { return digests_.empty(); }
    size_t size() const { return digests_.size(); }
    // authorization: the header's value, "Bearer KEY".
    bool admit(std::string_view authorization) const;

  private:
    std::vector<std::string> digests_;
};

}  // namespace quarot::serve
