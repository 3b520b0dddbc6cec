# Synthesis, place and route, reports, bitstream:  vivado -mode batch -source build.tcl [-tclargs JOBS]
#
# Needs what create_project.tcl made. Leaves in out/
#   accelerator.bit, accelerator.hwh    the two files that PYNQ loads, of one name
#   utilisation.rpt, timing.rpt, clocks.rpt
# Stops with an error, and without a bitstream, if timing is not met.
# Written for Vivado 2024.1 to 2025.2. NOT RUN IN VIVADO.

set root [file dirname [file normalize [info script]]]
source $root/settings.tcl
set jobs [expr {[llength $argv] > 0 ? [lindex $argv 0] : 4}]
set project $root/made/project
set out $root/out
file mkdir $out

proc finish {run} {
    wait_on_run $run
    if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
        error "$run stopped: [get_property STATUS [get_runs $run]]. Its log is [get_property DIRECTORY [get_runs $run]]/runme.log"
    }
}

open_project $project/$design_name.xpr
reset_run synth_1
launch_runs synth_1 -jobs $jobs
finish synth_1
launch_runs impl_1 -to_step route_design -jobs $jobs
finish impl_1

open_run impl_1
report_utilization -hierarchical -file $out/utilisation.rpt
report_timing_summary -file $out/timing.rpt
report_clocks -file $out/clocks.rpt
close_design
foreach {what name} {setup STATS.WNS hold STATS.WHS} {
    set slack [get_property $name [get_runs impl_1]]
    if {$slack < 0} {
        error "timing is not met at $clock_mhz MHz: worst $what slack $slack ns. Compile again with a lower --clock"
    }
}

launch_runs impl_1 -to_step write_bitstream -jobs $jobs
finish impl_1
file copy -force $project/$design_name.runs/impl_1/${design_name}_wrapper.bit $out/accelerator.bit
file copy -force $project/$design_name.gen/sources_1/bd/$design_name/hw_handoff/$design_name.hwh $out/accelerator.hwh
close_project
puts "edgellm: out/accelerator.bit and out/accelerator.hwh are there"
