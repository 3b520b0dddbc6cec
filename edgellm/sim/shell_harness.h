// Pins of the accelerator in its AXI shell (compiler/shell.py), for shell_harness.cpp.
#pragma once

#include "harness.h"

namespace edgellm {

struct Lite {  // AXI4-Lite slave: the registers
    uint8_t *awaddr, *awvalid, *awready;
    uint32_t* wdata;
    uint8_t *wstrb, *wvalid, *wready, *bvalid, *bready;
    uint8_t *araddr, *arvalid, *arready;
    uint32_t* rdata;
    uint8_t *rvalid, *rready;
};

struct ReadMaster {
    uint64_t* araddr;
    uint8_t *arlen, *arvalid, *arready;
    uint64_t* rdata;
    uint8_t *rresp, *rlast, *rvalid, *rready;
};

struct WriteMaster {
    uint64_t* awaddr;
    uint8_t *awlen, *awvalid, *awready;
    uint64_t* wdata;
    uint8_t *wlast, *wvalid, *wready, *bresp, *bvalid, *bready;
};

class ShellModel : public Model {
  public:
    Lite lite{};
    ReadMaster commands{};
    WriteMaster writers[2]{};  // events, logits
    uint8_t* interrupt = nullptr;
};

}  // namespace edgellm
