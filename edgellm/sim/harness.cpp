// Drives any Verilator model whose ports are ap_clk, ap_rst_n and AXI4-Streams, behind a C ABI for ctypes.
//
// A cycle is: drive, clk=0, eval (settle), sample, clk=1, eval. Handshakes are sampled before the rising edge.
#include "harness.h"

#include "svdpi.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define EDGELLM_API extern "C" __attribute__((visibility("default")))

namespace {

// ---------------------------------------------------------------- messages of the Verilator run time
std::mutex trouble_lock;
std::string trouble;
std::atomic<bool> troubled{false};

void note_trouble(const char* file, int line, const char* text) {
    const std::lock_guard<std::mutex> hold(trouble_lock);
    if (!troubled) trouble = std::string(text) + " (" + file + ":" + std::to_string(line) + ")";
    troubled = true;
}

// ---------------------------------------------------------------- streams
struct Port {
    const char* name;
    bool input;
    unsigned bits, bytes;
    uint8_t* data;
    uint8_t* valid;
    uint8_t* ready;
    uint32_t stall = 0;             // stalls when a 32-bit random number is below this
    std::vector<uint8_t> rows;      // input: beats to send; output: beats received
    std::vector<uint64_t> cycles;   // cycle in which each beat moved
    size_t moved = 0;               // input: beats accepted of `rows`
    size_t taken = 0;               // output: beats handed to the caller
    int64_t goal = -1;              // output: beats to wait for
    bool waiting = false;           // valid was high and ready low in the last cycle
    std::vector<uint8_t> held;      // data of that cycle

