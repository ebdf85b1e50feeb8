/* A program for TensorFlow Lite's C interface, as its documentation shows it: it runs a model on inputs from a file, step by step, and writes type, shape,
   size and bytes of each output to another file. Nothing in it knows objects. */
#include "tensorflow/lite/c/c_api.h"
#include <stdio.h>

static void fail(const char *what)
{
    fprintf(stderr, "shim: %s\n", what);
    exit(1);
}

static void put(FILE *file, int32_t number)
{
    if (fwrite(&number, sizeof number, 1, file) != 1) fail("cannot write");
}

int main(int argc, char **argv)
{
    FILE *in = argc < 6 ? NULL : fopen(argv[2], "rb"), *out = argc < 6 ? NULL : fopen(argv[3], "wb");
    int step, steps = argc < 6 ? 0 : atoi(argv[4]);
    TfLiteModel *model;
    TfLiteInterpreterOptions *options;
    TfLiteInterpreter *interpreter;
    if (!in || !out) fail("usage: shim MODEL IN OUT STEPS THREADS");

    model = TfLiteModelCreateFromFile(argv[1]);
    if (!model) fail("no model");
    options = TfLiteInterpreterOptionsCreate();
    TfLiteInterpreterOptionsSetNumThreads(options, atoi(argv[5]));
    interpreter = TfLiteInterpreterCreate(model, options);
    if (!interpreter) fail("no interpreter");
    TfLiteInterpreterOptionsDelete(options);
    TfLiteModelDelete(model);
    if (TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) fail("no tensors");

    for (step = 0; step < steps; step++) {
        int32_t i, d;
        for (i = 0; i < TfLiteInterpreterGetInputTensorCount(interpreter); i++) {
            TfLiteTensor *input = TfLiteInterpreterGetInputTensor(interpreter, i);
            size_t bytes = TfLiteTensorByteSize(input);
            void *buffer = malloc(bytes + 1);
            if (!buffer || fread(buffer, 1, bytes, in) != bytes) fail("inputs end early");
            if (TfLiteTensorCopyFromBuffer(input, buffer, bytes) != kTfLiteOk) fail("an input cannot be set");
            free(buffer);
        }
        if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) fail("cannot be invoked");
        for (i = 0; i < TfLiteInterpreterGetOutputTensorCount(interpreter); i++) {
            const TfLiteTensor *output = TfLiteInterpreterGetOutputTensor(interpreter, i);
            size_t bytes = TfLiteTensorByteSize(output);
            void *buffer = malloc(bytes + 1);
            put(out, (int32_t)TfLiteTensorType(output));
            put(out, TfLiteTensorNumDims(output));
            for (d = 0; d < TfLiteTensorNumDims(output); d++) put(out, TfLiteTensorDim(output, d));
            put(out, (int32_t)bytes);
            if (!buffer || TfLiteTensorCopyToBuffer(output, buffer, bytes) != kTfLiteOk) fail("an output cannot be read");
            if (fwrite(buffer, 1, bytes, out) != bytes) fail("cannot write");
            free(buffer);
        }
    }
    if (fgetc(in) != EOF) fail("inputs are left over");
    TfLiteInterpreterDelete(interpreter);
    fclose(in);
    return fclose(out) != 0;
}
