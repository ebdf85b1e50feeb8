/* What TensorFlow Lite's C interface does at its edges, over objects that the test has compiled: perceptron (floats), tiny_i8 (with its inputs in the arena),
   picked (positions from data), rows (a counted output), kept (a state; its "file" is the word recurrent), outside (tiny_i8's weights in a file),
   learner (three signatures over two variables; tests/src/models.rs has their numbers) and lonely (its signature infer alone).
   The model's files lie beside the program. Memory can be made to run out. */
#include "tflite_shim.h"
#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/c/c_api_experimental.h"
#include <stdio.h>
#include <string.h>

static char said[1024];
static int reports;

static void note(void *user, const char *format, va_list args)
{
    vsnprintf(said, sizeof said, format, args);
    reports++;
    ++*(int *)user;
}

/* So many allocations succeed; negative: all. tflite_shim.c is compiled with these names. */
static long allocations = -1;
void *failing_malloc(size_t bytes);
void *failing_calloc(size_t count, size_t bytes);

void *failing_malloc(size_t bytes)
{
    return allocations == 0 ? NULL : (allocations -= 0 < allocations, malloc(bytes));
}

void *failing_calloc(size_t count, size_t bytes)
{
    return allocations == 0 ? NULL : (allocations -= 0 < allocations, calloc(count, bytes));
}

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s; last said: %s\n", __LINE__, #condition, said); \
            exit(1); \
        } \
    } while (0)
/* It says something with that word in it. */
#define SAYS(word, condition) \
    do { \
        said[0] = 0; \
        CHECK(condition); \
        CHECK(strstr(said, word)); \
    } while (0)

static int user;

static unsigned char *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    unsigned char *data = (unsigned char *)malloc(1 << 20);
    CHECK(file && data);
    *bytes = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

static TfLiteModel *load(const char *path)
{
    TfLiteModel *model = TfLiteModelCreateFromFileWithErrorReporter(path, note, &user);
    CHECK(model);
    return model;
}

static TfLiteInterpreterOptions *reporting(void)
{
    TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
    CHECK(options);
    TfLiteInterpreterOptionsSetErrorReporter(options, note, &user);
    return options;
}

static TfLiteInterpreter *open(const char *path)
{
    TfLiteInterpreterOptions *options = reporting();
    TfLiteModel *model = load(path);
    TfLiteInterpreter *interpreter = TfLiteInterpreterCreate(model, options);
    CHECK(interpreter);
    TfLiteModelDelete(model);
    TfLiteInterpreterOptionsDelete(options);
    return interpreter;
}

static void models(void)
{
    size_t bytes;
    unsigned char *data = read_file("tiny_i8.tflite", &bytes);
    TfLiteModel *model = TfLiteModelCreate(data, bytes);
    CHECK(model && model == load("tiny_i8.tflite") && model != load("perceptron.tflite"));
    /* Only bytes that are somewhere else in memory, or have another name. */
    CHECK(model == load("renamed.tflite") && model == load("./tiny_i8.tflite"));
    TfLiteModelDelete(model);
    TfLiteModelDelete(model);
    TfLiteModelDelete(NULL);
    /* Without a file its name is what counts, as `cranelite compile` makes it. */
    CHECK(model == load("nowhere/tiny_i8.tflite") && model == load("no\\where\\Tiny--I8.tflite") && model == load("tiny_i8"));
    /* Of two objects of one file, that of its name. */
    CHECK(load("nowhere/learner.tflite") == load("learner.tflite") && load("lonely.tflite") == load("nowhere/lonely.tflite"));
    CHECK(load("lonely.tflite") != load("learner.tflite"));
    SAYS("no file nowhere/tiny.tflite", !TfLiteModelCreateFromFileWithErrorReporter("nowhere/tiny.tflite", note, &user));
    SAYS("no file", !TfLiteModelCreateFromFileWithErrorReporter("nowhere/tiny_i8_2.tflite", note, &user));
    SAYS("no file", !TfLiteModelCreateFromFileWithErrorReporter("", note, &user));
    SAYS("no path", !TfLiteModelCreateFromFileWithErrorReporter(NULL, note, &user));
    /* Another file is another model, also under a name that is known, and where one byte or the last one is different. */
    SAYS("was compiled from other/tiny_i8.tflite", !TfLiteModelCreateFromFileWithErrorReporter("other/tiny_i8.tflite", note, &user));
    SAYS("was compiled from empty.tflite (0 bytes", !TfLiteModelCreateFromFileWithErrorReporter("empty.tflite", note, &user));
    SAYS("cannot be read", !TfLiteModelCreateFromFileWithErrorReporter("other", note, &user));
    data[bytes / 2] ^= 1;
    SAYS("was compiled from", !TfLiteModelCreateWithErrorReporter(data, bytes, note, &user));
    data[bytes / 2] ^= 1;
    SAYS("was compiled from", !TfLiteModelCreateWithErrorReporter(data, bytes - 1, note, &user));
    CHECK(TfLiteModelCreateWithErrorReporter(data, bytes, note, &user) == model);
    SAYS("no bytes", !TfLiteModelCreateWithErrorReporter(NULL, 5, note, &user));
    SAYS("no bytes", !TfLiteModelCreateWithErrorReporter(data, 0, note, &user));
    CHECK(!TfLiteModelCreate(NULL, 0) && !TfLiteModelCreateFromFile(NULL));
    free(data);
    CHECK(!strncmp(TfLiteVersion(), "2.", 2) && !strncmp(TfLiteExtensionApisVersion(), "2.", 2) && TfLiteSchemaVersion() == 3);
}

