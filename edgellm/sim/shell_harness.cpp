// Drives a Verilator model of the accelerator in its AXI shell, behind a C ABI for ctypes: registers by AXI4-Lite, and a memory
// behind the three masters that answers late, at random, and in pieces, as AXI allows.
//
// A write is in memory when its response comes, not before. What a test breaks (Fault) lies here, in the fabric around the shell.
#include "harness.cpp"

#include "shell_harness.h"

#include <deque>

namespace {

enum Fault { BLOCKED = 1, DROPPED = 2, FLIPPED = 4, SILENT = 8 };  // events: never taken, one lost, one damaged; no interrupt

struct Memory {
    uint8_t* data = nullptr;
    uint64_t base = 0, size = 0;

    uint8_t* at(uint64_t address, uint64_t bytes) const {
        return address >= base && address - base + bytes <= size ? data + (address - base) : nullptr;
    }
};

constexpr unsigned BEAT = 8;
constexpr unsigned DECODE_ERROR = 3;

struct Burst {
    uint64_t address;
    unsigned beats;
};

struct Board {
    std::unique_ptr<Simulation> sim;
    edgellm::ShellModel* shell = nullptr;
    Memory memory;
    uint32_t stall = 0;    // chance of a channel to do nothing in a cycle, of 2^32
    uint32_t faults = 0;
    uint64_t event = 0;    // the event that DROPPED and FLIPPED hit, from 1
    uint64_t flips = 0;    // its bits that FLIPPED turns over
    uint64_t events = 0;   // written so far
    std::deque<Burst> reads;
    unsigned read = 0;     // beats of the first that were offered and taken
    std::deque<Burst> writes[2];
    std::deque<uint64_t> data[2];
    unsigned bursts[2] = {0, 0};  // whole ones in `data`
    std::deque<uint8_t> responses[2];
};

bool chance(Board& b) { return b.stall && next_random(*b.sim) < b.stall; }

// ---------------------------------------------------------------- memory behind the masters
void drive_read(Board& b) {
    edgellm::ReadMaster& m = b.shell->commands;
    *m.arready = !chance(b);
    if (*m.rvalid) return;  // stays until it is taken
    *m.rvalid = !b.reads.empty() && !chance(b);
    if (!*m.rvalid) return;
    const Burst& burst = b.reads.front();
    const uint8_t* from = b.memory.at(burst.address + b.read * BEAT, BEAT);
    *m.rresp = from ? 0 : DECODE_ERROR;
    *m.rdata = 0;
    if (from) std::memcpy(m.rdata, from, BEAT);
    *m.rlast = b.read + 1 == burst.beats;
}

void sample_read(Board& b) {
    edgellm::ReadMaster& m = b.shell->commands;
    if (*m.rvalid && *m.rready && ++b.read == b.reads.front().beats) {
        b.reads.pop_front();
        b.read = 0;
    }
    if (*m.arvalid && *m.arready) b.reads.push_back({*m.araddr, *m.arlen + 1u});
}

bool blocked(const Board& b, int which) { return which == 0 && b.faults & BLOCKED; }

void drive_write(Board& b, int which) {
    edgellm::WriteMaster& m = b.shell->writers[which];
    *m.awready = !blocked(b, which) && !chance(b);
    *m.wready = !blocked(b, which) && !chance(b);
    if (*m.bvalid) return;
    *m.bvalid = !b.responses[which].empty() && !chance(b);
    if (*m.bvalid) *m.bresp = b.responses[which].front();
}

// One burst of events is one event. Returns whether it goes to memory.
bool tamper(Board& b, uint64_t& beat) {
    if (++b.events != b.event) return true;
    if (b.faults & FLIPPED) beat ^= b.flips;
    return !(b.faults & DROPPED);
}

uint8_t store(Board& b, int which, const Burst& burst) {
    uint8_t* to = b.memory.at(burst.address, burst.beats * BEAT);
    for (unsigned k = 0; k < burst.beats; ++k) {
        uint64_t beat = b.data[which].front();
        b.data[which].pop_front();
        const bool kept = which != 0 || tamper(b, beat);
        if (to && kept) std::memcpy(to + k * BEAT, &beat, BEAT);
    }
    return to ? 0 : DECODE_ERROR;
}

void sample_write(Board& b, int which) {
    edgellm::WriteMaster& m = b.shell->writers[which];
    if (*m.bvalid && *m.bready) b.responses[which].pop_front();
    if (*m.awvalid && *m.awready) b.writes[which].push_back({*m.awaddr, *m.awlen + 1u});
    if (*m.wvalid && *m.wready) {
        b.data[which].push_back(*m.wdata);
        b.bursts[which] += *m.wlast;
    }
    if (b.writes[which].empty() || !b.bursts[which] || chance(b)) return;
    if (b.data[which].size() < b.writes[which].front().beats) {
        b.sim->error = "a write burst of the accelerator has fewer beats than its address says";
        return;
    }
    b.responses[which].push_back(store(b, which, b.writes[which].front()));
    b.writes[which].pop_front();
    --b.bursts[which];
}

// ---------------------------------------------------------------- clock
struct Taken {  // what the rising edge will take, of what is held until then
    bool r, b[2];
};

bool tick(Board& b) {
    Simulation& s = *b.sim;
    drive_read(b);
    for (int which : {0, 1}) drive_write(b, which);
    *s.model->clock = 0;
    eval(s);
    edgellm::ShellModel& m = *b.shell;
    const Taken taken{*m.commands.rvalid && *m.commands.rready,
                      {*m.writers[0].bvalid && *m.writers[0].bready, *m.writers[1].bvalid && *m.writers[1].bready}};
    if (*s.model->reset_n) {  // before, everything may be anything
        sample_read(b);
        for (int which : {0, 1}) sample_write(b, which);
    }
    *s.model->clock = 1;
    eval(s);
    ++s.cycle;
    if (taken.r) *m.commands.rvalid = 0;
    for (int which : {0, 1})
        if (taken.b[which]) *m.writers[which].bvalid = 0;
    return !troubled && s.error.empty();
}

void forget(Board& b) {
    b.reads.clear();
    b.read = 0;
    b.events = 0;
    for (int which : {0, 1}) {
        b.writes[which].clear();
        b.data[which].clear();
        b.responses[which].clear();
        b.bursts[which] = 0;
        *b.shell->writers[which].bvalid = 0;
    }
    *b.shell->commands.rvalid = 0;
    *b.shell->lite.awvalid = *b.shell->lite.wvalid = *b.shell->lite.bready = 0;
    *b.shell->lite.arvalid = *b.shell->lite.rready = 0;
}

constexpr int LITE_CYCLES = 10000;  // of one access at most

}  // namespace

