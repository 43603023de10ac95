#include "apps/bench_flags.h"

#include <utility>

#include "apps/arg_values.h"
#include "apps/report.h"
#include "bench/shapes.h"
#include "core/error.h"
#include "folder/limits.h"

namespace quarot::apps {

namespace {

constexpr int64_t kMaxBatch = 1024;
constexpr int64_t kMaxRuns = 1'000'000;

void declare_tests(Args& args, BenchFlags& flags) {
    const auto list = [&args](const char* names, const char* help, int64_t min, int64_t max,
                              std::vector<int64_t>& to) {
        args.add({names, "N,...", help,
                  [&to, min, max](const Given& g) { to = as_integers(g, min, max); },
                  Shown::First});
    };
    list("-p,--prompt-tokens", "tokens of a prompt (pp); 0: none [512]", 0, limits::kPositions,
         flags.prompt_tokens);
    list("-n,--new-tokens", "tokens made one by one (tg); 0: none [128]", 0, limits::kPositions,
         flags.new_tokens);
    list("-d,--depth", "tokens that are in the cache before [0]", 0, limits::kPositions,
         flags.depths);
    list("-b,--batch", "sequences that run at the same time [1]", 1, kMaxBatch, flags.batches);
    args.add({"-r,--runs", "N", "timed runs of each test, after a warm-up [5]",
              [&flags](const Given& g) { flags.n_runs = as_integer(g, 1, kMaxRuns); }});
    args.add({"--with-16bit", "", "the same tests of the shape in 16 bits, and the ratio to them",
              [&flags](const Given& g) { flags.with_16bit = as_switch(g); }});
    args.add({"--ops", "",
              "single operations of the tests' steps, beside 16 bits and, on a GPU, fp8",
              [&flags](const Given& g) { flags.operations = as_switch(g); }});
    args.add({"--paper", "", "the paper's tables 14 to 17 of one block, beside its own figures",
              [&flags](const Given& g) { flags.paper = as_switch(g); }});
}

void declare_examples(Args& args) {
    args.example("quarot bench -m tiny-w4", "prompts of 512 tokens, then 128 tokens one by one");
    args.example("quarot bench --shape tinyllama-1.1b --recipe w4a8kv4",
                 "without any file; weights do not change the speed");
    args.example("quarot bench --shape llama-3-8b --recipe quarot-rtn -p 0 -n 32 -d 0,4096 -b 1,8",
                 "decoding by depth of the context and by sequences at a time");
    args.example("quarot bench --shape llama-2-7b --recipe quarot-rtn --device cuda --with-16bit",
                 "how much faster a GPU is in 4 bits");
    args.example("quarot bench --shape llama-2-70b --recipe quarot-rtn --layers 4 --json",
                 "a part of a model that does not fit, for scripts");
    args.example("quarot bench --shape llama-2-7b --ops -p 2048 -n 1 -d 0,2048 -b 1,16",
                 "where the time of a step goes, and how near the memory's speed it is");
    args.example("quarot bench --paper --device cuda", "7B, 13B and 70B as in the paper");
}

}  // namespace

void BenchFlags::declare(Args& args) {
    add_model_flag(args, model);
    args.add({"--shape", "NAME", "random weights of this shape instead, as llama-3-8b",
              [this](const Given& g) { shape = g.value; }, Shown::First})
        .likely = bench::shape_names();
    args.add({"--layers", "N", "with --shape: the first N layers only",
              [this](const Given& g) { n_layers = as_integer(g, 1, limits::kLayers); }});
    declare_tests(args, *this);
    machine.declare(args);
    machine.declare_ranks(args);
    recipe.declare(args);
    output.declare(args);
    args.note("Shapes: " + joined(bench::shape_names(), ", ") + ".");
    args.note(
        "A folder runs in the recipe it was made with. --recipe and other flags that change "
        "weights measure random weights of the folder's shape in that recipe.");
    declare_examples(args);
}

void BenchFlags::check() const {
    if (operations && paper) {
        fail(ErrorCode::Usage, "--ops and --paper are given, expected one of them");
    }
    if (machine.n_ranks > 1 && (operations || paper)) {
        fail(ErrorCode::Usage, "--tp {} is given with {}, which measures one rank", machine.n_ranks,
             operations ? "--ops" : "--paper");
    }
    if (model.empty() && shape.empty() && !paper) {
        fail(ErrorCode::Usage, "no model is given; name its folder with -m, or a --shape");
    }
    if (!model.empty() && !shape.empty()) {
        fail(ErrorCode::Usage, "-m {} and --shape {} are given, expected one of them", model,
             shape);
    }
    if (!model.empty() && paper) {
        fail(ErrorCode::Usage, "-m {} is given with --paper, expected a --shape or none", model);
    }
    if (n_layers && runs_folder() && !operations && !paper) {
        fail(ErrorCode::Usage,
             "--layers is given for the weights of a folder, expected with --shape or --recipe");
    }
}

std::vector<bench::SpeedTest> BenchFlags::tests() const {
    const std::vector<bench::SpeedTest> tests =
        bench::speed_tests(given_or(prompt_tokens, {512}), given_or(new_tokens, {128}),
                           given_or(depths, {0}), given_or(batches, {1}));
    if (tests.empty()) {
        fail(ErrorCode::Usage, "--prompt-tokens and --new-tokens are 0, expected a test of either");
    }
    return tests;
}

std::vector<int64_t> given_or(const std::vector<int64_t>& given,
                              const std::vector<int64_t>& otherwise) {
    return given.empty() ? otherwise : given;
}

}  // namespace quarot::apps