    size_t queued() const { return rows.size() / bytes; }
};

struct Probe {
    unsigned bits = 0;
    size_t bytes = 0;
    std::vector<uint8_t> rows;
    std::vector<uint64_t> cycles;
};

struct Fifo {
    std::string name;
    int depth, bits;
    int limit;     // depth that it may behave like
    int peak = 0;  // most beats in it since the last reset
};

struct Simulation {
    std::vector<Fifo> fifos;
    std::unique_ptr<VerilatedContext> context;
    std::unique_ptr<edgellm::Model> model;
    std::vector<Port> ports;
    std::map<int, Probe> probes;
    bool probing = false;
    bool registered = false;
    uint64_t cycle = 0, idle = 0;
    uint64_t random = 1;
    std::string error;
    bool moved = false;
};

// The simulation whose model is being evaluated, for the DPI functions. A model with threads of its own calls them
// from those threads, which know only `threaded`: such models run one at a time.
thread_local Simulation* current = nullptr;
Simulation* threaded = nullptr;
std::mutex threaded_lock;

Simulation& evaluated() { return current ? *current : *threaded; }

struct Running {
    explicit Running(Simulation& s) {
        current = &s;
        if (s.model->threads == 1) return;
        hold = std::unique_lock<std::mutex>(threaded_lock);
        threaded = &s;
    }
    ~Running() { current = nullptr; }
    std::unique_lock<std::mutex> hold;
};

enum Status { CYCLES_DONE = 0, GOAL_REACHED = 1, IDLE = 2, FAILED = 3 };
constexpr uint64_t COMBINATIONAL_CHECK_EVERY = 61;

uint32_t next_random(Simulation& s) {  // xorshift64*
    s.random ^= s.random >> 12;
    s.random ^= s.random << 25;
    s.random ^= s.random >> 27;
    return static_cast<uint32_t>((s.random * 0x2545F4914F6CDD1DULL) >> 32);
}

bool stalls(Simulation& s, const Port& p) { return p.stall && next_random(s) < p.stall; }

void eval(Simulation& s) {
    s.model->eval();
    s.context->timeInc(1);
}

void drive(Simulation& s) {
    for (Port& p : s.ports) {
        if (!p.input) {
            *p.ready = !stalls(s, p);
        } else if (!*p.valid) {  // once valid, it stays so until accepted
            *p.valid = p.moved < p.queued() && !stalls(s, p);
            if (*p.valid) std::memcpy(p.data, &p.rows[p.moved * p.bytes], p.bytes);
        }
    }
}

void fail(Simulation& s, const Port& p, const char* what) {
    if (s.error.empty())
        s.error = std::string("port ") + p.name + ": " + what + " in cycle " + std::to_string(s.cycle);
}

struct Outputs {
    std::vector<uint8_t> valid;
    std::vector<uint8_t> data;
};

Outputs outputs(const Simulation& s) {
    Outputs o;
    for (const Port& p : s.ports) {
        if (p.input) continue;
        o.valid.push_back(*p.valid);
        if (*p.valid) o.data.insert(o.data.end(), p.data, p.data + p.bytes);
    }
    return o;
}

void compare(Simulation& s, const Outputs& before, const char* what) {
    size_t k = 0, at = 0;
    for (const Port& p : s.ports) {
        if (p.input) continue;
        const bool was = before.valid[k++];
        if (was != static_cast<bool>(*p.valid)) return fail(s, p, what);
        if (was && std::memcmp(&before.data[at], p.data, p.bytes)) return fail(s, p, what);
        at += was ? p.bytes : 0;
    }
}

// Flips what the harness drives, with the clock low, and looks whether an output follows without a clock edge.
void check_combinational(Simulation& s) {
    const Outputs before = outputs(s);
    std::vector<uint8_t> driven;
    for (Port& p : s.ports) {
        uint8_t& wire = p.input ? *p.valid : *p.ready;
        driven.push_back(wire);
        if (!p.input) wire = !wire;
    }
    eval(s);
    compare(s, before, "TVALID or TDATA depends on TREADY without a register");
    if (s.registered) {
        for (Port& p : s.ports)
            if (p.input) *p.valid = !*p.valid;
        eval(s);
        compare(s, before, "the output depends on an input without a register");
    }
    size_t k = 0;
    for (Port& p : s.ports) (p.input ? *p.valid : *p.ready) = driven[k++];
    eval(s);
}

void check_stable(Simulation& s, Port& p) {
    if (p.waiting && !*p.valid) return fail(s, p, "TVALID fell before TREADY");
    if (p.waiting && std::memcmp(p.held.data(), p.data, p.bytes))
        return fail(s, p, "TDATA changed while waiting for TREADY");
    p.waiting = *p.valid && !*p.ready;
    if (p.waiting) p.held.assign(p.data, p.data + p.bytes);
}

void sample(Simulation& s) {
    for (Port& p : s.ports) {
        if (!p.input) check_stable(s, p);
        if (!*p.valid || !*p.ready) continue;
        s.moved = true;
        p.cycles.push_back(s.cycle);
        if (p.input) ++p.moved;
        else p.rows.insert(p.rows.end(), p.data, p.data + p.bytes);
    }
}

void clock(Simulation& s, bool checked) {
    *s.model->clock = 0;
    eval(s);
    if (checked) {
        if (s.cycle % COMBINATIONAL_CHECK_EVERY == 0) check_combinational(s);
        sample(s);
    }
    *s.model->clock = 1;
    eval(s);
    if (checked)
        for (Port& p : s.ports)
            if (p.input && *p.valid && p.cycles.size() && p.cycles.back() == s.cycle) *p.valid = 0;
    ++s.cycle;
}

bool goal_reached(const Simulation& s) {
    bool any = false;
    for (const Port& p : s.ports) {
        if (p.input || p.goal < 0) continue;
        any = true;
        if (static_cast<int64_t>(p.queued() - p.taken) < p.goal) return false;
    }
    return any;
}

bool collect_trouble(Simulation& s) {
    if (!troubled) return false;
    const std::lock_guard<std::mutex> hold(trouble_lock);
    if (s.error.empty()) s.error = trouble;
    troubled = false;
    return true;
}

std::vector<Port> make_ports(const edgellm::Model& model) {
    std::vector<Port> ports;
    for (const edgellm::Wires& w : model.streams)
        ports.push_back({w.name, w.input, w.bits, (w.bits + 7) / 8, static_cast<uint8_t*>(w.data), w.valid, w.ready});
    return ports;
}

void forget(Port& p) {
    p.rows.clear();
    p.cycles.clear();
    p.moved = p.taken = 0;
    p.waiting = false;
    *(p.input ? p.valid : p.ready) = 0;
}

}  // namespace

// ---------------------------------------------------------------- called by the Verilator run time
void vl_finish(const char* file, int line, const char*) { note_trouble(file, line, "$finish"); }
void vl_stop(const char* file, int line, const char*) { note_trouble(file, line, "$stop or failed assertion"); }
void vl_fatal(const char* file, int line, const char*, const char* text) { note_trouble(file, line, text); }
void vl_warn(const char* file, int line, const char*, const char* text) { note_trouble(file, line, text); }

