// An independent loop around ExecuTorch: MODEL INPUT OUTPUT WARMUP_SECONDS SECONDS RUNS; prints each run's nanoseconds.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

namespace executorch::extension::threadpool { // the wheel has no header of it
struct ThreadPool {
    bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool *get_threadpool();
} // namespace executorch::extension::threadpool

int main(int, char **argv) {
    using clock = std::chrono::steady_clock;
    executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(1);
    executorch::extension::Module module(argv[1]);
    const auto meta = module.method_meta("forward");
    const auto sizes = meta->input_tensor_meta(0)->sizes();
    std::vector<float> values(meta->input_tensor_meta(0)->nbytes() / sizeof(float));
    std::ifstream(argv[2], std::ios::binary).read(reinterpret_cast<char *>(values.data()), values.size() * sizeof(float));
    const auto input = executorch::extension::from_blob(values.data(), {sizes.begin(), sizes.end()});
    const auto warm = clock::now() + std::chrono::duration<double>(std::atof(argv[4]));
    while (clock::now() < warm) {
        module.forward(input).get();
    }
    std::vector<long long> samples;
    const auto end = clock::now() + std::chrono::duration<double>(std::atof(argv[5]));
    while (samples.size() < std::strtoul(argv[6], nullptr, 10) || clock::now() < end) {
        const auto start = clock::now();
        module.forward(input).get();
        samples.push_back(std::chrono::nanoseconds(clock::now() - start).count());
    }
    const auto result = module.forward(input).get()[0].toTensor();
    std::ofstream(argv[3], std::ios::binary).write(static_cast<const char *>(result.const_data_ptr()), result.nbytes());
    for (const long long sample : samples) {
        std::printf("%lld\n", sample);
    }
    std::fflush(stdout);
    std::_Exit(0);
}
