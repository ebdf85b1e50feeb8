/* TensorFlow Lite's C interface over objects of cranelite: C99. It is compiled with the names of the objects that the program links,

       cc -DCRANELITE_SHIM_MODELS=kws,detector -Iruntime-stub/tflite_shim/include runtime-stub/tflite_shim/tflite_shim.c app.c kws.o detector.o

   and of those that have several signatures: -DCRANELITE_SHIM_SIGNATURES=learner. Up to 16 of each. With -DCRANELITE_SHIM_THREADS and -pthread, threads are
   those of cranelite_threads.h.

   Everything is read from the descriptors that objects have (kws_model, learner_signatures); nothing here knows a model. */
#include "tflite_shim.h"
#include "../cranelite_model.h"
#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/c/c_api_experimental.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CRANELITE_SHIM_THREADS
#include "../cranelite_threads.h"
#endif

#if !defined(CRANELITE_SHIM_MODELS) && !defined(CRANELITE_SHIM_SIGNATURES)
#error "say which objects are linked: -DCRANELITE_SHIM_MODELS=kws,detector, and -DCRANELITE_SHIM_SIGNATURES=learner for those of several signatures"
#endif

/* ---- The objects of the program. ---- */

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
#define SEVENTEENTH(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, ...) q
#define COUNT(...) SEVENTEENTH(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define EACH_1(f, a) f(a)
#define EACH_2(f, a, ...) f(a) EACH_1(f, __VA_ARGS__)
#define EACH_3(f, a, ...) f(a) EACH_2(f, __VA_ARGS__)
#define EACH_4(f, a, ...) f(a) EACH_3(f, __VA_ARGS__)
#define EACH_5(f, a, ...) f(a) EACH_4(f, __VA_ARGS__)
#define EACH_6(f, a, ...) f(a) EACH_5(f, __VA_ARGS__)
#define EACH_7(f, a, ...) f(a) EACH_6(f, __VA_ARGS__)
#define EACH_8(f, a, ...) f(a) EACH_7(f, __VA_ARGS__)
#define EACH_9(f, a, ...) f(a) EACH_8(f, __VA_ARGS__)
#define EACH_10(f, a, ...) f(a) EACH_9(f, __VA_ARGS__)
#define EACH_11(f, a, ...) f(a) EACH_10(f, __VA_ARGS__)
#define EACH_12(f, a, ...) f(a) EACH_11(f, __VA_ARGS__)
#define EACH_13(f, a, ...) f(a) EACH_12(f, __VA_ARGS__)
#define EACH_14(f, a, ...) f(a) EACH_13(f, __VA_ARGS__)
#define EACH_15(f, a, ...) f(a) EACH_14(f, __VA_ARGS__)
#define EACH_16(f, a, ...) f(a) EACH_15(f, __VA_ARGS__)
#define EACH(f, ...) JOIN(EACH_, COUNT(__VA_ARGS__))(f, __VA_ARGS__)

struct TfLiteModel {
    const char *name;
    const cranelite_model *model;          /* of an object with one */
    const cranelite_signature *signatures; /* of an object with several: null behind the last */
    const void *weights;
};

#define DECLARE_MODEL(name) extern const cranelite_model JOIN(name, _model);
#define DECLARE_SIGNATURES(name) extern const cranelite_signature JOIN(name, _signatures)[];
#define LIST_MODEL(name) {TEXT(name), &JOIN(name, _model), NULL, NULL},
#define LIST_SIGNATURES(name) {TEXT(name), NULL, JOIN(name, _signatures), NULL},

#ifdef CRANELITE_SHIM_MODELS
EACH(DECLARE_MODEL, CRANELITE_SHIM_MODELS)
#endif
#ifdef CRANELITE_SHIM_SIGNATURES
EACH(DECLARE_SIGNATURES, CRANELITE_SHIM_SIGNATURES)
#endif

static TfLiteModel linked[] = {
#ifdef CRANELITE_SHIM_MODELS
    EACH(LIST_MODEL, CRANELITE_SHIM_MODELS)
#endif
#ifdef CRANELITE_SHIM_SIGNATURES
    EACH(LIST_SIGNATURES, CRANELITE_SHIM_SIGNATURES)
#endif
};
#define LINKED_COUNT (sizeof linked / sizeof *linked)

static const cranelite_model *first_of(const TfLiteModel *model)
{
    return model->model ? model->model : model->signatures[0].model;
}

/* Whether an object describes itself as this file expects. */
static bool is_known(const cranelite_model *model)
{
    return model->abi_version == 1 && sizeof(cranelite_model) <= model->struct_size && sizeof(cranelite_tensor) <= model->tensor_size;
}

/* ---- Errors. ---- */

