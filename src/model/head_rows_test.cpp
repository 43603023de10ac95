#include "model/head_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "model/rope.h"

namespace quarot::model {

namespace {

using Order = std::vector<int32_t>;

constexpr int64_t kHead = 8;

ModelConfig config_of(const RopeConfig& rope) {
    ModelConfig config;
    config.head_dim = kHead;
    config.ropes = {rope};
    return config;
}

// A head as its family's own description turns it: pairs of the first rotary_dim values.
std::vector<double> turned(std::vector<double> head, const RopeConfig& rope, int64_t position) {
    const auto frequencies = rope_frequencies(rope, kHead, 1);
    const auto dim = static_cast<size_t>(rope.rotary_dim);
    for (size_t i = 0; i < dim / 2; ++i) {
        const bool halves = rope.pairs == RopePairs::Halves;
        double& a = head[halves ? i : 2 * i];
        double& b = head[halves ? i + dim / 2 : 2 * i + 1];
        const double angle = static_cast<double>(position) * frequencies[i];
        const double x = a, y = b;
        a = x * std::cos(angle) - y * std::sin(angle);
        b = y * std::cos(angle) + x * std::sin(angle);
    }
    return head;
}

// As backends turn it: pairs (i, i + head_dim / 2), whatever the model.
std::vector<double> turned_by_halves(const std::vector<double>& head, const RopeConfig& rope,
                                     int64_t position) {
    const RopeAngles angles = rope_angles(rope_frequencies(rope, kHead, 1), 1.0, position, 1);
    std::vector<double> out(head.size());
    for (size_t i = 0; i < 4; ++i) {
        out[i] = head[i] * angles.cos[i] - head[4 + i] * angles.sin[i];
        out[4 + i] = head[4 + i] * angles.cos[i] + head[i] * angles.sin[i];
    }
    return out;
}

std::vector<double> picked(const std::vector<double>& values, const Order& order) {
    std::vector<double> out;
    for (const int32_t at : order) out.push_back(values[static_cast<size_t>(at)]);
    return out;
}

}  // namespace

TEST(HeadRows, StayWhereAllOfAHeadTurnsByHalves) {
    EXPECT_TRUE(head_row_order({}, kHead).empty());
    EXPECT_TRUE(head_row_order({.rotary_dim = kHead}, kHead).empty());
}

TEST(HeadRows, PutPairsWhereBackendsTurnThem) {
    EXPECT_EQ(head_row_order({.rotary_dim = 4}, kHead), (Order{0, 1, 4, 5, 2, 3, 6, 7}));
    EXPECT_EQ(head_row_order({.pairs = RopePairs::Neighbours}, kHead),
              (Order{0, 2, 4, 6, 1, 3, 5, 7}));
    EXPECT_EQ(head_row_order({.rotary_dim = 4, .pairs = RopePairs::Neighbours}, kHead),
              (Order{0, 2, 4, 5, 1, 3, 6, 7}));
}

TEST(HeadRows, TurnAsTheirFamilySays) {
    const std::vector<double> head = {0.3, -1.2, 0.8, 2.1, -0.7, 0.4, 1.9, -0.1};
    for (const auto pairs : {RopePairs::Halves, RopePairs::Neighbours}) {
        for (const int64_t dim : {2, 4, 6, 8}) {
            const RopeConfig rope = {.rotary_dim = dim, .pairs = pairs};
            Order order = head_row_order(rope, kHead);
            if (order.empty()) order = {0, 1, 2, 3, 4, 5, 6, 7};
            const auto expected = picked(turned(head, rope, 5), order);
            const auto found = turned_by_halves(picked(head, order), rope, 5);
            for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(found[i], expected[i], 1e-6) << dim;
        }
    }
}

TEST(HeadRows, AreOrderedInWeightsOfEveryKindAndInBiases) {
    const ModelConfig config = config_of({.rotary_dim = 4});
    Tensor dense(DType::F32, {16, 3});
    QuantizedMatrix codes = make_quantized_matrix(16, 3, 4, 0, false);
    kernels::LinearWeights floats, packed;
    for (int64_t r = 0; r < 16; ++r) {
        for (int64_t c = 0; c < 3; ++c) dense.as<float>()[r * 3 + c] = static_cast<float>(r);
        codes.pack_row(r, std::vector<uint8_t>(3, static_cast<uint8_t>(r)));
        codes.scales.as<float>()[r] = static_cast<float>(r);
        codes.zero_points.as<uint8_t>()[r] = static_cast<uint8_t>(r % 7);
        packed.bias.push_back(static_cast<float>(r));
    }
    floats.matrix = std::make_shared<const Tensor>(std::move(dense));
    packed.matrix = std::move(codes);
    order_head_rows(LinearRole::K, config, floats);
    order_head_rows(LinearRole::Q, config, packed);
    const Order order = {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};
    const auto& found = std::get<QuantizedMatrix>(packed.matrix);
    std::vector<uint8_t> row(3);
    for (int64_t r = 0; r < 16; ++r) {
        const int32_t from = order[static_cast<size_t>(r)];
        EXPECT_EQ(std::get<0>(floats.matrix)->as<float>()[r * 3 + 2], static_cast<float>(from));
        found.unpack_row(r, row);
        EXPECT_EQ(row[1], from);
        EXPECT_EQ(found.scale(r, 0), static_cast<float>(from));
        EXPECT_EQ(found.zero(r, 0), from % 7);
        EXPECT_EQ(packed.bias[static_cast<size_t>(r)], static_cast<float>(from));
    }
}

TEST(HeadRows, AreThoseOfGainsOfQAndK) {
    const ModelConfig config = config_of({.rotary_dim = 4});
    const std::vector<float> stored = {0, 1, 2, 3, 4, 5, 6, 7};
    std::vector<float> of_keys = stored, of_stream = stored;
    order_head_gain(NormRole::Key, config, of_keys);
    order_head_gain(NormRole::AttentionIn, config, of_stream);
    EXPECT_EQ(of_keys, (std::vector<float>{0, 1, 4, 5, 2, 3, 6, 7}));
    EXPECT_EQ(of_stream, stored);
}

TEST(HeadRows, OfOtherLinearsStay) {
    auto matrix = std::make_shared<const Tensor>(DType::F32, Shape{16, 3});
    kernels::LinearWeights weights = {matrix, {}};
    order_head_rows(LinearRole::V, config_of({.rotary_dim = 4}), weights);
    EXPECT_EQ(std::get<0>(weights.matrix), matrix);
}

}  // namespace quarot::model