// ---------------------------------------------------------------- called by shell_harness.py
EDGELLM_API Board* edgellm_board_new(uint32_t seed, uint8_t* memory, uint64_t base, uint64_t size, double stall) {
    auto* b = new Board;
    b->sim.reset(edgellm_new(seed));
    b->shell = static_cast<edgellm::ShellModel*>(b->sim->model.get());
    b->memory = {memory, base, size};
    b->stall = static_cast<uint32_t>(stall * 4294967296.0);
    edgellm_seed(b->sim.get(), seed);
    forget(*b);
    return b;
}

EDGELLM_API void edgellm_board_delete(Board* b) {
    Verilated::threadContextp(b->sim->context.get());  // as edgellm_delete
    delete b;
}

EDGELLM_API const char* edgellm_board_error(Board* b) {
    collect_trouble(*b->sim);
    return b->sim->error.c_str();
}

EDGELLM_API uint64_t edgellm_board_cycle(const Board* b) { return b->sim->cycle; }
EDGELLM_API int edgellm_board_interrupt(const Board* b) { return *b->shell->interrupt && !(b->faults & SILENT); }

EDGELLM_API void edgellm_board_fault(Board* b, uint32_t faults, uint64_t event, uint64_t flips) {
    b->faults = faults;
    b->event = event;
    b->flips = flips;
}

EDGELLM_API int edgellm_board_reset(Board* b, uint64_t cycles) {
    const Running running(*b->sim);
    forget(*b);
    *b->sim->model->reset_n = 0;
    for (uint64_t k = 0; k < cycles; ++k)
        if (!tick(*b)) return 0;
    forget(*b);
    *b->sim->model->reset_n = 1;
    return 1;
}

EDGELLM_API int edgellm_board_run(Board* b, uint64_t cycles) {
    const Running running(*b->sim);
    for (uint64_t k = 0; k < cycles; ++k)
        if (!tick(*b)) return 0;
    return 1;
}

EDGELLM_API int edgellm_board_write(Board* b, uint32_t offset, uint32_t value) {
    const Running running(*b->sim);
    edgellm::Lite& m = b->shell->lite;
    *m.awaddr = offset;
    *m.wdata = value;
    *m.wstrb = 0xF;
    *m.awvalid = *m.wvalid = *m.bready = 1;
    bool address = false, data = false;
    for (int k = 0; k < LITE_CYCLES; ++k) {
        *b->sim->model->clock = 0;
        eval(*b->sim);
        address = *m.awvalid && *m.awready;
        data = *m.wvalid && *m.wready;
        const bool done = *m.bvalid && *m.bready;
        if (!tick(*b)) return 0;
        if (address) *m.awvalid = 0;
        if (data) *m.wvalid = 0;
        if (!done) continue;
        *m.bready = 0;
        return 1;
    }
    return 0;
}

EDGELLM_API int edgellm_board_read(Board* b, uint32_t offset, uint32_t* value) {
    const Running running(*b->sim);
    edgellm::Lite& m = b->shell->lite;
    *m.araddr = offset;
    *m.arvalid = *m.rready = 1;
    for (int k = 0; k < LITE_CYCLES; ++k) {
        *b->sim->model->clock = 0;
        eval(*b->sim);
        const bool address = *m.arvalid && *m.arready, done = *m.rvalid && *m.rready;
        if (done) *value = *m.rdata;
        if (!tick(*b)) return 0;
        if (address) *m.arvalid = 0;
        if (!done) continue;
        *m.rready = 0;
        return 1;
    }
    return 0;
}
