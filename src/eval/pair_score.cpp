#include "eval/pair_score.h"

#include <algorithm>
#include <list>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "core/checked_math.h"
#include "core/error.h"
#include "core/progress.h"

namespace quarot::eval {

namespace {

using runtime::StepRows;

int64_t n_inputs(const TokenPair& pair) {
    return std::ssize(pair.context) + std::ssize(pair.continuation) - 1;
}

// What the model reads of a pair.
struct Inputs {
    std::vector<int32_t> tokens;
    int64_t first_scored = 0;  // position whose logits predict the first token of the continuation
    bool is_cut = false;
};

Inputs inputs_of(const TokenPair& pair, int64_t most) {
    const int64_t n = std::ssize(pair.continuation);
    if (n > most) {
        fail(ErrorCode::Usage, "a continuation has {} tokens, but the model's context ends at {}",
             n, most);
    }
    Inputs inputs = {.tokens = pair.context};
    inputs.tokens.insert(inputs.tokens.end(), pair.continuation.begin(),
                         pair.continuation.end() - 1);
    const int64_t too_many = std::max(std::ssize(inputs.tokens) - most, int64_t{0});
    inputs.tokens.erase(inputs.tokens.begin(), inputs.tokens.begin() + too_many);
    inputs.first_scored = std::ssize(inputs.tokens) - n;
    inputs.is_cut = too_many > 0;
    return inputs;
}

// A pair on its way through the engine.
class PairRequest {
  public:
    PairRequest(runtime::Engine& engine, const TokenPair& pair, bool wants_greedy, PairScore& score)
        : pair_(pair), wants_greedy_(wants_greedy), score_(score) {
        Inputs inputs = inputs_of(pair, engine.limits().context);
        n_ = std::ssize(inputs.tokens);
        first_scored_ = inputs.first_scored;
        score_ = {.is_greedy = wants_greedy, .is_cut = inputs.is_cut};
        request_.emplace(engine,
                         runtime::Request{.tokens = std::move(inputs.tokens),
                                          .max_tokens = n_,
                                          .logits = runtime::LogitsWanted::All,
                                          .first_logits = first_scored_},
                         [this](const StepRows& rows) { look(rows); });
    }
    int64_t n_tokens() const { return n_; }
    void wait() {
        if (request_) request_->wait();
    }

  private:
    void look(const StepRows& rows) {
        const auto first = static_cast<size_t>(rows.first_position() - first_scored_);
        const auto targets =
            std::span(pair_.continuation).subspan(first, static_cast<size_t>(rows.size()));
        std::vector<double> scores(targets.size());
        rows.log_probabilities(targets, scores);
        score_.loglikelihood = std::accumulate(scores.begin(), scores.end(), score_.loglikelihood);
        if (!wants_greedy_) return;
        for (size_t i = 0; i < targets.size() && score_.is_greedy; ++i) {
            score_.is_greedy = rows.best(static_cast<int64_t>(i)) == targets[i];
        }
    }

