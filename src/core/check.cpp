#include "core/check.h"

#include <string_view>

#include "core/error.h"

namespace quarot {

void check_failed(const char* file, int line, const char* condition, const std::string& values) {
    const std::string_view path = file;
    const size_t source = path.rfind("/src/");
    fail(ErrorCode::Internal, "internal error at {}:{}: {} does not hold{}{}; please report it",
         source == std::string_view::npos ? path : path.substr(source + 1), line, condition,
         values.empty() ? "" : ": ", values);
}

}  // namespace quarot
