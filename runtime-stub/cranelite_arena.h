/* Static memory for the arena of a model, and for the state of one that keeps any, aligned as the model wants it: for C99 with GCC, Clang or MSVC, C11 and C++11.

       #include "kws.h"
       #include "cranelite_arena.h"
       CRANELITE_STATIC_ARENA(arena, KWS);
       ... kws_invoke(&in, &out, arena) ...

       CRANELITE_STATIC_STATE(state, WAKE);
       ... wake_reset(state), then wake_invoke(&in, &out, arena, state) again and again ...

   One arena serves one call at a time; several models may share the largest of theirs. A state is one instance's. */
#ifndef CRANELITE_ARENA_H
#define CRANELITE_ARENA_H

#if defined(__cplusplus) && 201103L <= __cplusplus
#define CRANELITE_ALIGNED(n) alignas(n)
#elif defined(__STDC_VERSION__) && 201112L <= __STDC_VERSION__
#define CRANELITE_ALIGNED(n) _Alignas(n)
#elif defined(__GNUC__)
#define CRANELITE_ALIGNED(n) __attribute__((aligned(n)))
#elif defined(_MSC_VER)
#define CRANELITE_ALIGNED(n) __declspec(align(n))
#else
#error "this compiler has no way to align memory that is known here"
#endif

/* PREFIX is the model's prefix in capitals. A model without intermediate tensors gets one byte, as no array can be empty. */
#define CRANELITE_STATIC_ARENA(name, PREFIX) \
    CRANELITE_ALIGNED(PREFIX##_ARENA_ALIGN) static unsigned char name[PREFIX##_ARENA_BYTES ? PREFIX##_ARENA_BYTES : 1]

#define CRANELITE_STATIC_STATE(name, PREFIX) CRANELITE_ALIGNED(PREFIX##_STATE_ALIGN) static unsigned char name[PREFIX##_STATE_BYTES]

#endif
