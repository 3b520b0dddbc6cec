/* TARGET_BEGIN("avx2") ... TARGET_END: functions between them may use instructions that the rest of the library may not. */
#ifndef EDGELLM_TARGET_H
#define EDGELLM_TARGET_H

#define EDGELLM_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_BEGIN(set) EDGELLM_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define TARGET_END _Pragma("clang attribute pop")
#else
#define TARGET_BEGIN(set) _Pragma("GCC push_options") EDGELLM_PRAGMA(GCC target(set))
#define TARGET_END _Pragma("GCC pop_options")
#endif

#endif
