#include "core/check.h"
#include "core/error.h"
#include "serve/tls_layer.h"

namespace quarot::serve {

std::shared_ptr<const TlsContext> TlsContext::of_files(const std::string& /*certificate*/,
                                                       const std::string& /*key*/) {
    fail(ErrorCode::Unsupported,
         "this program was built without TLS; build it with QUAROT_TLS=ON, or put a reverse proxy "
         "in front");
}

std::unique_ptr<TlsLayer> make_tls_layer(const TlsContext& /*context*/, tcp::socket& /*socket*/) {
    QUAROT_CHECK(false, "a context in a build without TLS");
    return nullptr;
}

std::string tls_version() {
    return "";
}

}  // namespace quarot::serve