typedef struct {
    void (*report)(void *user_data, const char *format, va_list args);
    void *user_data;
} reporter;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void report(reporter to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (to.report) {
        to.report(to.user_data, format, args);
    } else {
        fputs("cranelite: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
    }
    va_end(args);
}

static const reporter standard_error = {NULL, NULL};

/* ---- Which object was made of a file. ---- */

typedef struct {
    uint64_t bytes;
    uint64_t hash;
} fingerprint;

/* Goes on with bytes that are whole words of 64 bits, but for the last time. All targets of cranelite are little-endian. */
static void look_at(fingerprint *of, const unsigned char *bytes, size_t count)
{
    size_t at;
    of->bytes += count;
    for (at = 0; at < count; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, count - at < 8 ? count - at : 8);
        of->hash = (of->hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        of->hash ^= of->hash >> 32;
    }
}

/* Whether `name` is what `cranelite compile` makes of a file's stem: letters in lower case, digits, and one underscore for anything else between them. */
static bool is_made_of(const char *name, const char *stem, size_t length)
{
    size_t at = 0, i;
    bool gap = false;
    for (i = 0; i < length; i++) {
        char c = stem[i];
        if ('A' <= c && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (!(('a' <= c && c <= 'z') || ('0' <= c && c <= '9'))) {
            gap = at != 0;
            continue;
        }
        if (gap && name[at++] != '_') return false;
        gap = false;
        if (name[at++] != c) return false;
    }
    return at && !name[at];
}

/* Whether the whole or the rest of an object's name is that of the file at `path`: the rest, where C would not take the name as it is. */
static bool is_named_after(const char *name, const char *path)
{
    static const char before[] = "model_";
    const char *stem = path, *c;
    size_t length;
    for (c = path; *c; c++) {
        if (*c == '/' || *c == '\\') stem = c + 1;
    }
    c = strrchr(stem, '.');
    length = c && c != stem ? (size_t)(c - stem) : strlen(stem);
    return is_made_of(name, stem, length) || (!strncmp(name, before, sizeof before - 1) && is_made_of(name + sizeof before - 1, stem, length));
}

/* Another file than one that was compiled has none, whatever it is called. Of several objects of one file, that of its name, or the first. */
static TfLiteModel *made_of(fingerprint file, const char *path, const char *what, reporter to)
{
    TfLiteModel *found = NULL;
    size_t i;
    for (i = 0; i < LINKED_COUNT; i++) {
        const cranelite_model *model = first_of(&linked[i]);
        if (!is_known(model)) {
            report(to, "the object %s is of another version of cranelite than tflite_shim.c: compile its model again", linked[i].name);
        } else if (model->file_bytes == file.bytes && model->file_hash == file.hash) {
            if (!found || is_named_after(linked[i].name, path)) found = &linked[i];
        }
    }
    if (found) return found;
    report(to,
           "none of the %u linked objects was compiled from %s (%llu bytes, hash %016llx): compile that very file, and name the object in CRANELITE_SHIM_MODELS",
           (unsigned)LINKED_COUNT, what, (unsigned long long)file.bytes, (unsigned long long)file.hash);
    return NULL;
}

static TfLiteModel *named_after(const char *path, reporter to)
{
    size_t i;
    for (i = 0; i < LINKED_COUNT; i++) {
        if (!is_named_after(linked[i].name, path)) continue;
        if (is_known(first_of(&linked[i]))) return &linked[i];
        report(to, "the object %s is of another version of cranelite than tflite_shim.c: compile its model again", linked[i].name);
        return NULL;
    }
    report(to, "there is no file %s to read, and none of the %u linked objects has its name", path, (unsigned)LINKED_COUNT);
    return NULL;
}

/* ---- Models. ---- */

const char *TfLiteVersion(void)
{
    return "2.21.0+cranelite";
}

const char *TfLiteExtensionApisVersion(void)
{
    return "2.21.0+cranelite";
}

int TfLiteSchemaVersion(void)
{
    return 3;
}

TfLiteModel *TfLiteModelCreateWithErrorReporter(const void *model_data, size_t model_size,
                                                void (*report_error)(void *user_data, const char *format, va_list args), void *user_data)
{
    reporter to;
    fingerprint file = {0, 0};
    to.report = report_error;
    to.user_data = user_data;
    if (!model_data || !model_size) {
        report(to, "there are no bytes of a model");
        return NULL;
    }
    look_at(&file, (const unsigned char *)model_data, model_size);
    return made_of(file, "", "the bytes that were given", to);
}

TfLiteModel *TfLiteModelCreate(const void *model_data, size_t model_size)
{
    return TfLiteModelCreateWithErrorReporter(model_data, model_size, NULL, NULL);
}

TfLiteModel *TfLiteModelCreateFromFileWithErrorReporter(const char *model_path,
                                                        void (*report_error)(void *user_data, const char *format, va_list args),
                                                        void *user_data)
{
    unsigned char bytes[1 << 12];
    fingerprint content = {0, 0};
    reporter to;
    FILE *file;
    size_t count;
    bool failed;
    to.report = report_error;
    to.user_data = user_data;
    if (!model_path) {
        report(to, "there is no path of a model");
        return NULL;
    }
    file = fopen(model_path, "rb");
    if (!file) return named_after(model_path, to);
    while ((count = fread(bytes, 1, sizeof bytes, file)) == sizeof bytes) look_at(&content, bytes, count);
    look_at(&content, bytes, count);
    failed = ferror(file) != 0;
    fclose(file);
    if (failed) {
        report(to, "%s cannot be read", model_path);
        return NULL;
    }
    return made_of(content, model_path, model_path, to);
}

TfLiteModel *TfLiteModelCreateFromFile(const char *model_path)
{
    return TfLiteModelCreateFromFileWithErrorReporter(model_path, NULL, NULL);
}

void TfLiteModelDelete(TfLiteModel *model)
{
    (void)model;
}

TfLiteStatus cranelite_shim_weights(const char *name, const void *weights, size_t weights_bytes)
{
    size_t i;
    for (i = 0; name && i < LINKED_COUNT; i++) {
        const cranelite_model *model = first_of(&linked[i]);
        if (strcmp(linked[i].name, name)) continue;
        if (!is_known(model) || !model->check_weights) {
            report(standard_error, "the object %s has no weights outside", name);
        } else if (weights_bytes != model->weights_bytes || model->check_weights(weights)) {
            report(standard_error, "these are not the weights that were written with the object %s, or they are not aligned to 64 bytes", name);
        } else {
            linked[i].weights = weights;
            return kTfLiteOk;
        }
        return kTfLiteError;
    }
    report(standard_error, "there is no linked object %s", name ? name : "without a name");
    return kTfLiteError;
}

/* ---- Options. ---- */

struct TfLiteInterpreterOptions {
    int32_t threads;
    reporter to;
    bool has_delegate, has_operator, can_cancel;
};

TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void)
{
    return (TfLiteInterpreterOptions *)calloc(1, sizeof(TfLiteInterpreterOptions));
}

TfLiteInterpreterOptions *TfLiteInterpreterOptionsCopy(const TfLiteInterpreterOptions *from)
{
    TfLiteInterpreterOptions *copy = from ? TfLiteInterpreterOptionsCreate() : NULL;
    if (copy) *copy = *from;
    return copy;
}

void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions *options)
{
    free(options);
}

