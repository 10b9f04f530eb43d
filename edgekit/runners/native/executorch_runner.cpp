// Runs ON the device: one .pte file in ExecuTorch, on the CPU. Built against the headers and libraries of the wheel.
#include "runner.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

// The wheel has the library of the thread pool, and no header for it.
namespace executorch::extension::threadpool {
class ThreadPool {
  public:
    bool _unsafe_reset_threadpool(uint32_t threads);
    size_t get_thread_count() const;
};
ThreadPool *get_threadpool();
} // namespace executorch::extension::threadpool

namespace {

using executorch::aten::DimOrderType;
using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::etdump::ETDumpGen;
using executorch::extension::MallocMemoryAllocator;
using executorch::extension::MmapDataLoader;
using executorch::extension::threadpool::get_threadpool;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::HierarchicalAllocator;
using executorch::runtime::MemoryManager;
using executorch::runtime::Method;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;

template <typename T> T &checked(Result<T> &result, const char *what) {
    if (!result.ok()) {
        fail("%s: ExecuTorch's error 0x%x", what, static_cast<unsigned>(result.error()));
    }
    return result.get();
}

template <typename T> T checked(Result<T> &&result, const char *what) { return std::move(checked(result, what)); }

void check(Error error, const char *what) {
    if (error != Error::Ok) {
        fail("%s: ExecuTorch's error 0x%x", what, static_cast<unsigned>(error));
    }
}

size_t floats_of(const executorch::runtime::TensorInfo &info) {
    if (info.scalar_type() != ScalarType::Float) {
        fail("an input or output is not float32 (ExecuTorch's type %d)", static_cast<int>(info.scalar_type()));
    }
    return info.nbytes() / sizeof(float);
}

// A program, its one method, and the memory that they work in; in the order in which they need each other.
class Session {
  public:
    Session(const char *path, ETDumpGen *dump)
        : loader_(MmapDataLoader::from(path)), program_(Program::load(&checked(loader_, path))),
          name_(checked(checked(program_, path).get_method_name(0), "the method's name")),
          meta_(checked(program_->method_meta(name_), "the method's description")), spans_(plan()),
          planned_allocator_({spans_.data(), spans_.size()}),
          manager_(&method_allocator_, &planned_allocator_, &temporary_allocator_),
          method_(program_->load_method(name_, &manager_, dump)) {
        Method &method = checked(method_, "loading the method");
        inputs_.resize(method.inputs_size());
        for (size_t i = 0; i < inputs_.size(); i++) {
            const auto info = checked(meta_.input_tensor_meta(i), "an input");
            Input &input = inputs_[i];
            input.values.resize(floats_of(info));
            input.sizes.assign(info.sizes().begin(), info.sizes().end());
            input.order.assign(info.dim_order().begin(), info.dim_order().end());
            input.tensor =
                std::make_unique<TensorImpl>(info.scalar_type(), static_cast<ssize_t>(input.sizes.size()),
                                             input.sizes.data(), input.values.data(), input.order.data());
            check(method.set_input(EValue(Tensor(input.tensor.get())), i), "setting an input");
        }
    }

    size_t input_floats() const {
        size_t floats = 0;
        for (const Input &input : inputs_) {
            floats += input.values.size();
        }
        return floats;
    }

    void set_inputs(const float *values) {
        for (size_t i = 0; i < inputs_.size(); i++) {
            Input &input = inputs_[i];
            std::memcpy(input.values.data(), values, input.values.size() * sizeof(float));
            check(method_->set_input(EValue(Tensor(input.tensor.get())), i), "setting an input");
            values += input.values.size();
        }
    }

    void run() { check(method_->execute(), "running"); }

    // The memory that the program itself planned: for tensors outside delegates.
    int64_t planned_bytes() const {
        size_t bytes = 0;
        for (const auto &span : spans_) {
            bytes += span.size();
        }
        return static_cast<int64_t>(bytes);
    }

