/* LiteRT with XNNPACK on one thread, by the C interface of the library in the wheel ai-edge-litert:

       litert LIBRARY MODEL CALLS INPUT OUTPUT

   calls a model of one input and one or more outputs so many times and writes the first output. The few types of that interface that
   are needed are declared here. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *handle;
typedef struct { uint32_t bits; int32_t dimensions[8]; uint32_t strides[8]; } layout;
typedef struct { int32_t element; layout layout; } tensor_type;

static void *library;
#define CALL(name, types, ...)                                                     \
    do {                                                                           \
        int (*f) types = (int (*) types)dlsym(library, #name);                     \
        int status = f ? f(__VA_ARGS__) : -1;                                      \
        if (status != 0) return fprintf(stderr, "%s: %d\n", #name, status), 4;     \
    } while (0)
#define CPU 1
#define READ 0
#define WRITE 1
#define MOST 64

int main(int count, char **words)
{
    handle environment = 0, model = 0, options = 0, more = 0, compiled = 0, signature = 0, input = 0, outputs[MOST] = {0}, tensor, wanted;
    size_t output_count = 0, bytes = 0, k;
    layout layouts[MOST];
    tensor_type type;
    void *memory;
    FILE *file;
    if (count != 6) return 2;
    if (!(library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL))) return fprintf(stderr, "%s\n", dlerror()), 3;
    CALL(LiteRtCreateEnvironment, (int, const void *, handle *), 0, NULL, &environment);
    CALL(LiteRtCreateModelFromFile, (handle, const char *, handle *), environment, words[2], &model);
    CALL(LiteRtCreateOptions, (handle *), &options);
    CALL(LiteRtSetOptionsHardwareAccelerators, (handle, int), options, CPU);
    CALL(LiteRtCreateOpaqueOptions, (const char *, void *, void (*)(void *), handle *), "xnnpack",
         strdup("kernel_mode = \"delegate\"\nnum_threads = 1\n"), free, &more);
    CALL(LiteRtAddOpaqueOptions, (handle, handle), options, more);
    CALL(LiteRtCreateCompiledModel, (handle, handle, handle, handle *), environment, model, options, &compiled);
    CALL(LiteRtGetModelSignature, (handle, size_t, handle *), model, 0, &signature);
    CALL(LiteRtGetNumSignatureOutputs, (handle, size_t *), signature, &output_count);
    if (MOST < output_count) return 2;

    CALL(LiteRtGetSignatureInputTensorByIndex, (handle, size_t, handle *), signature, 0, &tensor);
    CALL(LiteRtGetRankedTensorType, (handle, tensor_type *), tensor, &type);
    CALL(LiteRtGetCompiledModelInputBufferRequirements, (handle, size_t, size_t, handle *), compiled, 0, 0, &wanted);
    CALL(LiteRtCreateManagedTensorBufferFromRequirements, (handle, const tensor_type *, handle, handle *), environment, &type, wanted,
         &input);
    CALL(LiteRtGetTensorBufferPackedSize, (handle, size_t *), input, &bytes);
    CALL(LiteRtLockTensorBuffer, (handle, void **, int), input, &memory, WRITE);
    file = fopen(words[4], "rb");
    if (!file || fread(memory, 1, bytes, file) != bytes) return 5;
    fclose(file);
    CALL(LiteRtUnlockTensorBuffer, (handle), input);

    CALL(LiteRtGetCompiledModelOutputTensorLayouts, (handle, size_t, size_t, layout *, bool), compiled, 0, output_count, layouts, true);
    for (k = 0; k < output_count; k++) {
        CALL(LiteRtGetSignatureOutputTensorByIndex, (handle, size_t, handle *), signature, k, &tensor);
        CALL(LiteRtGetRankedTensorType, (handle, tensor_type *), tensor, &type);
        type.layout = layouts[k];
        CALL(LiteRtGetCompiledModelOutputBufferRequirements, (handle, size_t, size_t, handle *), compiled, 0, k, &wanted);
        CALL(LiteRtCreateManagedTensorBufferFromRequirements, (handle, const tensor_type *, handle, handle *), environment, &type, wanted,
             &outputs[k]);
    }
    for (k = (size_t)atoi(words[3]); k; k--)
        CALL(LiteRtRunCompiledModel, (handle, size_t, size_t, handle *, size_t, handle *), compiled, 0, 1, &input, output_count, outputs);
    CALL(LiteRtGetTensorBufferPackedSize, (handle, size_t *), outputs[0], &bytes);
    CALL(LiteRtLockTensorBuffer, (handle, void **, int), outputs[0], &memory, READ);
    file = fopen(words[5], "wb");
    if (!file || fwrite(memory, 1, bytes, file) != bytes) return 5;
    fclose(file);
    return 0;
}
