// What the harness needs to know of a Verilator model; the build writes one adapter for each design (adapter.py).
#pragma once

#include "verilated.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace edgellm {

struct Wires {  // of one AXI4-Stream
    const char* name;
    bool input;
    unsigned bits;  // of TDATA
    void* data;
    uint8_t* valid;
    uint8_t* ready;
};

class Model {
  public:
    virtual ~Model() = default;
    virtual void eval() = 0;

    unsigned threads = 1;  // that evaluate the model
    uint8_t* clock = nullptr;
    uint8_t* reset_n = nullptr;
    std::vector<Wires> streams;
};

std::unique_ptr<Model> make_model(VerilatedContext* context);

}  // namespace edgellm