    std::vector<std::vector<int32_t>> output_shapes() {
        std::vector<std::vector<int32_t>> shapes;
        for (size_t i = 0; i < meta_.num_outputs(); i++) {
            const auto info = checked(meta_.output_tensor_meta(i), "an output");
            floats_of(info);
            shapes.emplace_back(info.sizes().begin(), info.sizes().end());
        }
        return shapes;
    }

    void write_outputs(FILE *file) {
        for (size_t i = 0; i < method_->outputs_size(); i++) {
            const Tensor output = method_->get_output(i).toTensor();
            if (std::fwrite(output.const_data_ptr(), 1, output.nbytes(), file) != output.nbytes()) {
                fail("the output cannot be written whole");
            }
        }
    }

  private:
    // An input's memory, and the tensor that looks at it.
    struct Input {
        std::vector<float> values;
        std::vector<SizesType> sizes;
        std::vector<DimOrderType> order;
        std::unique_ptr<TensorImpl> tensor;
    };

    std::vector<Span<uint8_t>> plan() {
        std::vector<Span<uint8_t>> spans;
        for (size_t i = 0; i < meta_.num_memory_planned_buffers(); i++) {
            const auto size = static_cast<size_t>(checked(meta_.memory_planned_buffer_size(i), "planned memory"));
            buffers_.push_back(std::make_unique<uint8_t[]>(size));
            spans.emplace_back(buffers_.back().get(), size);
        }
        return spans;
    }

    Result<MmapDataLoader> loader_;
    Result<Program> program_;
    const char *name_;
    executorch::runtime::MethodMeta meta_;
    std::vector<std::unique_ptr<uint8_t[]>> buffers_;
    std::vector<Span<uint8_t>> spans_;
    HierarchicalAllocator planned_allocator_;
    MallocMemoryAllocator method_allocator_, temporary_allocator_;
    MemoryManager manager_;
    Result<Method> method_;
    std::vector<Input> inputs_;
};

void set_inputs(void *session, const float *values) { static_cast<Session *>(session)->set_inputs(values); }

void run(void *session) { static_cast<Session *>(session)->run(); }

void write_outputs(void *session, FILE *file) { static_cast<Session *>(session)->write_outputs(file); }

void tell_load(Session &session, int64_t ns, int64_t cached) {
    const auto shapes = session.output_shapes();
    std::vector<const int32_t *> sides;
    std::vector<size_t> ranks;
    for (const auto &shape : shapes) {
        sides.push_back(shape.data());
        ranks.push_back(shape.size());
    }
    begin_event("load");
    field_integer("ns", ns);
    field_shapes("output_shapes", sides.data(), ranks.data(), shapes.size());
    field_known("cached_per_mille", cached);
    field_integer("planned_bytes", session.planned_bytes());
    end_event();
}

void write_etdump(ETDumpGen &dump, const char *path) {
    const auto result = dump.get_etdump_data();
    FILE *file = std::fopen(path, "wb");
    if (!file || std::fwrite(result.buf, 1, result.size, file) != result.size || std::fclose(file)) {
        fail("%s cannot be written", path);
    }
    std::free(result.buf);
}

} // namespace

int main(int argc, char **argv) {
    const arguments arguments = parse_arguments(argc, argv);
    pin(arguments.cpus);
    executorch::runtime::runtime_init();
    get_threadpool()->_unsafe_reset_threadpool(static_cast<uint32_t>(arguments.threads));
    auto dump = arguments.operators ? std::make_unique<ETDumpGen>() : nullptr;
    note_baseline();
    const int64_t cached = prepare_file(&arguments), start = now_ns();
    Session session(arguments.model, dump.get());
    const int64_t load_ns = now_ns() - start;
    tell_environment("executorch", EXECUTORCH_VERSION, static_cast<int>(get_threadpool()->get_thread_count()));
    tell_load(session, load_ns, cached);
    const model model{&session, session.input_floats(), set_inputs, run, write_outputs};
    serve(&arguments, &model);
    if (dump) {
        write_etdump(*dump, arguments.operators);
    }
    std::_Exit(0); // the thread pool's threads are not waited for
}
