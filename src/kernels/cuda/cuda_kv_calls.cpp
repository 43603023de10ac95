#include "kernels/cuda/cuda_kv_calls.h"

#include "core/check.h"
#include "kernels/cuda/cuda_activations.h"
#include "kernels/cuda/cuda_kv_store.h"

namespace quarot::kernels::cuda {

namespace {

KvBatch kv_batch(const BatchView& batch) {
    return {.n_tokens = batch.n_tokens,
            .positions = batch.positions,
            .sequence_of_token = batch.sequence_of_token,
            .n_sequences = batch.n_sequences,
            .first_token = batch.first_token,
            .pages = batch.pages,
            .first_page = batch.first_page,
            .seats = batch.seats};
}

HeadTransform head_transform(const Rotation* rotation) {
    if (rotation == nullptr || rotation->identity()) return {};
    return {.dense_order = static_cast<int>(rotation->dense_order()),
            .dense = rotation->dense(),
            .dense_stride = static_cast<int>(rotation->dense_stride()),
            .factor = rotation->sylvester_factor()};
}

void store_into(AppendCall& call, const AppendKvArgs& args) {
    call.k = view_of(args.k);
    call.v = view_of(args.v);
    call.head_dim = args.kv.descriptor().head_dim;
    call.kv = static_cast<const CudaKvStore&>(args.kv).view();
    call.layer = args.layer;
    call.site = args.note.site;
    call.bad_site = args.note.lowest;
}

}  // namespace

AppendCall append_call(const RopeArgs& args, const Rotation* transform) {
    AppendCall call;
    call.q = view_of(args.q);
    call.k = view_of(args.k);
    call.head_dim = args.head_dim;
    call.rope = {args.table.cos, args.table.sin};
    call.transform = head_transform(transform);
    call.batch = kv_batch(args.batch);
    return call;
}

AppendCall append_call(const AppendKvArgs& args) {
    AppendCall call;
    call.batch = kv_batch(args.batch);
    store_into(call, args);
    return call;
}

AppendCall append_call(const RopeTransformAppendArgs& args, const Rotation* transform) {
    AppendCall call = append_call(args.rope, transform);
    store_into(call, args.append);
    return call;
}

AttentionCall attention_call(const AttentionArgs& args, int64_t pages) {
    const auto& store = static_cast<const CudaKvStore&>(args.kv);
    AttentionCall call;
    call.q = view_of(args.q);
    call.n_heads = args.n_heads;
    call.kv = store.view();
    call.layer = args.layer;
    call.scale = args.scale;
    call.score_cap = args.score_cap;
    call.window = args.window;
    call.batch = kv_batch(args.batch);
    call.max_context = (pages > 0 ? pages : store.n_pages()) * store.descriptor().page_tokens;
    call.out = view_of(args.out);
    QUAROT_CHECK(store.descriptor().k_bias_apart == (args.key_bias.basis != nullptr));
    call.key_bias = {args.key_bias.basis, args.key_bias.table.cos, args.key_bias.table.sin};
    if (call.kv.k.by_channel()) call.k = view_of(args.k);
    return call;
}

AttentionCall largest_attention_call(const StepLimits& limits) {
    AttentionCall call;
    call.n_heads = limits.n_heads;
    call.kv.head_dim = static_cast<int>(limits.head_dim);
    call.batch.n_sequences = limits.sequences;
    call.max_context = limits.pages * KvDescriptor{}.page_tokens;
    return call;
}

}  // namespace quarot::kernels::cuda