void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *options, int32_t num_threads)
{
    if (options) options->threads = num_threads;
}

void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions *options, TfLiteOpaqueDelegate *delegate)
{
    if (options && delegate) options->has_delegate = true;
}

void TfLiteInterpreterOptionsSetErrorReporter(TfLiteInterpreterOptions *options,
                                              void (*report_error)(void *user_data, const char *format, va_list args), void *user_data)
{
    if (!options) return;
    options->to.report = report_error;
    options->to.user_data = user_data;
}

void TfLiteInterpreterOptionsAddOperator(TfLiteInterpreterOptions *options, TfLiteOperator *registration)
{
    if (options && registration) options->has_operator = true;
}

TfLiteStatus TfLiteInterpreterOptionsEnableCancellation(TfLiteInterpreterOptions *options, bool enable)
{
    if (!options) return kTfLiteError;
    options->can_cancel = enable;
    return kTfLiteOk;
}

void TfLiteInterpreterOptionsSetUseNNAPI(TfLiteInterpreterOptions *options, bool enable)
{
    (void)options;
    (void)enable;
}

void TfLiteInterpreterOptionsSetEnableDelegateFallback(TfLiteInterpreterOptions *options, bool enable)
{
    (void)options;
    (void)enable;
}

/* ---- Interpreters: a graph for each signature of the object. ---- */

typedef struct {
    TfLiteInterpreter *owner;
    const cranelite_model *model;
    /* The file's inputs, then its outputs; what counts first dimensions is behind these in the object. */
    TfLiteTensor *tensors;
    int *indices;
    uint32_t input_count, output_count;
    /* What a call gets: by position in the object, inputs and then all outputs. Null until tensors are allocated. */
    void **buffers;
    void *arena;
    void *memory;
} graph;

struct TfLiteInterpreter {
    const TfLiteModel *model;
    graph *graphs;
    uint32_t graph_count;
    /* That of the file's first subgraph, or null. */
    graph *main;
    void *state, *state_memory;
    reporter to;
    bool can_cancel;
    unsigned char *is_cancelled;
#ifdef CRANELITE_SHIM_THREADS
    cranelite_threads *threads;
#endif
};

struct TfLiteSignatureRunner {
    graph *graph;
};

#if defined(__GNUC__)
#define SET(byte, value) __atomic_store_n(byte, (unsigned char)(value), __ATOMIC_SEQ_CST)
#define GET(byte) __atomic_load_n(byte, __ATOMIC_SEQ_CST)
#else
#define SET(byte, value) (*(volatile unsigned char *)(byte) = (unsigned char)(value))
#define GET(byte) (*(volatile unsigned char *)(byte))
#endif

static const cranelite_tensor *described(const cranelite_model *model, const cranelite_tensor *first, uint32_t i)
{
    return (const cranelite_tensor *)(const void *)((const char *)first + (size_t)i * model->tensor_size);
}

static const cranelite_tensor *described_input(const cranelite_model *model, uint32_t i)
{
    return described(model, model->inputs, i);
}

static const cranelite_tensor *described_output(const cranelite_model *model, uint32_t i)
{
    return described(model, model->outputs, i);
}

static bool is_counted(const cranelite_tensor *tensor)
{
    return tensor->count != UINT32_MAX;
}

/* How many elements there would be if none were left out: calloc does not like 0. */
static size_t some(uint32_t count)
{
    return count ? count : 1;
}

/* Memory that begins at a multiple of `align`, a power of two; *to_free is what free takes. */
static void *aligned(size_t bytes, size_t align, void **to_free)
{
    char *memory = bytes <= SIZE_MAX - align ? (char *)malloc(bytes + align) : NULL;
    *to_free = memory;
    return memory ? memory + (align - (size_t)((uintptr_t)memory & (align - 1))) % align : NULL;
}

