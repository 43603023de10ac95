#include "apps/config_file.h"

#include <CLI/CLI.hpp>

#include "core/error.h"

namespace quarot::apps {

ConfigFile read_config_file(const std::string& path) {
    ConfigFile values;
    try {
        for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(path)) {
            if (!item.parents.empty()) {
                fail(ErrorCode::Usage, "{}: section [{}] is not known, expected keys alone", path,
                     item.parents.front());
            }
            values[item.name] = item.inputs;
        }
    } catch (const CLI::FileError&) {
        fail(ErrorCode::NotFound, "--config: cannot read {}", path);
    } catch (const CLI::ParseError& error) {
        const std::string text = error.what();
        fail(ErrorCode::Usage, "{}: {}", path, text.substr(0, text.find('\n')));
    }
    return values;
}

}  // namespace quarot::apps