static void all_options(void)
{
    TfLiteModel *model = load("perceptron.tflite");
    TfLiteInterpreterOptions *options = reporting(), *copy = TfLiteInterpreterOptionsCopy(options);
    TfLiteInterpreter *interpreter;
    int something = 0;
    CHECK(copy && !TfLiteInterpreterOptionsCopy(NULL));
    TfLiteInterpreterOptionsDelete(options);
    TfLiteInterpreterOptionsDelete(NULL);
    TfLiteInterpreterOptionsSetNumThreads(NULL, 2);
    TfLiteInterpreterOptionsSetNumThreads(copy, -1);
    TfLiteInterpreterOptionsSetErrorReporter(NULL, note, NULL);
    TfLiteInterpreterOptionsAddDelegate(NULL, NULL);
    TfLiteInterpreterOptionsAddDelegate(copy, NULL);
    TfLiteInterpreterOptionsAddOperator(NULL, NULL);
    TfLiteInterpreterOptionsSetUseNNAPI(copy, true);
    TfLiteInterpreterOptionsSetEnableDelegateFallback(copy, true);
    CHECK(TfLiteInterpreterOptionsEnableCancellation(NULL, true) == kTfLiteError);
    reports = 0;
    interpreter = TfLiteInterpreterCreate(model, copy);
    CHECK(interpreter && reports == 0);
    SAYS("not enabled", TfLiteInterpreterCancel(interpreter) == kTfLiteError);
    TfLiteInterpreterDelete(interpreter);
    TfLiteInterpreterDelete(NULL);
    CHECK(TfLiteInterpreterOptionsEnableCancellation(copy, true) == kTfLiteOk);
    TfLiteInterpreterOptionsAddDelegate(copy, (TfLiteOpaqueDelegate *)(void *)&something);
    SAYS("a delegate is not used", (interpreter = TfLiteInterpreterCreate(model, copy)) != NULL);
    CHECK(TfLiteInterpreterCancel(interpreter) == kTfLiteOk && TfLiteInterpreterCancel(NULL) == kTfLiteError);
    /* What was cancelled before is not what is invoked now. */
    CHECK(TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    TfLiteInterpreterDelete(interpreter);
    TfLiteInterpreterOptionsAddOperator(copy, (TfLiteOperator *)(void *)&something);
    SAYS("--custom", !TfLiteInterpreterCreate(model, copy));
    SAYS("no model", !TfLiteInterpreterCreate(NULL, copy));
    TfLiteInterpreterOptionsDelete(copy);
    interpreter = TfLiteInterpreterCreate(model, NULL);
    CHECK(interpreter);
    TfLiteInterpreterDelete(interpreter);
}

static void tensors(void)
{
    TfLiteInterpreter *interpreter = open("tiny_i8.tflite");
    TfLiteTensor *input = TfLiteInterpreterGetInputTensor(interpreter, 0);
    const TfLiteTensor *output = TfLiteInterpreterGetOutputTensor(interpreter, 0);
    static const int same[] = {1, 8, 8, 2}, other[] = {2, 8, 8, 2};
    signed char x[128], y[3], again[3];
    int i;
    CHECK(TfLiteInterpreterGetInputTensorCount(interpreter) == 1 && TfLiteInterpreterGetOutputTensorCount(interpreter) == 1);
    CHECK(!TfLiteInterpreterGetInputTensor(interpreter, 1) && !TfLiteInterpreterGetInputTensor(interpreter, -1));
    CHECK(!TfLiteInterpreterGetOutputTensor(interpreter, 1) && !TfLiteInterpreterGetOutputTensor(interpreter, -1));
    CHECK(TfLiteTensorType(input) == kTfLiteInt8 && TfLiteTensorNumDims(input) == 4 && TfLiteTensorDim(input, 1) == 8);
    CHECK(TfLiteTensorDim(input, 4) == -1 && TfLiteTensorDim(input, -1) == -1 && TfLiteTensorByteSize(input) == 128);
    CHECK(input->dims->data[3] == 2 && TfLiteTensorGetDimsSignature(input) == input->dims && !strcmp(TfLiteTensorName(input), "image"));
    CHECK(TfLiteTensorQuantizationParams(output).scale > 0 && output->quantization.type == kTfLiteAffineQuantization);
    {
        const TfLiteAffineQuantization *affine = (const TfLiteAffineQuantization *)output->quantization.params;
        CHECK(affine->scale->size == 1 && affine->scale->data[0] >= output->params.scale && affine->scale->data[0] <= output->params.scale);
        CHECK(affine->zero_point->data[0] == TfLiteTensorQuantizationParams(output).zero_point);
    }
    /* Numbers of tensors are the file's. */
    CHECK(TfLiteInterpreterInputTensorIndices(interpreter)[0] == 0 && TfLiteInterpreterGetTensor(interpreter, 0) == input);
    i = TfLiteInterpreterOutputTensorIndices(interpreter)[0];
    CHECK(i > 1 && TfLiteInterpreterGetTensor(interpreter, i) == output && TfLiteInterpreterGetOutputTensorIndex(interpreter, 0) == i);
    CHECK(!TfLiteInterpreterGetTensor(interpreter, 1) && !TfLiteInterpreterGetTensor(interpreter, -1) && !TfLiteInterpreterGetTensor(interpreter, 999));
    CHECK(TfLiteInterpreterGetInputTensorIndex(interpreter, 0) == 0 && TfLiteInterpreterGetInputTensorIndex(interpreter, 1) == -1);
    CHECK(TfLiteInterpreterGetOutputTensorIndex(interpreter, -1) == -1);
    CHECK(TfLiteInterpreterEnsureTensorDataIsReadable(interpreter, i) == kTfLiteOk);
    CHECK(TfLiteInterpreterEnsureTensorDataIsReadable(interpreter, 1) == kTfLiteError);
    /* Before there is memory. */
    CHECK(!TfLiteTensorData(input) && !TfLiteTensorData(output) && TfLiteTensorCopyFromBuffer(input, x, sizeof x) == kTfLiteError);
    CHECK(TfLiteTensorCopyToBuffer(output, y, sizeof y) == kTfLiteError);
    SAYS("before its tensors are allocated", TfLiteInterpreterInvoke(interpreter) == kTfLiteError);
    CHECK(TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk && TfLiteTensorData(input) && (size_t)TfLiteTensorData(output) % 64 == 0);
    CHECK(TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk && input == TfLiteInterpreterGetInputTensor(interpreter, 0));
    /* Sizes. */
    CHECK(TfLiteTensorCopyFromBuffer(input, x, 127) == kTfLiteError && TfLiteTensorCopyFromBuffer(input, NULL, 128) == kTfLiteError);
    CHECK(TfLiteTensorCopyToBuffer(output, y, 4) == kTfLiteError && TfLiteTensorCopyToBuffer(output, NULL, 3) == kTfLiteError);
    /* An input stays as it was. */
    for (i = 0; i < 128; i++) x[i] = (signed char)(i * 7 - 100);
    CHECK(TfLiteTensorCopyFromBuffer(input, x, sizeof x) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    CHECK(TfLiteTensorCopyToBuffer(output, y, sizeof y) == kTfLiteOk && !memcmp(input->data.int8, x, sizeof x));
    CHECK(TfLiteInterpreterInvoke(interpreter) == kTfLiteOk && TfLiteTensorCopyToBuffer(output, again, sizeof again) == kTfLiteOk);
    CHECK(!memcmp(y, again, sizeof y));
    /* Shapes. */
    CHECK(TfLiteInterpreterResizeInputTensor(interpreter, 0, same, 4) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    SAYS("--input-shape image=2,8,8,2", TfLiteInterpreterResizeInputTensor(interpreter, 0, other, 4) == kTfLiteError);
    SAYS("--input-shape", TfLiteInterpreterResizeInputTensor(interpreter, 0, same, 3) == kTfLiteError);
    SAYS("no input 1", TfLiteInterpreterResizeInputTensor(interpreter, 1, same, 4) == kTfLiteError);
    SAYS("no dimensions", TfLiteInterpreterResizeInputTensor(interpreter, 0, NULL, 4) == kTfLiteError);
    SAYS("no dimensions", TfLiteInterpreterResizeInputTensor(interpreter, 0, same, -1) == kTfLiteError);
    CHECK(TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    /* Without a state there is nothing to reset, and without signatures none. */
    CHECK(TfLiteInterpreterResetVariableTensors(interpreter) == kTfLiteOk && TfLiteInterpreterGetSignatureCount(interpreter) == 0);
    CHECK(!TfLiteInterpreterGetSignatureKey(interpreter, 0));
    SAYS("--signature", !TfLiteInterpreterGetSignatureRunner(interpreter, "serving_default"));
    TfLiteInterpreterDelete(interpreter);
}

static void nothing(void)
{
    char y[1];
    CHECK(TfLiteInterpreterGetInputTensorCount(NULL) == 0 && TfLiteInterpreterGetOutputTensorCount(NULL) == 0);
    CHECK(!TfLiteInterpreterInputTensorIndices(NULL) && !TfLiteInterpreterOutputTensorIndices(NULL));
    CHECK(!TfLiteInterpreterGetInputTensor(NULL, 0) && !TfLiteInterpreterGetOutputTensor(NULL, 0) && !TfLiteInterpreterGetTensor(NULL, 0));
    CHECK(TfLiteInterpreterResizeInputTensor(NULL, 0, NULL, 0) == kTfLiteError && TfLiteInterpreterAllocateTensors(NULL) == kTfLiteError);
    CHECK(TfLiteInterpreterInvoke(NULL) == kTfLiteError && TfLiteInterpreterResetVariableTensors(NULL) == kTfLiteError);
    CHECK(TfLiteInterpreterGetInputTensorIndex(NULL, 0) == -1 && TfLiteInterpreterGetOutputTensorIndex(NULL, 0) == -1);
    CHECK(TfLiteInterpreterGetSignatureCount(NULL) == 0 && !TfLiteInterpreterGetSignatureKey(NULL, 0));
    CHECK(!TfLiteInterpreterGetSignatureRunner(NULL, "x") && TfLiteSignatureRunnerGetInputCount(NULL) == 0);
    CHECK(TfLiteSignatureRunnerGetOutputCount(NULL) == 0 && !TfLiteSignatureRunnerGetInputName(NULL, 0));
    CHECK(!TfLiteSignatureRunnerGetOutputName(NULL, 0) && !TfLiteSignatureRunnerGetInputTensor(NULL, "x"));
    CHECK(!TfLiteSignatureRunnerGetOutputTensor(NULL, "y") && TfLiteSignatureRunnerInvoke(NULL) == kTfLiteError);
    CHECK(TfLiteSignatureRunnerAllocateTensors(NULL) == kTfLiteError && TfLiteSignatureRunnerCancel(NULL) == kTfLiteError);
    CHECK(TfLiteSignatureRunnerResizeInputTensor(NULL, "x", NULL, 0) == kTfLiteError);
    TfLiteSignatureRunnerDelete(NULL);
    CHECK(TfLiteTensorType(NULL) == kTfLiteNoType && TfLiteTensorNumDims(NULL) == -1 && TfLiteTensorDim(NULL, 0) == -1);
    CHECK(TfLiteTensorByteSize(NULL) == 0 && !TfLiteTensorData(NULL) && !TfLiteTensorName(NULL) && !TfLiteTensorGetDimsSignature(NULL));
    CHECK(TfLiteTensorQuantizationParams(NULL).zero_point == 0);
    CHECK(TfLiteTensorCopyFromBuffer(NULL, y, 1) == kTfLiteError && TfLiteTensorCopyToBuffer(NULL, y, 1) == kTfLiteError);
}

static void lists(void)
{
    TfLiteIntArray *a = TfLiteIntArrayCreate(3), *b, *none = TfLiteIntArrayCreate(0);
    TfLiteFloatArray *f = TfLiteFloatArrayCreate(2), *g;
    static const int numbers[] = {1, 2, 3};
    CHECK(a && f && none && none->size == 0 && TfLiteIntArrayGetSizeInBytes(3) == 16 && TfLiteFloatArrayGetSizeInBytes(2) == 12);
    memcpy(a->data, numbers, sizeof numbers);
    f->data[0] = 1, f->data[1] = 2;
    b = TfLiteIntArrayCopy(a);
    g = TfLiteFloatArrayCopy(f);
    CHECK(b && g && g->size == 2 && g->data[1] > 1.5f && TfLiteIntArrayEqual(a, b) && TfLiteIntArrayEqual(NULL, NULL));
    b->data[2]++;
    CHECK(!TfLiteIntArrayEqual(a, b) && !TfLiteIntArrayEqual(a, none) && !TfLiteIntArrayEqual(a, NULL) && !TfLiteIntArrayEqual(NULL, a));
    CHECK(TfLiteIntArrayEqualsArray(a, 3, numbers) && !TfLiteIntArrayEqualsArray(a, 2, numbers) && !TfLiteIntArrayEqualsArray(NULL, 3, numbers));
    CHECK(!TfLiteIntArrayCreate(-1) && !TfLiteIntArrayCreate(0x7fffffff) && !TfLiteFloatArrayCreate(-1) && !TfLiteIntArrayCopy(NULL) && !TfLiteFloatArrayCopy(NULL));
    TfLiteIntArrayFree(a);
    TfLiteIntArrayFree(b);
    TfLiteIntArrayFree(none);
    TfLiteIntArrayFree(NULL);
    TfLiteFloatArrayFree(f);
    TfLiteFloatArrayFree(g);
    TfLiteFloatArrayFree(NULL);
    CHECK(!strcmp(TfLiteTypeGetName(kTfLiteFloat32), "FLOAT32") && !strcmp(TfLiteTypeGetName(kTfLiteInt8), "INT8"));
    CHECK(!strcmp(TfLiteTypeGetName(kTfLiteBool), "BOOL") && !strcmp(TfLiteTypeGetName(kTfLiteInt4), "INT4"));
    CHECK(!strcmp(TfLiteTypeGetName(kTfLiteComplex64), "COMPLEX64") && !strcmp(TfLiteTypeGetName(kTfLiteUInt4), "UINT4"));
    CHECK(!strcmp(TfLiteTypeGetName((TfLiteType)99), "Unknown type"));
}

/* Positions that are out of range end an invocation, and the next one is none the worse. */
static void positions(void)
{
    TfLiteInterpreter *interpreter = open("picked.tflite");
    static const int32_t right[] = {6, 0, 3, 1}, wrong[] = {0, 1, 7, 2};
    TfLiteTensor *picks;
    CHECK(TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk);
    picks = TfLiteInterpreterGetInputTensor(interpreter, 0);
    CHECK(TfLiteTensorCopyFromBuffer(picks, wrong, sizeof wrong) == kTfLiteOk);
    SAYS("out of range", TfLiteInterpreterInvoke(interpreter) == kTfLiteError);
    CHECK(TfLiteTensorCopyFromBuffer(picks, right, sizeof right) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    CHECK((int)TfLiteInterpreterGetOutputTensor(interpreter, 0)->data.f[0] == 60);
    TfLiteInterpreterDelete(interpreter);
}

/* Rows are as many as an invocation counts. */
static void rows(void)
{
    TfLiteInterpreter *interpreter = open("rows.tflite");
    static const float some[] = {0, 1, 0, 0, 0, 2}, none[6], all[] = {1, 1, 1, 1, 1, 1};
    const TfLiteTensor *output = TfLiteInterpreterGetOutputTensor(interpreter, 0);
    TfLiteTensor *input = TfLiteInterpreterGetInputTensor(interpreter, 0);
    int64_t found[12];
    CHECK(TfLiteInterpreterGetOutputTensorCount(interpreter) == 1 && output->allocation_type == kTfLiteDynamic);
    CHECK(TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk && !TfLiteTensorData(output) && TfLiteTensorByteSize(output) == 0);
    CHECK(TfLiteTensorCopyFromBuffer(input, some, sizeof some) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    CHECK(TfLiteTensorNumDims(output) == 2 && TfLiteTensorDim(output, 0) == 2 && TfLiteTensorDim(output, 1) == 2);
    CHECK(TfLiteTensorCopyToBuffer(output, found, 32) == kTfLiteOk && found[0] == 0 && found[1] == 1 && found[2] == 1 && found[3] == 2);
    CHECK(TfLiteTensorCopyToBuffer(output, found, 96) == kTfLiteError);
    CHECK(TfLiteTensorCopyFromBuffer(input, none, sizeof none) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    CHECK(TfLiteTensorDim(output, 0) == 0 && TfLiteTensorByteSize(output) == 0 && TfLiteTensorCopyToBuffer(output, NULL, 0) == kTfLiteOk);
    CHECK(TfLiteTensorCopyFromBuffer(input, all, sizeof all) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    CHECK(TfLiteTensorDim(output, 0) == 6 && TfLiteTensorCopyToBuffer(output, found, 96) == kTfLiteOk && found[10] == 1 && found[11] == 2);
    TfLiteInterpreterDelete(interpreter);
}

/* Each interpreter has a state of its own, which begins anew when variable tensors are reset. */
static void states(void)
{
    TfLiteInterpreterOptions *options = reporting();
    TfLiteModel *model = TfLiteModelCreate("recurrent", 9);
    TfLiteInterpreter *a = TfLiteInterpreterCreate(model, options), *b = TfLiteInterpreterCreate(model, options);
    int32_t x[40], first[40], second[40], y[40];
    int i;
    for (i = 0; i < 40; i++) x[i] = i * 1001 - 3000;
    CHECK(a && b && TfLiteInterpreterAllocateTensors(a) == kTfLiteOk && TfLiteInterpreterAllocateTensors(b) == kTfLiteOk);
#define STEP(interpreter, y) \
    do { \
        CHECK(TfLiteTensorCopyFromBuffer(TfLiteInterpreterGetInputTensor(interpreter, 0), x, sizeof x) == kTfLiteOk); \
        CHECK(TfLiteInterpreterInvoke(interpreter) == kTfLiteOk); \
        CHECK(TfLiteTensorCopyToBuffer(TfLiteInterpreterGetOutputTensor(interpreter, 0), y, sizeof y) == kTfLiteOk); \
    } while (0)
    STEP(a, first);
    STEP(a, second);
    CHECK(memcmp(first, second, sizeof first));
    STEP(b, y);
    CHECK(!memcmp(first, y, sizeof first));
    CHECK(TfLiteInterpreterAllocateTensors(a) == kTfLiteOk && TfLiteInterpreterResetVariableTensors(a) == kTfLiteOk);
    STEP(a, y);
    CHECK(!memcmp(first, y, sizeof first));
    STEP(b, y);
    CHECK(!memcmp(second, y, sizeof second));
    TfLiteInterpreterDelete(a);
    TfLiteInterpreterDelete(b);
    TfLiteInterpreterOptionsDelete(options);
}

static void weights(void)
{
    TfLiteInterpreterOptions *options = reporting();
    size_t bytes;
    unsigned char *data = read_file("outside.bin", &bytes), *memory = (unsigned char *)malloc(bytes + 128), *file = memory + (64 - (size_t)memory % 64);
    TfLiteModel *model = load("nowhere/outside.tflite");
    TfLiteInterpreter *interpreter;
    memcpy(file, data, bytes);
    SAYS("cranelite_shim_weights", !TfLiteInterpreterCreate(model, options));
    CHECK(cranelite_shim_weights("tiny_i8", file, bytes) == kTfLiteError && cranelite_shim_weights("unknown", file, bytes) == kTfLiteError);
    CHECK(cranelite_shim_weights(NULL, file, bytes) == kTfLiteError && cranelite_shim_weights("outside", NULL, bytes) == kTfLiteError);
    CHECK(cranelite_shim_weights("outside", file, bytes - 64) == kTfLiteError && cranelite_shim_weights("outside", file + 8, bytes) == kTfLiteError);
    file[bytes / 2] ^= 1;
    CHECK(cranelite_shim_weights("outside", file, bytes) == kTfLiteError && !TfLiteInterpreterCreate(model, options));
    file[bytes / 2] ^= 1;
    CHECK(cranelite_shim_weights("outside", file, bytes) == kTfLiteOk);
    interpreter = TfLiteInterpreterCreate(model, options);
    CHECK(interpreter && TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk && TfLiteInterpreterInvoke(interpreter) == kTfLiteOk);
    TfLiteInterpreterDelete(interpreter);
    TfLiteInterpreterOptionsDelete(options);
    free(data);
    free(memory);
}

static void run(TfLiteSignatureRunner *runner, const char *in, float value, size_t count, const char *out, float *y, size_t outputs)
{
    float x[12];
    size_t i;
    for (i = 0; i < count; i++) x[i] = value;
    CHECK(TfLiteTensorCopyFromBuffer(TfLiteSignatureRunnerGetInputTensor(runner, in), x, count * sizeof *x) == kTfLiteOk);
    CHECK(TfLiteSignatureRunnerInvoke(runner) == kTfLiteOk);
    CHECK(TfLiteTensorCopyToBuffer(TfLiteSignatureRunnerGetOutputTensor(runner, out), y, outputs * sizeof *y) == kTfLiteOk);
}

/* Element 0 of what `update` and `infer` give when what is in `v` has grown by so much. */
static int infers(int added)
{
    int i, sum = -2;
    for (i = 0; i < 12; i++) sum += (i * 3 % 7 - 3) * (i % 3 + added);
    return sum;
}

static void signatures(void)
{
    TfLiteInterpreter *interpreter = open("learner.tflite"), *lonely;
    TfLiteSignatureRunner *update = TfLiteInterpreterGetSignatureRunner(interpreter, "update");
    TfLiteSignatureRunner *infer = TfLiteInterpreterGetSignatureRunner(interpreter, "infer");
    TfLiteSignatureRunner *tick = TfLiteInterpreterGetSignatureRunner(interpreter, "tick");
    static const int same[] = {1, 12}, other[] = {2, 12};
    float y[8], *x;
    CHECK(update && infer && tick && TfLiteInterpreterGetSignatureCount(interpreter) == 3);
    CHECK(TfLiteInterpreterGetSignatureKey(interpreter, 0) && !TfLiteInterpreterGetSignatureKey(interpreter, 3) && !TfLiteInterpreterGetSignatureKey(interpreter, -1));
    SAYS("--all-signatures", !TfLiteInterpreterGetSignatureRunner(interpreter, "train"));
    CHECK(!TfLiteInterpreterGetSignatureRunner(interpreter, NULL));
    CHECK(TfLiteSignatureRunnerGetInputCount(tick) == 1 && TfLiteSignatureRunnerGetOutputCount(tick) == 1);
    CHECK(!strcmp(TfLiteSignatureRunnerGetInputName(tick, 0), "x") && !strcmp(TfLiteSignatureRunnerGetOutputName(tick, 0), "sum"));
    CHECK(!TfLiteSignatureRunnerGetInputName(tick, 1) && !TfLiteSignatureRunnerGetInputName(tick, -1) && !TfLiteSignatureRunnerGetOutputName(tick, 1));
    SAYS("nothing called z", !TfLiteSignatureRunnerGetInputTensor(tick, "z"));
    SAYS("nothing called y", !TfLiteSignatureRunnerGetOutputTensor(tick, "y"));
    SAYS("nothing called null", !TfLiteSignatureRunnerGetOutputTensor(tick, NULL));
    SAYS("before its tensors", TfLiteSignatureRunnerInvoke(tick) == kTfLiteError);
    CHECK(TfLiteSignatureRunnerResizeInputTensor(update, "x", same, 2) == kTfLiteOk);
    SAYS("--input-shape x=2,12", TfLiteSignatureRunnerResizeInputTensor(update, "x", other, 2) == kTfLiteError);
    SAYS("nothing called w", TfLiteSignatureRunnerResizeInputTensor(update, "w", same, 2) == kTfLiteError);
    SAYS("not enabled", TfLiteSignatureRunnerCancel(update) == kTfLiteError);
    CHECK(TfLiteSignatureRunnerAllocateTensors(update) == kTfLiteOk && TfLiteSignatureRunnerAllocateTensors(infer) == kTfLiteOk);
    CHECK(TfLiteSignatureRunnerAllocateTensors(tick) == kTfLiteOk);
    run(infer, "x", 0, 12, "y", y, 8);
    CHECK((int)y[0] == infers(0));
    run(update, "x", 5, 12, "y", y, 8);
    CHECK((int)y[0] == infers(5));
    run(infer, "x", 1, 12, "y", y, 8);
    CHECK((int)y[0] == infers(6));
    run(tick, "x", 7, 1, "sum", y, 1);
    CHECK((int)y[0] == 108);
    /* These are variables of their own, and no variable tensors. */
    CHECK(TfLiteInterpreterResetVariableTensors(interpreter) == kTfLiteOk);
    run(tick, "x", 7, 1, "sum", y, 1);
    CHECK((int)y[0] == 109);
    /* The interpreter is the file's first subgraph, which is that of `update`. */
    CHECK(TfLiteInterpreterGetInputTensorCount(interpreter) == 1 && TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk);
    CHECK(TfLiteInterpreterGetInputTensor(interpreter, 0) == TfLiteSignatureRunnerGetInputTensor(update, "x"));
    x = TfLiteInterpreterGetInputTensor(interpreter, 0)->data.f;
    memset(x, 0, 12 * sizeof *x);
    CHECK(TfLiteInterpreterInvoke(interpreter) == kTfLiteOk && (int)TfLiteInterpreterGetOutputTensor(interpreter, 0)->data.f[0] == infers(5));
    TfLiteSignatureRunnerDelete(update);
    TfLiteSignatureRunnerDelete(infer);
    TfLiteSignatureRunnerDelete(tick);
    TfLiteInterpreterDelete(interpreter);

    lonely = open("nowhere/lonely.tflite");
    CHECK(TfLiteInterpreterGetSignatureCount(lonely) == 1 && !strcmp(TfLiteInterpreterGetSignatureKey(lonely, 0), "infer"));
    SAYS("first subgraph", TfLiteInterpreterAllocateTensors(lonely) == kTfLiteError);
    CHECK(TfLiteInterpreterGetInputTensorCount(lonely) == 0 && !TfLiteInterpreterGetInputTensor(lonely, 0));
    infer = TfLiteInterpreterGetSignatureRunner(lonely, "infer");
    CHECK(infer && TfLiteSignatureRunnerAllocateTensors(infer) == kTfLiteOk);
    run(infer, "x", 3, 12, "y", y, 8);
    CHECK((int)y[0] == infers(3));
    TfLiteSignatureRunnerDelete(infer);
    TfLiteInterpreterDelete(lonely);
}

/* Whatever allocation fails, the answer is null or an error, and nothing is lost. */
static void no_memory(void)
{
    TfLiteModel *model = load("learner.tflite");
    TfLiteInterpreterOptions *options = reporting();
    long n;
    bool done = false;
    for (n = 0; !done; n++) {
        TfLiteInterpreter *interpreter;
        TfLiteSignatureRunner *runner = NULL;
        CHECK(n < 1000);
        allocations = n;
        interpreter = TfLiteInterpreterCreate(model, options);
        if (interpreter) runner = TfLiteInterpreterGetSignatureRunner(interpreter, "tick");
        done = TfLiteSignatureRunnerAllocateTensors(runner) == kTfLiteOk;
        allocations = -1;
        if (interpreter && !done) CHECK(!runner || (TfLiteSignatureRunnerInvoke(runner) == kTfLiteError && TfLiteSignatureRunnerAllocateTensors(runner) == kTfLiteOk));
        TfLiteSignatureRunnerDelete(runner);
        TfLiteInterpreterDelete(interpreter);
    }
    CHECK(n > 10);
    TfLiteInterpreterOptionsDelete(options);
    allocations = 0;
    CHECK(!TfLiteInterpreterOptionsCreate() && !TfLiteIntArrayCreate(1) && !TfLiteFloatArrayCreate(1));
    allocations = -1;
}

int main(void)
{
    models();
    all_options();
    tensors();
    nothing();
    lists();
    positions();
    rows();
    states();
    weights();
    signatures();
    no_memory();
    CHECK(user > 0);
    return 0;
}