/* False where there is no memory. */
static bool describe(TfLiteTensor *tensor, const cranelite_tensor *from)
{
    uint32_t i;
    tensor->type = (TfLiteType)from->type;
    tensor->name = from->tensor_name;
    tensor->bytes = is_counted(from) ? 0 : (size_t)from->bytes;
    tensor->allocation_type = is_counted(from) ? kTfLiteDynamic : kTfLiteArenaRw;
    tensor->buffer_handle = kTfLiteNullBufferHandle;
    tensor->params.scale = from->scale;
    tensor->params.zero_point = from->zero_point;
    tensor->dims = TfLiteIntArrayCreate((int)from->rank);
    if (!tensor->dims) return false;
    for (i = 0; i < from->rank; i++) tensor->dims->data[i] = is_counted(from) && i == 0 ? 0 : from->dims[i];
    if (from->scale > 0) {
        TfLiteAffineQuantization *affine = (TfLiteAffineQuantization *)calloc(1, sizeof *affine);
        tensor->quantization.params = affine;
        if (!affine) return false;
        affine->scale = TfLiteFloatArrayCreate(1);
        affine->zero_point = TfLiteIntArrayCreate(1);
        if (!affine->scale || !affine->zero_point) return false;
        affine->scale->data[0] = from->scale;
        affine->zero_point->data[0] = from->zero_point;
        tensor->quantization.type = kTfLiteAffineQuantization;
    }
    return true;
}

static bool begin_graph(graph *g, TfLiteInterpreter *owner, const cranelite_model *model)
{
    uint32_t i;
    g->owner = owner;
    g->model = model;
    g->input_count = model->input_count;
    g->output_count = model->output_count;
    for (i = 0; i < model->output_count; i++) g->output_count -= is_counted(described_output(model, i));
    g->tensors = (TfLiteTensor *)calloc(some(g->input_count + g->output_count), sizeof *g->tensors);
    g->indices = (int *)calloc(some(g->input_count + g->output_count), sizeof *g->indices);
    g->buffers = (void **)calloc(some(g->input_count + model->output_count), sizeof *g->buffers);
    if (!g->tensors || !g->indices || !g->buffers) return false;
    for (i = 0; i < g->input_count + g->output_count; i++) {
        const cranelite_tensor *from =
            i < g->input_count ? described_input(model, i) : described_output(model, i - g->input_count);
        if (!describe(&g->tensors[i], from)) return false;
        g->indices[i] = from->tensor_index;
    }
    return true;
}

static void end_graph(graph *g)
{
    uint32_t i;
    for (i = 0; g->tensors && i < g->input_count + g->output_count; i++) {
        TfLiteAffineQuantization *affine = (TfLiteAffineQuantization *)g->tensors[i].quantization.params;
        TfLiteIntArrayFree(g->tensors[i].dims);
        if (!affine) continue;
        TfLiteFloatArrayFree(affine->scale);
        TfLiteIntArrayFree(affine->zero_point);
        free(affine);
    }
    free(g->tensors);
    free(g->indices);
    free(g->buffers);
    free(g->memory);
}

TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *model, const TfLiteInterpreterOptions *optional_options)
{
    static const TfLiteInterpreterOptions no_options = {0, {NULL, NULL}, false, false, false};
    const TfLiteInterpreterOptions *options = optional_options ? optional_options : &no_options;
    TfLiteInterpreter *made;
    uint32_t i;
    if (!model) {
        report(options->to, "there is no model to create an interpreter for");
        return NULL;
    }
    if (options->has_operator) {
        report(options->to, "an object cannot be given operators: compile the model with --custom NAME=function, and link the function");
        return NULL;
    }
    if (first_of(model)->weights_bytes && !model->weights) {
        report(options->to, "the weights of %s are outside of the object: hand them over with cranelite_shim_weights first", model->name);
        return NULL;
    }
    if (options->has_delegate) {
        report(options->to, "a delegate is not used: %s is machine code, and the results are the same", model->name);
    }
    made = (TfLiteInterpreter *)calloc(1, sizeof *made);
    if (!made) return NULL;
    made->model = model;
    made->to = options->to;
    made->can_cancel = options->can_cancel;
    made->is_cancelled = (unsigned char *)calloc(1, 1);
    made->graph_count = 1;
    for (i = 0; model->signatures && model->signatures[i].model; i++) made->graph_count = i + 1;
    made->graphs = (graph *)calloc(made->graph_count, sizeof *made->graphs);
    if (!made->is_cancelled || !made->graphs) goto no_memory;
    for (i = 0; i < made->graph_count; i++) {
        const cranelite_model *of = model->signatures ? model->signatures[i].model : model->model;
        if (!begin_graph(&made->graphs[i], made, of)) goto no_memory;
        if (of->subgraph == 0 && !made->main) made->main = &made->graphs[i];
    }
    if (first_of(model)->reset) {
        const cranelite_model *of = first_of(model);
        made->state = aligned((size_t)of->state_bytes, of->state_align, &made->state_memory);
        if (!made->state) goto no_memory;
        of->reset(made->state);
    }
#ifdef CRANELITE_SHIM_THREADS
    /* Without a pool the results are the same. */
    if (1 < options->threads && (first_of(model)->offers & 1)) made->threads = cranelite_threads_create((uint32_t)options->threads);
#endif
    return made;
no_memory:
    report(options->to, "there is no memory for an interpreter of %s", model->name);
    TfLiteInterpreterDelete(made);
    return NULL;
}

