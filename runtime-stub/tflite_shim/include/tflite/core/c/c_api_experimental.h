/* Another path of the same header. */
#include "tensorflow/lite/c/c_api_experimental.h"
