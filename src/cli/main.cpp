#include <malloc.h>

#include "cli/app.h"

int main(int argc, char** argv) {
  // Every step allocates and frees the same large buffers. Kept in the heap, their pages need not be mapped and zeroed
  // anew each time.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 64 << 20);
  return steerlm::run_program(argc, argv);
}