void TfLiteInterpreterDelete(TfLiteInterpreter *interpreter)
{
    uint32_t i;
    if (!interpreter) return;
#ifdef CRANELITE_SHIM_THREADS
    cranelite_threads_destroy(interpreter->threads);
#endif
    for (i = 0; interpreter->graphs && i < interpreter->graph_count; i++) end_graph(&interpreter->graphs[i]);
    free(interpreter->graphs);
    free(interpreter->state_memory);
    free(interpreter->is_cancelled);
    free(interpreter);
}

/* ---- What both interpreters and signature runners do. ---- */

/* Adds room for `bytes` aligned to `align`; false where that is more than memory can be. */
static bool reserve(size_t *total, uint64_t bytes, size_t align, size_t *place)
{
    if (SIZE_MAX / 2 - align < *total) return false;
    *place = (*total + align - 1) & ~(align - 1);
    if (SIZE_MAX / 2 < bytes || SIZE_MAX / 2 - *place < bytes) return false;
    *total = *place + (size_t)bytes;
    return true;
}

static TfLiteStatus allocate(graph *g)
{
    /* As aligned as TensorFlow Lite's tensors. */
    const size_t align = 64, arena_align = g->model->arena_align < align ? align : g->model->arena_align;
    const uint32_t all = g->input_count + g->model->output_count;
    size_t total = 0, place = 0;
    bool fits = reserve(&total, g->model->arena_bytes, arena_align, &place);
    char *memory;
    uint32_t i;
    if (g->memory) return kTfLiteOk;
    for (i = 0; i < all && fits; i++) {
        const cranelite_tensor *t = i < g->input_count ? described_input(g->model, i) : described_output(g->model, i - g->input_count);
        fits = reserve(&total, t->bytes, align, &place);
    }
    memory = fits ? (char *)aligned(total, arena_align, &g->memory) : NULL;
    if (!memory) {
        report(g->owner->to, "there is no memory for the tensors of %s", g->model->name);
        return kTfLiteError;
    }
    memset(memory, 0, total);
    g->arena = memory;
    total = 0;
    reserve(&total, g->model->arena_bytes, arena_align, &place);
    for (i = 0; i < all; i++) {
        const cranelite_tensor *t = i < g->input_count ? described_input(g->model, i) : described_output(g->model, i - g->input_count);
        reserve(&total, t->bytes, align, &place);
        g->buffers[i] = memory + place;
        if (i < g->input_count + g->output_count && !is_counted(t)) g->tensors[i].data.data = g->buffers[i];
    }
    return kTfLiteOk;
}

static TfLiteStatus refused(const graph *g, int32_t status)
{
    static const char *const reasons[] = {
        "",
        "a pointer is null",
        "memory is not aligned",
        "a position that the data give is out of range",
        "the processor lacks a feature that the object was compiled for",
        "the weights are not those of the object",
        "the threads failed",
        "the self-test failed",
        "a function of a custom operator failed",
    };
    const char *reason = 0 < status && (size_t)status < sizeof reasons / sizeof *reasons ? reasons[status] : "an unknown reason";
    report(g->owner->to, "%s was not invoked to its end: %s (status %d)", g->model->name, reason, (int)status);
    return kTfLiteError;
}

static TfLiteStatus invoke(graph *g)
{
    const cranelite_model *model = g->model;
    cranelite_call call;
    int32_t status;
    uint32_t i;
#ifdef CRANELITE_SHIM_THREADS
    cranelite_executor executor;
#endif
    if (!g->memory) {
        report(g->owner->to, "%s cannot be invoked before its tensors are allocated", model->name);
        return kTfLiteError;
    }
    SET(g->owner->is_cancelled, 0);
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.inputs = g->buffers;
    call.outputs = g->buffers + g->input_count;
    call.arena = g->arena;
    call.state = g->owner->state;
    call.weights = g->owner->model->weights;
#ifdef CRANELITE_SHIM_THREADS
    if (g->owner->threads) {
        executor = cranelite_threads_executor(g->owner->threads);
        call.executor = &executor;
    }
#endif
    /* With --io arena an invocation overwrites its inputs, which callers of this interface do not expect. */
    for (i = 0; i < g->input_count; i++) {
        const cranelite_tensor *t = described_input(model, i);
        if (t->arena_offset != UINT64_MAX) memcpy((char *)g->arena + t->arena_offset, g->buffers[i], (size_t)t->bytes);
    }
    status = model->call(&call);
    if (status) return refused(g, status);
    for (i = 0; i < model->output_count; i++) {
        const cranelite_tensor *t = described_output(model, i);
        if (t->arena_offset != UINT64_MAX) memcpy(g->buffers[g->input_count + i], (char *)g->arena + t->arena_offset, (size_t)t->bytes);
    }
    for (i = 0; i < g->output_count; i++) {
        const cranelite_tensor *t = described_output(model, i);
        TfLiteTensor *tensor = &g->tensors[g->input_count + i];
        int32_t rows = 0;
        if (!is_counted(t) || t->rank == 0) continue;
        memcpy(&rows, g->buffers[g->input_count + t->count], sizeof rows);
        if (rows < 0 || t->dims[0] < rows) rows = 0;
        tensor->data.data = g->buffers[g->input_count + i];
        tensor->dims->data[0] = rows;
        tensor->bytes = t->dims[0] ? (size_t)(t->bytes / (uint64_t)t->dims[0]) * (size_t)rows : 0;
    }
    if (GET(g->owner->is_cancelled)) return kTfLiteCancelled;
    return kTfLiteOk;
}

