//! The flattened device tree reader on arbitrary bytes: what it accepts survives being written and read.
#![no_main]

use device::DeviceTree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(tree) = DeviceTree::from_fdt(data) else { return };
    let again = DeviceTree::from_fdt(&tree.to_fdt()).expect("own output is readable");
    assert_eq!(again.to_dts(), tree.to_dts());
    for node in tree.walk() {
        assert!(tree.find(&tree.path(node)).is_some());
    }
});
