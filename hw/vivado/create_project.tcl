# Makes the Vivado project of an accelerator and its board:  vivado -mode batch -source create_project.tcl
#
#   1  package_ip.tcl      rtl/ and mem/ become one IP, edgellm:edgellm:accelerator:1.0
#   2  block_design.tcl    that IP, the processing system, clock, reset, AXI, interrupt, addresses
#   3  the wrapper around the block design, and the constraints
#
# Everything goes into made/, which is made anew. build.tcl goes on from there.
# Written for Vivado 2024.1 to 2025.2. NOT RUN IN VIVADO: checked with Vivado's commands recorded (docs/vivado.md).

set root [file dirname [file normalize [info script]]]
source $root/settings.tcl

regexp {^\d+\.\d+} [version -short] release
if {[package vcompare $release 2024.1] < 0} {
    error "this is Vivado $release: the project is written for 2024.1 and later"
}
set made $root/made
file delete -force $made
file mkdir $made

source $root/package_ip.tcl

create_project -force $design_name $made/project -part $part
if {$board_part ne ""} {
    if {[llength [get_board_parts -quiet $board_part]] == 0} {
        error "Vivado does not know the board $board_part: install its files (README.md says how), or empty board_part in\
               settings.tcl to go on with the IP's own presets, which does for a system that has already booted"
    }
    set_property board_part $board_part [current_project]
}
set_property ip_repo_paths $made/ip [current_project]
update_ip_catalog -rebuild

source $root/block_design.tcl

make_wrapper -files [get_files $design_name.bd] -import -fileset sources_1 -top
set_property top ${design_name}_wrapper [get_filesets sources_1]
add_files -norecurse -fileset constrs_1 $root/constraints.xdc
update_compile_order -fileset sources_1
close_project
puts "edgellm: project written, go on with: vivado -mode batch -source build.tcl"