/* `1,49,10,1`, cut off where it is too long. */
static void list_dims(char *text, size_t room, const int *dims, int32_t count)
{
    size_t at = 0;
    int32_t i;
    text[0] = 0;
    for (i = 0; i < count && at < room; i++) {
        int n = snprintf(text + at, room - at, i ? ",%d" : "%d", dims[i]);
        at += n < 0 ? room : (size_t)n;
    }
}

static TfLiteStatus resize(graph *g, uint32_t input, const int *dims, int32_t count)
{
    const TfLiteTensor *tensor = &g->tensors[input];
    char has[128], wanted[128];
    if (count < 0 || (count && !dims)) {
        report(g->owner->to, "a shape has no dimensions");
        return kTfLiteError;
    }
    if (TfLiteIntArrayEqualsArray(tensor->dims, count, dims)) return kTfLiteOk;
    list_dims(has, sizeof has, tensor->dims->data, tensor->dims->size);
    list_dims(wanted, sizeof wanted, dims, count);
    report(g->owner->to, "input %s of %s has the shape %s, which an object cannot change: compile the model with --input-shape %s=%s",
           tensor->name, g->model->name, has, described_input(g->model, input)->name, wanted);
    return kTfLiteError;
}

static TfLiteStatus cancel(const TfLiteInterpreter *interpreter)
{
    if (!interpreter->can_cancel) {
        report(interpreter->to, "cancellation is not enabled: TfLiteInterpreterOptionsEnableCancellation");
        return kTfLiteError;
    }
    SET(interpreter->is_cancelled, 1);
    return kTfLiteOk;
}

/* ---- Interpreters. ---- */

/* The file's first subgraph, or null with a word about it. */
static graph *main_of(const TfLiteInterpreter *interpreter)
{
    if (!interpreter) return NULL;
    if (!interpreter->main) {
        report(interpreter->to, "%s was compiled without the file's first subgraph, which an interpreter is: use a signature runner, or compile that, too",
               interpreter->model->name);
    }
    return interpreter->main;
}

static TfLiteTensor *at(graph *g, uint32_t first, uint32_t count, int32_t index)
{
    return g && 0 <= index && (uint32_t)index < count ? &g->tensors[first + (uint32_t)index] : NULL;
}

int32_t TfLiteInterpreterGetInputTensorCount(const TfLiteInterpreter *interpreter)
{
    graph *g = main_of(interpreter);
    return g ? (int32_t)g->input_count : 0;
}

const int *TfLiteInterpreterInputTensorIndices(const TfLiteInterpreter *interpreter)
{
    graph *g = main_of(interpreter);
    return g ? g->indices : NULL;
}

TfLiteTensor *TfLiteInterpreterGetInputTensor(const TfLiteInterpreter *interpreter, int32_t input_index)
{
    graph *g = main_of(interpreter);
    return g ? at(g, 0, g->input_count, input_index) : NULL;
}

TfLiteStatus TfLiteInterpreterResizeInputTensor(TfLiteInterpreter *interpreter, int32_t input_index, const int *input_dims, int32_t input_dims_size)
{
    graph *g = main_of(interpreter);
    if (!g) return kTfLiteError;
    if (!at(g, 0, g->input_count, input_index)) {
        report(g->owner->to, "%s has no input %d", g->model->name, (int)input_index);
        return kTfLiteError;
    }
    return resize(g, (uint32_t)input_index, input_dims, input_dims_size);
}

TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter *interpreter)
{
    graph *g = main_of(interpreter);
    return g ? allocate(g) : kTfLiteError;
}

TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter *interpreter)
{
    graph *g = main_of(interpreter);
    return g ? invoke(g) : kTfLiteError;
}

int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter *interpreter)
{
    graph *g = main_of(interpreter);
    return g ? (int32_t)g->output_count : 0;
}

const int *TfLiteInterpreterOutputTensorIndices(const TfLiteInterpreter *interpreter)
{
    graph *g = main_of(interpreter);
    return g ? g->indices + g->input_count : NULL;
}

const TfLiteTensor *TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter *interpreter, int32_t output_index)
{
    graph *g = main_of(interpreter);
    return g ? at(g, g->input_count, g->output_count, output_index) : NULL;
}

TfLiteTensor *TfLiteInterpreterGetTensor(const TfLiteInterpreter *interpreter, int index)
{
    graph *g = main_of(interpreter);
    uint32_t i;
    for (i = 0; g && 0 <= index && i < g->input_count + g->output_count; i++) {
        if (g->indices[i] == index) return &g->tensors[i];
    }
    return NULL;
}

TfLiteStatus TfLiteInterpreterCancel(const TfLiteInterpreter *interpreter)
{
    return interpreter ? cancel(interpreter) : kTfLiteError;
}

int32_t TfLiteInterpreterGetInputTensorIndex(const TfLiteInterpreter *interpreter, int32_t input_index)
{
    graph *g = main_of(interpreter);
    return g && at(g, 0, g->input_count, input_index) ? g->indices[input_index] : -1;
}

int32_t TfLiteInterpreterGetOutputTensorIndex(const TfLiteInterpreter *interpreter, int32_t output_index)
{
    graph *g = main_of(interpreter);
    return g && at(g, g->input_count, g->output_count, output_index) ? g->indices[g->input_count + (uint32_t)output_index] : -1;
}

