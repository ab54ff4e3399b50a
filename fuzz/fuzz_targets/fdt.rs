//! The flattened device tree reader on arbitrary bytes: what it accepts survives being written and read.
#![no_main]

use std::collections::HashSet;

use device::DeviceTree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(tree) = DeviceTree::from_fdt(data) else { return };
    let again = DeviceTree::from_fdt(&tree.to_fdt()).expect("own output is readable");
    assert_eq!(again.to_dts(), tree.to_dts());
    let unique = tree.walk().all(|n| {
        let names: HashSet<&str> = tree.children(n).iter().map(|&c| tree.name(c)).collect();
        names.len() == tree.children(n).len()
    });
    if unique {
        for node in tree.walk().take(1000) {
            assert_eq!(tree.find(&tree.path(node)), Some(node));
        }
    }
});
