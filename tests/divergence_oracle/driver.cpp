// divergence_driver BASE MODEL: the statistics of two stored bases of form exact as JSON, the
// second one in the place of the model.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <vector>

#include "apps/perplexity_report.h"
#include "eval/base_file.h"
#include "eval/divergence.h"

int main(int argc, char** argv) {
    using namespace quarot;
    try {
        if (argc != 3) throw std::runtime_error("usage: divergence_driver BASE MODEL");
        const eval::BaseFile base(argv[1]), model(argv[2]);
        if (base.form() != eval::BaseForm::Exact || model.form() != eval::BaseForm::Exact) {
            throw std::runtime_error("expected two files of form exact");
        }
        base.require_made_for(model.identity());
        std::vector<eval::PositionPair> pairs;
        eval::BaseRow base_row, row;
        for (int64_t i = 0; i < base.identity().n_positions; ++i) {
            base.read(i, base_row);
            model.read(i, row);
            const auto found = eval::divergence_of(base_row, base.form(), row.logits, row.log_sum);
            pairs.push_back({.nll = row.nll,
                             .base_nll = base_row.nll,
                             .kl = found.kl,
                             .same_top1 = found.same_top1});
        }
        std::puts(apps::divergence_to_json(eval::divergence_of(pairs)).dump().c_str());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "divergence_driver: %s\n", error.what());
        return 1;
    }
}