TfLiteStatus TfLiteInterpreterEnsureTensorDataIsReadable(TfLiteInterpreter *interpreter, int tensor_index)
{
    return TfLiteInterpreterGetTensor(interpreter, tensor_index) ? kTfLiteOk : kTfLiteError;
}

TfLiteStatus TfLiteInterpreterResetVariableTensors(TfLiteInterpreter *interpreter)
{
    const cranelite_model *model;
    if (!interpreter) return kTfLiteError;
    model = first_of(interpreter->model);
    if (model->reset && model->keeps == 1) {
        model->reset(interpreter->state);
    } else if (model->reset && model->keeps != 2) {
        report(interpreter->to, "%s keeps variable tensors and other variables, which an object can only reset together: create another interpreter",
               interpreter->model->name);
        return kTfLiteError;
    }
    return kTfLiteOk;
}

/* ---- Signatures. ---- */

static const char *key_of(const graph *g)
{
    return g->model->signature;
}

int32_t TfLiteInterpreterGetSignatureCount(const TfLiteInterpreter *interpreter)
{
    int32_t count = 0;
    uint32_t i;
    for (i = 0; interpreter && i < interpreter->graph_count; i++) count += key_of(&interpreter->graphs[i]) != NULL;
    return count;
}

const char *TfLiteInterpreterGetSignatureKey(const TfLiteInterpreter *interpreter, int32_t signature_index)
{
    uint32_t i;
    for (i = 0; interpreter && i < interpreter->graph_count; i++) {
        const char *key = key_of(&interpreter->graphs[i]);
        if (key && signature_index-- == 0) return key;
    }
    return NULL;
}

TfLiteSignatureRunner *TfLiteInterpreterGetSignatureRunner(const TfLiteInterpreter *interpreter, const char *signature_key)
{
    uint32_t i;
    if (!interpreter || !signature_key) return NULL;
    for (i = 0; i < interpreter->graph_count; i++) {
        graph *g = &interpreter->graphs[i];
        TfLiteSignatureRunner *made;
        if (!key_of(g) || strcmp(key_of(g), signature_key)) continue;
        made = (TfLiteSignatureRunner *)malloc(sizeof *made);
        if (made) made->graph = g;
        return made;
    }
    report(interpreter->to, "%s was not compiled with a signature %s: compile the model with --signature, or with --all-signatures",
           interpreter->model->name, signature_key);
    return NULL;
}

void TfLiteSignatureRunnerDelete(TfLiteSignatureRunner *runner)
{
    free(runner);
}

size_t TfLiteSignatureRunnerGetInputCount(const TfLiteSignatureRunner *runner)
{
    return runner ? runner->graph->input_count : 0;
}

size_t TfLiteSignatureRunnerGetOutputCount(const TfLiteSignatureRunner *runner)
{
    return runner ? runner->graph->output_count : 0;
}

const char *TfLiteSignatureRunnerGetInputName(const TfLiteSignatureRunner *runner, int32_t input_index)
{
    if (!runner || !at(runner->graph, 0, runner->graph->input_count, input_index)) return NULL;
    return described_input(runner->graph->model, (uint32_t)input_index)->name;
}

const char *TfLiteSignatureRunnerGetOutputName(const TfLiteSignatureRunner *runner, int32_t output_index)
{
    if (!runner || !at(runner->graph, runner->graph->input_count, runner->graph->output_count, output_index)) return NULL;
    return described_output(runner->graph->model, (uint32_t)output_index)->name;
}

/* The position of what the signature calls `name`; without one -1, and a word about it. */
static int32_t find(const graph *g, const cranelite_tensor *first, uint32_t count, const char *name)
{
    uint32_t i;
    for (i = 0; name && i < count; i++) {
        if (!strcmp(described(g->model, first, i)->name, name)) return (int32_t)i;
    }
    report(g->owner->to, "signature %s has nothing called %s", key_of(g), name ? name : "null");
    return -1;
}

TfLiteTensor *TfLiteSignatureRunnerGetInputTensor(TfLiteSignatureRunner *runner, const char *input_name)
{
    if (!runner) return NULL;
    return at(runner->graph, 0, runner->graph->input_count,
              find(runner->graph, runner->graph->model->inputs, runner->graph->input_count, input_name));
}

const TfLiteTensor *TfLiteSignatureRunnerGetOutputTensor(const TfLiteSignatureRunner *runner, const char *output_name)
{
    if (!runner) return NULL;
    return at(runner->graph, runner->graph->input_count, runner->graph->output_count,
              find(runner->graph, runner->graph->model->outputs, runner->graph->output_count, output_name));
}

TfLiteStatus TfLiteSignatureRunnerResizeInputTensor(TfLiteSignatureRunner *runner, const char *input_name, const int *input_dims,
                                                    int32_t input_dims_size)
{
    int32_t input = runner ? find(runner->graph, runner->graph->model->inputs, runner->graph->input_count, input_name) : -1;
    return input < 0 ? kTfLiteError : resize(runner->graph, (uint32_t)input, input_dims, input_dims_size);
}

TfLiteStatus TfLiteSignatureRunnerAllocateTensors(TfLiteSignatureRunner *runner)
{
    return runner ? allocate(runner->graph) : kTfLiteError;
}

TfLiteStatus TfLiteSignatureRunnerInvoke(TfLiteSignatureRunner *runner)
{
    return runner ? invoke(runner->graph) : kTfLiteError;
}

