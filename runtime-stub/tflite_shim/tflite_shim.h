/* What tflite_shim.c has beside TensorFlow Lite's C interface. */
#ifndef CRANELITE_TFLITE_SHIM_H
#define CRANELITE_TFLITE_SHIM_H

#include "tensorflow/lite/c/c_api_types.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The file that was written beside the object called `name` (compile --weights), in memory aligned to 64 bytes, where it stays. Once, before the first
   interpreter is created; all of it is compared with what the object expects. kTfLiteError, with a line on standard error, if it is another file, or
   the object another one. */
TFL_CAPI_EXPORT TfLiteStatus cranelite_shim_weights(const char *name, const void *weights, size_t weights_bytes);

#ifdef __cplusplus
}
#endif

#endif
