#include "cli/app.h"

int main(int argc, char** argv) { return steerlm::run_program(argc, argv); }
