/* The tensor of TensorFlow Lite, whose members programs may read, and lists of numbers. Members have TensorFlow Lite's order, so that programs that
   were compiled with its own header find them. What operators and delegates want (TfLiteContext, TfLiteNode, TfLiteRegistration) is not here. */
#ifndef CRANELITE_TFLITE_COMMON_H
#define CRANELITE_TFLITE_COMMON_H

#include "tensorflow/lite/c/c_api_types.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define kTfLiteOptionalTensor (-1)

#if defined(_MSC_VER)
#define CRANELITE_TFLITE_LIST(type) type data[1]
#elif defined(__cplusplus)
/* C++ has no such members, but compilers do. */
#define CRANELITE_TFLITE_LIST(type) __extension__ type data[]
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc99-extensions"
#endif
#else
#define CRANELITE_TFLITE_LIST(type) type data[]
#endif

typedef struct TfLiteIntArray {
    int size;
    CRANELITE_TFLITE_LIST(int);
} TfLiteIntArray;

typedef struct TfLiteFloatArray {
    int size;
    CRANELITE_TFLITE_LIST(float);
} TfLiteFloatArray;

#if defined(__clang__) && defined(__cplusplus) && !defined(_MSC_VER)
#pragma clang diagnostic pop
#endif

/* Null where there is no memory, or for a negative size. Elements have no values yet. */
TFL_CAPI_EXPORT TfLiteIntArray *TfLiteIntArrayCreate(int size);
TFL_CAPI_EXPORT TfLiteIntArray *TfLiteIntArrayCopy(const TfLiteIntArray *from);
TFL_CAPI_EXPORT void TfLiteIntArrayFree(TfLiteIntArray *list);
TFL_CAPI_EXPORT size_t TfLiteIntArrayGetSizeInBytes(int size);
/* 1 or 0. */
TFL_CAPI_EXPORT int TfLiteIntArrayEqual(const TfLiteIntArray *a, const TfLiteIntArray *b);
TFL_CAPI_EXPORT int TfLiteIntArrayEqualsArray(const TfLiteIntArray *a, int b_size, const int b_data[]);

TFL_CAPI_EXPORT TfLiteFloatArray *TfLiteFloatArrayCreate(int size);
TFL_CAPI_EXPORT TfLiteFloatArray *TfLiteFloatArrayCopy(const TfLiteFloatArray *from);
TFL_CAPI_EXPORT void TfLiteFloatArrayFree(TfLiteFloatArray *list);
TFL_CAPI_EXPORT int TfLiteFloatArrayGetSizeInBytes(int size);

typedef struct TfLiteComplex64 {
    float re, im;
} TfLiteComplex64;

typedef struct TfLiteComplex128 {
    double re, im;
} TfLiteComplex128;

typedef struct TfLiteFloat16 {
    uint16_t data;
} TfLiteFloat16;

typedef struct TfLiteBFloat16 {
    uint16_t data;
} TfLiteBFloat16;

/* FLOAT32, INT8 and so on. */
TFL_CAPI_EXPORT const char *TfLiteTypeGetName(TfLiteType type);

typedef enum TfLiteQuantizationType {
    kTfLiteNoQuantization = 0,
    kTfLiteAffineQuantization = 1,
    kTfLiteBlockwiseQuantization = 2
} TfLiteQuantizationType;

typedef struct TfLiteQuantization {
    TfLiteQuantizationType type;
    void *params; /* a TfLiteAffineQuantization, or null */
} TfLiteQuantization;

typedef struct TfLiteAffineQuantization {
    TfLiteFloatArray *scale;
    TfLiteIntArray *zero_point;
    int32_t quantized_dimension;
} TfLiteAffineQuantization;

typedef union TfLitePtrUnion {
    int32_t *i32;
    uint32_t *u32;
    int64_t *i64;
    uint64_t *u64;
    float *f;
    TfLiteFloat16 *f16;
    TfLiteBFloat16 *bf16;
    double *f64;
    char *raw;
    const char *raw_const;
    uint8_t *uint8;
    bool *b;
    int16_t *i16;
    uint16_t *ui16;
    TfLiteComplex64 *c64;
    TfLiteComplex128 *c128;
    int8_t *int8;
    void *data;
} TfLitePtrUnion;

typedef enum TfLiteAllocationType {
    kTfLiteMemNone = 0,
    kTfLiteMmapRo,
    kTfLiteArenaRw,
    kTfLiteArenaRwPersistent,
    kTfLiteDynamic,
    kTfLitePersistentRo,
    kTfLiteCustom,
    kTfLiteVariantObject,
    kTfLiteNonCpu
} TfLiteAllocationType;

typedef int TfLiteBufferHandle;
enum { kTfLiteNullBufferHandle = -1 };

struct TfLiteSparsity;

typedef struct TfLiteTensor {
    TfLiteType type;
    TfLitePtrUnion data; /* null until tensors are allocated, and of an output whose length is counted until there is one */
    TfLiteIntArray *dims;
    TfLiteQuantizationParams params;
    TfLiteAllocationType allocation_type; /* kTfLiteDynamic: the first dimension is counted by each invocation */
    size_t bytes;
    const void *allocation;
    const char *name;
    struct TfLiteDelegate *delegate;
    TfLiteBufferHandle buffer_handle;
    bool data_is_stale;
    bool is_variable;
    TfLiteQuantization quantization;
    struct TfLiteSparsity *sparsity;
    const TfLiteIntArray *dims_signature;
} TfLiteTensor;

/* Its dims: those of an object's tensors are known. */
TFL_CAPI_EXPORT const TfLiteIntArray *TfLiteTensorGetDimsSignature(const TfLiteTensor *tensor);

#ifdef __cplusplus
}
#endif

#endif
