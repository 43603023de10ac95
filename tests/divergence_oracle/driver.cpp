// divergence_driver BASE LOGITS: our statistics as JSON. BASE is a file of llama-perplexity's
// --kl-divergence-base, LOGITS what llama_logits wrote of another model for it.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <vector>

#include "apps/perplexity_report.h"
#include "eval/llama_base.h"
#include "io/file.h"
#include "tensor/log_softmax.h"

int main(int argc, char** argv) {
    using namespace quarot;
    try {
        if (argc != 3) throw std::runtime_error("usage: divergence_driver BASE LOGITS");
        const eval::LlamaBaseFile base(argv[1]);
        const io::File file(argv[2]);
        std::vector<float> logits(static_cast<size_t>(base.vocab()));
        const auto bytes = std::as_writable_bytes(std::span(logits));
        if (file.size() != base.n_positions() * std::ssize(bytes)) {
            throw std::runtime_error("expected logits of every position of the base");
        }
        std::vector<eval::PositionPair> pairs;
        eval::LlamaBaseRow row;
        for (int64_t i = 0; i < base.n_positions(); ++i) {
            base.read(i, row);
            file.read(i * std::ssize(bytes), bytes);
            const double log_sum = log_sum_exp(logits);
            const double logit = logits[static_cast<size_t>(row.target)];
            pairs.push_back(eval::compare(row, logits, log_sum, log_sum - logit));
        }
        std::puts(apps::divergence_to_json(eval::divergence_of(pairs)).dump().c_str());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "divergence_driver: %s\n", error.what());
        return 1;
    }
}