    const TokenPair& pair_;
    bool wants_greedy_;
    PairScore& score_;
    int64_t n_ = 0;
    int64_t first_scored_ = 0;
    std::optional<runtime::ScopedRequest> request_;
};

// Pairs of one context, in order.
using Group = std::vector<size_t>;

// Of the pairs that `runs` says; groups with the longest pairs first.
std::vector<Group> groups_of(std::span<const TokenPair> pairs,
                             const std::function<bool(size_t)>& runs) {
    std::map<std::vector<int32_t>, size_t> place;
    std::vector<Group> groups;
    for (size_t i = 0; i < pairs.size(); ++i) {
        if (!runs(i)) continue;
        const auto [found, is_new] = place.emplace(pairs[i].context, groups.size());
        if (is_new) groups.emplace_back();
        groups[found->second].push_back(i);
    }
    const auto longest = [&](const Group& group) {
        int64_t n = 0;
        for (const size_t i : group) n = std::max(n, n_inputs(pairs[i]));
        return n;
    };
    std::sort(groups.begin(), groups.end(), [&](const Group& a, const Group& b) {
        const int64_t of_a = longest(a), of_b = longest(b);
        return of_a > of_b || (of_a == of_b && a.front() < b.front());
    });
    return groups;
}

// First one pair of every context, then the others, which find its pages in the cache: a request
// is admitted after those before it, and these are more than run at once.
std::vector<size_t> order_of(std::span<const Group> groups) {
    std::vector<size_t> order;
    for (const Group& group : groups) order.push_back(group.front());
    for (const Group& group : groups) order.insert(order.end(), group.begin() + 1, group.end());
    return order;
}

}  // namespace

int64_t longest_inputs(std::span<const TokenPair> pairs, int64_t max_positions) {
    int64_t longest = 1;
    for (const TokenPair& pair : pairs) longest = std::max(longest, n_inputs(pair));
    return std::min(longest, max_positions);
}

runtime::EngineLimits scoring_limits(std::span<const TokenPair> pairs,
                                     const model::Weights& weights,
                                     const kernels::Backend& backend) {
    const int64_t context = longest_inputs(pairs, weights.n_positions);
    const int64_t step_tokens = backend.traits().step_tokens;
    const kernels::KvDescriptor descriptor = weights.kv_descriptor();
    int64_t sum = 0;
    for (const TokenPair& pair : pairs) sum += std::min(n_inputs(pair), context);
    const int64_t mean = ceil_div(sum, std::max(std::ssize(pairs), int64_t{1}));
    const auto pages = [&](int64_t tokens) { return ceil_div(tokens, descriptor.page_tokens); };
    // Enough for two steps, so that one that ends leaves no hole, and as many pages again for
    // contexts that others will share.
    int64_t sequences = std::clamp(ceil_div(2 * step_tokens, mean), int64_t{1}, step_tokens);
    const auto n_pages = [&] { return 2 * sequences * pages(mean) + pages(context); };
    const auto available = backend.available_bytes();
    const auto fits = [&] {
        const auto bytes = backend.kv_bytes(weights.kv_descriptor(sequences), n_pages());
        return !available || (bytes && *bytes <= *available / 2);
    };
    while (sequences > 1 && !fits()) sequences /= 2;
    return {.context = context,
            .sequences = sequences,
            .n_pages = n_pages(),
            .step_tokens = step_tokens};
}

std::vector<PairScore> score_pairs(runtime::Engine& engine, std::span<const TokenPair> pairs,
                                   const ScoreOptions& options) {
    std::vector<PairScore> scores(pairs.size());
    const auto known = [&](size_t i) -> const PairScore* {
        if (i >= options.known.size()) return nullptr;
        const std::optional<PairScore>& score = options.known[i];
        return score ? &*score : nullptr;
    };
    int64_t n_tokens = 0;
    for (size_t i = 0; i < pairs.size(); ++i) {
        if (const PairScore* score = known(i)) {
            scores[i] = *score;
        } else {
            n_tokens += std::min(n_inputs(pairs[i]), engine.limits().context);
        }
    }
    const std::vector<Group> groups =
        groups_of(pairs, [&](size_t i) { return known(i) == nullptr; });
    Progress progress(options.what + ", token", n_tokens);
    const auto chunk = static_cast<size_t>(2 * engine.limits().sequences);
    for (size_t first = 0; first < groups.size(); first += chunk) {
        std::list<PairRequest> requests;
        const auto some = std::span(groups).subspan(first, std::min(chunk, groups.size() - first));
        const std::vector<size_t> order = order_of(some);
        for (const size_t i : order) {
            requests.emplace_back(engine, pairs[i], options.wants_greedy, scores[i]);
        }
        for (const size_t i : order) {
            requests.front().wait();
            progress.advance(requests.front().n_tokens());
            requests.pop_front();
            if (options.on_score) options.on_score(i, scores[i]);
        }
    }
    return scores;
}

}  // namespace quarot::eval