// ---------------------------------------------------------------- called by axis_probe.sv
extern "C" int edgellm_probe_beat(int id, int bits) {
    Simulation& s = evaluated();
    if (!s.probing) return 0;
    Probe& p = s.probes[id];
    p.bits = static_cast<unsigned>(bits);
    p.bytes = (p.bits + 7) / 8;
    p.rows.resize(p.rows.size() + p.bytes);
    p.cycles.push_back(s.cycle);
    s.moved = true;
    return 1;
}

extern "C" void edgellm_probe_word(int id, int index, long long word) {
    Probe& p = evaluated().probes[id];
    const size_t at = static_cast<size_t>(index) * sizeof word;
    std::memcpy(&p.rows[p.rows.size() - p.bytes + at], &word, std::min(sizeof word, p.bytes - at));
}

// ---------------------------------------------------------------- called by finn_sim/fifo.sv
extern "C" int edgellm_fifo_new(int depth, int bits) {
    Simulation& s = evaluated();
    s.fifos.push_back({svGetNameFromScope(svGetScope()), depth, bits, depth});
    return static_cast<int>(s.fifos.size()) - 1;
}

extern "C" int edgellm_fifo_limit(int id) {
    Fifo& fifo = evaluated().fifos[id];
    fifo.peak = 0;
    return fifo.limit;
}

extern "C" void edgellm_fifo_peak(int id, int count) { evaluated().fifos[id].peak = count; }

// ---------------------------------------------------------------- called by harness.py
EDGELLM_API Simulation* edgellm_new(uint32_t seed) {
    auto* s = new Simulation;
    s->context = std::make_unique<VerilatedContext>();
    s->context->randReset(2);  // registers that reset does not touch start with random bits
    s->context->randSeed(static_cast<int>(seed % 0x7FFFFFFF) + 1);
    s->model = edgellm::make_model(s->context.get());
    s->ports = make_ports(*s->model);
    *s->model->clock = 1;
    *s->model->reset_n = 0;
    for (Port& p : s->ports) forget(p);
    const Running running(*s);
    eval(*s);
    collect_trouble(*s);
    return s;
}

EDGELLM_API void edgellm_delete(Simulation* s) {
    // A model signs its scopes off from the thread's context, which may be one that is gone: make it the model's own.
    Verilated::threadContextp(s->context.get());
    delete s;
}

EDGELLM_API int edgellm_ports(const Simulation* s) { return static_cast<int>(s->ports.size()); }
EDGELLM_API const char* edgellm_port_name(const Simulation* s, int k) { return s->ports[k].name; }
EDGELLM_API int edgellm_port_is_input(const Simulation* s, int k) { return s->ports[k].input; }
EDGELLM_API int edgellm_port_bits(const Simulation* s, int k) { return static_cast<int>(s->ports[k].bits); }
EDGELLM_API const char* edgellm_error(const Simulation* s) { return s->error.c_str(); }
EDGELLM_API uint64_t edgellm_cycle(const Simulation* s) { return s->cycle; }
EDGELLM_API void edgellm_registered(Simulation* s, int on) { s->registered = on; }

EDGELLM_API int edgellm_reset(Simulation* s, uint64_t cycles) {
    const Running running(*s);
    for (Port& p : s->ports) forget(p);
    *s->model->reset_n = 0;
    for (uint64_t k = 0; k < cycles; ++k) clock(*s, false);
    for (const Port& p : s->ports)
        if (!p.input && *p.valid) fail(*s, p, "TVALID is high in reset");
    *s->model->reset_n = 1;
    s->idle = 0;
    return collect_trouble(*s) || !s->error.empty() ? FAILED : CYCLES_DONE;
}

EDGELLM_API void edgellm_push(Simulation* s, int port, const uint8_t* rows, uint64_t beats) {
    Port& p = s->ports[port];
    p.rows.insert(p.rows.end(), rows, rows + beats * p.bytes);
}

EDGELLM_API uint64_t edgellm_available(const Simulation* s, int port) {
    const Port& p = s->ports[port];
    return p.input ? p.queued() - p.moved : p.queued() - p.taken;
}