TfLiteStatus TfLiteSignatureRunnerCancel(TfLiteSignatureRunner *runner)
{
    return runner ? cancel(runner->graph->owner) : kTfLiteError;
}

/* ---- Tensors. ---- */

TfLiteType TfLiteTensorType(const TfLiteTensor *tensor)
{
    return tensor ? tensor->type : kTfLiteNoType;
}

int32_t TfLiteTensorNumDims(const TfLiteTensor *tensor)
{
    return tensor && tensor->dims ? tensor->dims->size : -1;
}

int32_t TfLiteTensorDim(const TfLiteTensor *tensor, int32_t dim_index)
{
    return 0 <= dim_index && dim_index < TfLiteTensorNumDims(tensor) ? tensor->dims->data[dim_index] : -1;
}

size_t TfLiteTensorByteSize(const TfLiteTensor *tensor)
{
    return tensor ? tensor->bytes : 0;
}

void *TfLiteTensorData(const TfLiteTensor *tensor)
{
    return tensor ? tensor->data.data : NULL;
}

const char *TfLiteTensorName(const TfLiteTensor *tensor)
{
    return tensor ? tensor->name : NULL;
}

TfLiteQuantizationParams TfLiteTensorQuantizationParams(const TfLiteTensor *tensor)
{
    TfLiteQuantizationParams none;
    none.scale = 0;
    none.zero_point = 0;
    return tensor ? tensor->params : none;
}

const TfLiteIntArray *TfLiteTensorGetDimsSignature(const TfLiteTensor *tensor)
{
    return tensor ? tensor->dims : NULL;
}

TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor *tensor, const void *input_data, size_t input_data_size)
{
    if (!tensor || !tensor->data.data || tensor->bytes != input_data_size) return kTfLiteError;
    if (!input_data_size) return kTfLiteOk;
    if (!input_data) return kTfLiteError;
    memcpy(tensor->data.data, input_data, input_data_size);
    return kTfLiteOk;
}

TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor *output_tensor, void *output_data, size_t output_data_size)
{
    if (!output_tensor || !output_tensor->data.data || output_tensor->bytes != output_data_size) return kTfLiteError;
    if (!output_data_size) return kTfLiteOk;
    if (!output_data) return kTfLiteError;
    memcpy(output_data, output_tensor->data.data, output_data_size);
    return kTfLiteOk;
}

/* ---- Lists of numbers, and names of types. ---- */

/* A list of `size` numbers of four bytes; 0 where it would be too long. */
static size_t list_bytes(size_t header, int size)
{
    return 0 <= size && (size_t)size <= ((size_t)INT_MAX - header) / 4 ? header + 4 * (size_t)size : 0;
}

size_t TfLiteIntArrayGetSizeInBytes(int size)
{
    return list_bytes(offsetof(TfLiteIntArray, data), size);
}

TfLiteIntArray *TfLiteIntArrayCreate(int size)
{
    size_t bytes = TfLiteIntArrayGetSizeInBytes(size);
    TfLiteIntArray *list = bytes ? (TfLiteIntArray *)malloc(bytes) : NULL;
    if (list) list->size = size;
    return list;
}

TfLiteIntArray *TfLiteIntArrayCopy(const TfLiteIntArray *from)
{
    TfLiteIntArray *list = from ? TfLiteIntArrayCreate(from->size) : NULL;
    if (list) memcpy(list->data, from->data, 4 * (size_t)from->size);
    return list;
}

void TfLiteIntArrayFree(TfLiteIntArray *list)
{
    free(list);
}

int TfLiteIntArrayEqualsArray(const TfLiteIntArray *a, int b_size, const int b_data[])
{
    int i;
    if (!a || a->size != b_size) return 0;
    for (i = 0; i < b_size; i++) {
        if (a->data[i] != b_data[i]) return 0;
    }
    return 1;
}

int TfLiteIntArrayEqual(const TfLiteIntArray *a, const TfLiteIntArray *b)
{
    return a == b || (a && b && TfLiteIntArrayEqualsArray(a, b->size, b->data));
}

int TfLiteFloatArrayGetSizeInBytes(int size)
{
    return (int)list_bytes(offsetof(TfLiteFloatArray, data), size);
}

TfLiteFloatArray *TfLiteFloatArrayCreate(int size)
{
    size_t bytes = list_bytes(offsetof(TfLiteFloatArray, data), size);
    TfLiteFloatArray *list = bytes ? (TfLiteFloatArray *)malloc(bytes) : NULL;
    if (list) list->size = size;
    return list;
}

TfLiteFloatArray *TfLiteFloatArrayCopy(const TfLiteFloatArray *from)
{
    TfLiteFloatArray *list = from ? TfLiteFloatArrayCreate(from->size) : NULL;
    if (list) memcpy(list->data, from->data, 4 * (size_t)from->size);
    return list;
}

void TfLiteFloatArrayFree(TfLiteFloatArray *list)
{
    free(list);
}

const char *TfLiteTypeGetName(TfLiteType type)
{
    static const char *const names[] = {"NOTYPE",  "FLOAT32", "INT32",   "UINT8",      "INT64",  "STRING",   "BOOL",    "INT16",  "COMPLEX64", "INT8",    "FLOAT16",
                                        "FLOAT64", "COMPLEX128", "UINT64", "RESOURCE", "VARIANT", "UINT32", "UINT16",    "INT4", "BFLOAT16", "INT2", "UINT4"};
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "Unknown type";
}
