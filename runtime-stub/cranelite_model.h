/* What an object says of itself, and how it is called, for programs that serve any model: the header of each model has the same. Made by a test of
   cranelite: do not edit. */
#ifndef CRANELITE_ANY_MODEL_H
#define CRANELITE_ANY_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef CRANELITE_ABI_1
#define CRANELITE_ABI_1

typedef int32_t cranelite_status;
enum {
    CRANELITE_OK = 0,
    CRANELITE_NULL_POINTER = 1,
    CRANELITE_MISALIGNED_ARENA = 2, /* or state, or weights, or the buffer of the self-test */
    CRANELITE_INDEX_OUT_OF_RANGE = 3, /* the outputs are unspecified */
    CRANELITE_CPU_LACKS_FEATURE = 4,
    CRANELITE_WRONG_WEIGHTS = 5,
    CRANELITE_EXECUTOR_FAILED = 6,
    CRANELITE_SELFTEST_FAILED = 7
};

typedef struct {
    const char *name;     /* UTF-8 */
    const int32_t *dims;
    uint32_t rank;
    uint32_t type;        /* 1 f32, 2 i32, 3 u8, 4 i64, 6 bool, 7 i16, 9 i8, 10 f16, 11 f64, 13 u64, 16 u32, 17 u16, 18 i4 */
    uint64_t bytes;
    float scale;          /* real = scale * (q - zero_point); 0 if not quantised */
    int32_t zero_point;
    uint64_t arena_offset; /* UINT64_MAX: the caller's own memory */
    const char *tensor_name; /* the tensor's in the file, where `name` is the signature's */
    int32_t tensor_index; /* in its subgraph; -1: no tensor of the file */
    uint32_t count;       /* the output, one i32, that says how long the first dimension is; UINT32_MAX: as long as dims says */
} cranelite_tensor;

/* Threads of the caller's. run calls task(context, i) once for every i below count, on any threads and in any order, and returns when
   all have returned: 0, or anything else to end the invocation with CRANELITE_EXECUTOR_FAILED. */
typedef struct {
    int32_t (*run)(void *user, void (*task)(void *context, uint32_t index), void *context, uint32_t count);
    void *user;
} cranelite_executor;

/* Everything that a call may have, for callers without the model's header. Fields that are of no use to a model are not looked at. */
typedef struct {
    uint32_t struct_size;  /* sizeof(cranelite_call); fewer bytes are refused as a null pointer is */
    uint32_t level;        /* 0: the best level that the CPU has; else 1 + the number of the level */
    const void *inputs;    /* arrays of pointers, in the order of the model's; not looked at with --io arena */
    const void *outputs;
    void *arena;
    void *state;           /* where the model keeps any */
    const void *weights;   /* with --weights or --compress constants=fastest */
    const cranelite_executor *executor; /* null: one thread */
    void (*hook)(void *user, uint32_t op, uint32_t call); /* null, or to be called before every call of a kernel and once at the end */
    void *user;
} cranelite_call;

typedef struct {
    uint32_t abi_version;
    uint32_t struct_size; /* of this structure in the object; fields beyond it do not exist there */
    uint32_t tensor_size; /* distance between the elements of inputs and of outputs */
    uint32_t arena_align;
    uint64_t arena_bytes;
    uint64_t const_bytes;
    uint64_t state_bytes;
    uint64_t stack_bytes;
    const char *name;
    const cranelite_tensor *inputs;
    const cranelite_tensor *outputs;
    uint32_t input_count;
    uint32_t output_count;
    cranelite_status (*call)(const cranelite_call *call);
    /* null unless the model keeps a state, which it aligns so and fills with what is in it at first */
    cranelite_status (*reset)(void *state);
    uint32_t state_align;
    uint32_t offers;      /* 1: an executor is of use (--threads), 2: the hook is called (--profile) */
    /* feature levels in the object, and their names by number */
    uint32_t level_count;
    uint32_t keeps;       /* what of the file the state is: 1: variable tensors, 2: other variables */
    const char *const *levels;
    /* null unless compiled with --self-test, or where it has more parameters; and the bytes of its buffer */
    cranelite_status (*selftest)(void *arena, void *buffer, uint32_t *wrong_output);
    uint64_t selftest_bytes;
    /* null and 0 unless compiled with --weights or --compress constants=fastest */
    cranelite_status (*check_weights)(const void *weights);
    uint64_t weights_bytes;
    /* The .tflite file: its size; and a hash, from 0 for each of its 64-bit words, little-endian, the last filled up with zeros:
       h = (h ^ word) * 0x9e3779b97f4a7c15; h ^= h >> 32 */
    uint64_t file_bytes;
    uint64_t file_hash;
    const char *signature; /* its name in the file, UTF-8; null where it has none */
    uint32_t subgraph;    /* of the file */
    uint32_t reserved;
    /* null unless compiled with --compress constants=fastest: writes the weights, once, before the first call */
    cranelite_status (*prepare)(void *weights);
} cranelite_model;

#endif /* CRANELITE_ABI_1 */

#ifndef CRANELITE_SIGNATURES_1
#define CRANELITE_SIGNATURES_1

/* A signature of a model that has several. */
typedef struct {
    const char *name;             /* UTF-8, as in the model; null behind the last */
    const cranelite_model *model; /* what a call of it wants; the state is that of all signatures */
} cranelite_signature;

#endif /* CRANELITE_SIGNATURES_1 */

#ifdef __cplusplus
}
#endif

#endif