// Hands over `beats` received beats and drops them.
EDGELLM_API void edgellm_pop(Simulation* s, int port, uint8_t* rows, uint64_t* cycles, uint64_t beats) {
    Port& p = s->ports[port];
    std::memcpy(rows, p.rows.data() + p.taken * p.bytes, beats * p.bytes);
    std::memcpy(cycles, p.cycles.data() + p.taken, beats * sizeof *cycles);
    p.taken += beats;
    if (p.taken < p.queued()) return;
    p.rows.clear();
    p.cycles.clear();
    p.taken = 0;
}

// Cycles in which the pushed beats of an input were accepted, since the last reset.
EDGELLM_API uint64_t edgellm_accepted(const Simulation* s, int port, uint64_t* cycles) {
    const Port& p = s->ports[port];
    if (cycles) std::memcpy(cycles, p.cycles.data(), p.cycles.size() * sizeof *cycles);
    return p.cycles.size();
}

EDGELLM_API int edgellm_port_waits(const Simulation* s, int port) {
    const Port& p = s->ports[port];
    return p.input ? p.moved < p.queued() : p.goal > static_cast<int64_t>(p.queued() - p.taken);
}

EDGELLM_API void edgellm_plan(Simulation* s, int port, double stall, int64_t goal) {
    Port& p = s->ports[port];
    p.stall = stall >= 1.0 ? UINT32_MAX : static_cast<uint32_t>(stall * 4294967296.0);
    p.goal = goal;
}

EDGELLM_API void edgellm_seed(Simulation* s, uint64_t seed) {
    s->random = (seed + 1) * 0x9E3779B97F4A7C15ULL;
    if (!s->random) s->random = 1;
    s->idle = 0;
}

EDGELLM_API int edgellm_advance(Simulation* s, uint64_t cycles, uint64_t idle_limit) {
    const Running running(*s);
    if (goal_reached(*s)) return GOAL_REACHED;
    for (uint64_t k = 0; k < cycles; ++k) {
        s->moved = false;
        drive(*s);
        clock(*s, true);
        if (collect_trouble(*s) || !s->error.empty()) return FAILED;
        s->idle = s->moved ? 0 : s->idle + 1;
        if (s->moved && goal_reached(*s)) return GOAL_REACHED;
        if (idle_limit && s->idle >= idle_limit) return IDLE;
    }
    return CYCLES_DONE;
}

EDGELLM_API int edgellm_fifos(const Simulation* s) { return static_cast<int>(s->fifos.size()); }
EDGELLM_API const char* edgellm_fifo_name(const Simulation* s, int k) { return s->fifos[k].name.c_str(); }
EDGELLM_API int edgellm_fifo_depth(const Simulation* s, int k) { return s->fifos[k].depth; }
EDGELLM_API int edgellm_fifo_bits(const Simulation* s, int k) { return s->fifos[k].bits; }
EDGELLM_API int edgellm_fifo_most(const Simulation* s, int k) { return s->fifos[k].peak; }
EDGELLM_API void edgellm_fifo_restrict(Simulation* s, int k, int depth) { s->fifos[k].limit = depth; }

EDGELLM_API void edgellm_probe(Simulation* s, int on) { s->probing = on; }

EDGELLM_API uint64_t edgellm_probe_ids(const Simulation* s, int* ids) {
    if (ids)
        for (const auto& [id, probe] : s->probes) *ids++ = id;
    return s->probes.size();
}

EDGELLM_API uint64_t edgellm_probe_beats(const Simulation* s, int id) {
    const auto found = s->probes.find(id);
    return found == s->probes.end() ? 0 : found->second.cycles.size();
}

EDGELLM_API int edgellm_probe_bits(const Simulation* s, int id) {
    const auto found = s->probes.find(id);
    return found == s->probes.end() ? 0 : static_cast<int>(found->second.bits);
}

EDGELLM_API void edgellm_probe_read(const Simulation* s, int id, uint8_t* rows, uint64_t* cycles) {
    const Probe& p = s->probes.at(id);
    std::memcpy(rows, p.rows.data(), p.rows.size());
    std::memcpy(cycles, p.cycles.data(), p.cycles.size() * sizeof *cycles);
}

EDGELLM_API void edgellm_probe_clear(Simulation* s) { s->probes.clear(); }
