# The accelerator as an IP of the catalog. Sourced by create_project.tcl.
#
# PYNQ finds its driver by the IP's name (VLNV), which a module reference could not carry.

# Vivado looks for memory files in places that depend on the run: the packaged copies name them with their whole path.
file mkdir $made/rtl
set packaged {}
foreach source $sources {
    set channel [open $root/$source]
    set text [read $channel]
    close $channel
    set target $made/rtl/[file tail $source]
    set channel [open $target w]
    puts -nonewline $channel [string map [list "\"mem/" "\"$root/mem/"] $text]
    close $channel
    lappend packaged $target
}
foreach memory $memories {
    if {![file exists $root/$memory]} {
        error "$memory is missing: run edgellm compile again"
    }
}

create_project -force package $made/package -part $part
add_files -norecurse $packaged
set_property top $ip_name [get_filesets sources_1]
update_compile_order -fileset sources_1
ipx::package_project -root_dir $made/ip -vendor $ip_vendor -library $ip_library -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name $ip_name $core
set_property version $ip_version $core
set_property display_name "edgellm accelerator, build $build" $core
# its clock is whatever the block design gives it
set_property ipi_drc {ignore_freq_hz true} $core

foreach interface [concat $register_interface $memory_interfaces] {
    if {[llength [ipx::get_bus_interfaces $interface -of_objects $core]] == 0} {
        error "Vivado did not find the AXI interface $interface in $ip_name.v"
    }
}

# One address block with the registers: PYNQ's register_map comes from here.
set map [ipx::get_memory_maps $register_interface -of_objects $core]
if {[llength $map] == 0} {
    set map [ipx::add_memory_map $register_interface $core]
    set_property slave_memory_map_ref $register_interface [ipx::get_bus_interfaces $register_interface -of_objects $core]
}
foreach block [ipx::get_address_blocks -of_objects $map] {
    ipx::remove_address_block [get_property name $block] $map
}
set block [ipx::add_address_block $register_block $map]
set_property base_address 0 $block
set_property range $register_bytes $block
set_property width 32 $block
set_property usage register $block
foreach {name offset access} $registers {
    set register [ipx::add_register $name $block]
    set_property address_offset $offset $register
    set_property size 32 $register
    set_property access $access $register
}

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::save_core $core
close_project
