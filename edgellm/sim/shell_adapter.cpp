// Ties the ports of module `accelerator` to shell_harness.h; compiled with each design.
#include "Vtop.h"
#include "shell_harness.h"

namespace {

struct Adapter final : edgellm::ShellModel {
    Vtop top;

    explicit Adapter(VerilatedContext* context) : top{context} {
        clock = &top.ap_clk;
        reset_n = &top.ap_rst_n;
        interrupt = &top.__SYM__interrupt;  // Verilator does not like the name
        lite = {&top.s_axi_awaddr, &top.s_axi_awvalid, &top.s_axi_awready, &top.s_axi_wdata,   &top.s_axi_wstrb,
                &top.s_axi_wvalid, &top.s_axi_wready,  &top.s_axi_bvalid,  &top.s_axi_bready,  &top.s_axi_araddr,
                &top.s_axi_arvalid, &top.s_axi_arready, &top.s_axi_rdata,  &top.s_axi_rvalid,  &top.s_axi_rready};
        commands = {&top.m_commands_araddr, &top.m_commands_arlen,  &top.m_commands_arvalid,
                    &top.m_commands_arready, &top.m_commands_rdata, &top.m_commands_rresp,
                    &top.m_commands_rlast,  &top.m_commands_rvalid, &top.m_commands_rready};
        writers[0] = {&top.m_events_awaddr, &top.m_events_awlen,  &top.m_events_awvalid, &top.m_events_awready,
                      &top.m_events_wdata,  &top.m_events_wlast,  &top.m_events_wvalid,  &top.m_events_wready,
                      &top.m_events_bresp,  &top.m_events_bvalid, &top.m_events_bready};
        writers[1] = {&top.m_logits_awaddr, &top.m_logits_awlen,  &top.m_logits_awvalid, &top.m_logits_awready,
                      &top.m_logits_wdata,  &top.m_logits_wlast,  &top.m_logits_wvalid,  &top.m_logits_wready,
                      &top.m_logits_bresp,  &top.m_logits_bvalid, &top.m_logits_bready};
    }

    void eval() override { top.eval(); }
};

}  // namespace

std::unique_ptr<edgellm::Model> edgellm::make_model(VerilatedContext* context) {
    return std::make_unique<Adapter>(context);
}
