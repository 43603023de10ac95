// What the library's messages call settings, and the flags that the program puts there.
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "apps/args.h"
#include "apps/commands.h"
#include "apps/flag_names.h"
#include "apps/setting_flags.h"
#include "layering/sources.h"
#include "support/checkout.h"

namespace quarot::test {
namespace {

std::set<std::string> declared_flags() {
    std::set<std::string> flags;
    for (const apps::Command& command : apps::commands()) {
        apps::Args args(command.name, command.summary);
        command.declare(args);
        for (const apps::Flag& flag : args.flags()) {
            for (const std::string& name : apps::split_names(flag.names)) flags.insert(name);
        }
    }
    return flags;
}

// The names in Setting{"name"} and Setting kName{"name"}.
std::set<std::string> settings_named_in(const std::string& text) {
    static const std::regex named(R"x(Setting(?: k\w+)?\{"([^"]+)"\})x");
    std::set<std::string> names;
    for (std::sregex_iterator it(text.begin(), text.end(), named), end; it != end; ++it) {
        names.insert((*it)[1]);
    }
    return names;
}

TEST(SettingNames, InMessagesHaveAFlagThatACommandDeclares) {
    const std::set<std::string> flags = declared_flags();
    std::set<std::string> names;
    for (const Source& source : sources_under(checkout(), "src")) {
        if (!source.file.ends_with("_test.cpp")) names.merge(settings_named_in(source.text));
    }
    EXPECT_GE(names.size(), 25u);
    for (const std::string& name : names) {
        EXPECT_TRUE(flags.contains(apps::flag_of(name)))
            << name << " '" << apps::flag_of(name) << "'";
    }
}

TEST(SettingNames, BecomeFlagsWhereTheProgramPrints) {
    EXPECT_EQ(apps::in_flags("`weights.bits` is 9; give `overwrite`"),
              "--w-bits is 9; give --overwrite");
    EXPECT_EQ(apps::in_flags("`no_setting` of `weights.bits"), "`no_setting` of `weights.bits");
}

}  // namespace
}  // namespace quarot::test
