// quarot completion: a script that makes a shell complete quarot's command lines.
#include "apps/completion.h"

#include <memory>

#include "apps/commands.h"
#include "apps/report.h"
#include "core/error.h"

namespace quarot::apps {

namespace {

std::string script_for(const std::string& shell) {
    if (shell == "bash") return bash_completion();
    if (shell == "zsh") return zsh_completion();
    if (shell == "fish") return fish_completion();
    fail(ErrorCode::Usage, "no shell is given, expected quarot completion bash, zsh or fish");
}

}  // namespace

Work completion_command(Args& args) {
    auto shell = std::make_shared<std::string>();
    args.add({"SHELL", "SHELL", "bash, zsh or fish", [shell](const Given& g) { *shell = g.value; },
              Shown::First})
        .choices = {"bash", "zsh", "fish"};
    args.example("source <(quarot completion bash)", "in ~/.bashrc");
    args.example("quarot completion zsh > ~/.zfunc/_quarot", "a folder of zsh's $fpath");
    args.example("quarot completion fish > ~/.config/fish/completions/quarot.fish",
                 "where fish looks");
    return [shell] { print_result(script_for(*shell)); };
}

}  // namespace quarot::apps
