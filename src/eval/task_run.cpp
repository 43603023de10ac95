#include "eval/task_run.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/error.h"
#include "io/hash.h"

namespace quarot::eval {

namespace {

int64_t first_best(std::span<const double> values) {
    return std::max_element(values.begin(), values.end()) - values.begin();
}

std::string digest_of(const Item& item) {
    io::Xxh3 hash;
    const auto add = [&](std::string_view text) {
        const auto n = static_cast<int64_t>(text.size());  // so that borders count
        hash.add(std::as_bytes(std::span(&n, 1)));
        hash.add(std::as_bytes(std::span(text)));
    };
    for (const Choice& choice : item.choices) {
        add(choice.context);
        add(choice.continuation);
    }
    return hash.hex();
}

ItemResult result_of(Metrics metrics, const Item& item, std::span<const PairScore> scores) {
    ItemResult result = {.loglikelihoods = {},
                         .prediction = std::nullopt,
                         .prediction_norm = std::nullopt,
                         .gold = item.gold,
                         .digest = digest_of(item)};
    std::vector<double> by_character;
    for (size_t i = 0; i < scores.size(); ++i) {
        result.loglikelihoods.push_back(scores[i].loglikelihood);
        by_character.push_back(scores[i].loglikelihood /
                               static_cast<double>(item.choices[i].n_characters));
    }
    if (metrics == Metrics::LastWord) {
        if (scores.front().is_greedy) result.prediction = 0;
        return result;
    }
    result.prediction = first_best(result.loglikelihoods);
    if (metrics == Metrics::ChoiceNorm) result.prediction_norm = first_best(by_character);
    return result;
}

// Share of items for which `prediction` is right.
Mean share_right(std::span<const ItemResult> items,
                 std::optional<int64_t> ItemResult::*prediction) {
    std::vector<double> right;
    for (const ItemResult& item : items) right.push_back(item.*prediction == item.gold ? 1.0 : 0.0);
    return mean_of(right);
}

// exp of the mean negative log-likelihood; its error to first order.
Mean perplexity_of(std::span<const ItemResult> items) {
    std::vector<double> nll;
    for (const ItemResult& item : items) nll.push_back(-item.loglikelihoods.front());
    return exp_of(mean_of(nll));
}

}  // namespace

std::vector<TokenPair> encode_task(const TaskData& data, const tokenizer::Tokenizer& tokenizer,
                                   tokenizer::AddBos bos) {
    std::vector<TokenPair> pairs;
    for (size_t i = 0; i < data.items.size(); ++i) {
        for (const Choice& choice : data.items[i].choices) {
            try {
                pairs.push_back(encode_pair(tokenizer, choice.context, choice.continuation, bos));
            } catch (const Error& error) {
                fail(error.code(), "{}, item {}: {}", data.file, i, error.what());
            }
        }
    }
    return pairs;
}

TaskResult judge(const TaskData& data, std::span<const PairScore> scores) {
    TaskResult result;
    result.task = data.task->name;
    for (const Item& item : data.items) {
        QUAROT_CHECK(scores.size() >= item.choices.size());
        const auto of_item = scores.first(item.choices.size());
        scores = scores.subspan(item.choices.size());
        result.items.push_back(result_of(data.task->metrics, item, of_item));
        result.n_cut += std::ranges::count_if(of_item, [](const PairScore& s) { return s.is_cut; });
    }
    result.acc = share_right(result.items, &ItemResult::prediction);
    if (data.task->metrics == Metrics::ChoiceNorm) {
        result.acc_norm = share_right(result.items, &ItemResult::prediction_norm);
    }
    if (data.task->metrics == Metrics::LastWord) result.perplexity = perplexity_of(result.items);
    return result;
}

TaskResult run_task(runtime::Engine& engine, const TaskData& data, std::span<const TokenPair> pairs,
                    PartialScores* partial, size_t first) {
    ScoreOptions options = {.wants_greedy = data.task->metrics == Metrics::LastWord,
                            .what = std::string(data.task->name)};
    if (partial != nullptr) {
        options.known = partial->scores().subspan(first, pairs.size());
        options.on_score = [&](size_t i, const PairScore& score) {
            partial->set(first + i, score);
        };
    }
    return judge(data, score_pairs(engine, pairs, options));
}

}  // namespace quarot::eval
