//! Random numbers for the partition (LoPAR, "H_RANDOM"), from the host's generator.

use crate::rc::{HResult, HcallError};
use device::{DeviceTree, NodeId};

/// H_RANDOM: 64 random bits. H_HARDWARE if the host has none.
pub fn h_random() -> HResult<u64> {
    let mut bytes = [0; 8];
    loop {
        match rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) {
            // So few bytes come all at once or not at all.
            Ok(8) => return Ok(u64::from_ne_bytes(bytes)),
            Err(e) if e == rustix::io::Errno::INTR => {}
            Ok(_) | Err(_) => return Err(HcallError::Hardware),
        }
    }
}

/// Adds `/ibm,platform-facilities/ibm,random-v1`.
pub fn describe(tree: &mut DeviceTree) -> NodeId {
    let facilities = tree.ensure_node(DeviceTree::ROOT, "ibm,platform-facilities");
    tree.set_str(facilities, "device_type", "ibm,platform-facilities");
    tree.set_u32(facilities, "#address-cells", 1);
    tree.set_u32(facilities, "#size-cells", 0);
    let node = tree.ensure_node(facilities, "ibm,random-v1");
    tree.set_str(node, "device_type", "ibm,random-v1");
    tree.set_str(node, "compatible", "ibm,random");
    tree.set_u32(node, "reg", 0);
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_differ() {
        let all: HashSet<u64> = (0..64).map(|_| h_random().unwrap()).collect();
        assert_eq!(all.len(), 64);
        let (or, and) = all.iter().fold((0, u64::MAX), |(or, and), n| (or | n, and & n));
        assert_eq!((or, and), (u64::MAX, 0), "every bit is sometimes set and sometimes clear");
    }

    #[test]
    fn node() {
        let mut t = DeviceTree::new();
        let n = describe(&mut t);
        assert_eq!(t.path(n), "/ibm,platform-facilities/ibm,random-v1");
        assert_eq!(t.prop_str(n, "compatible"), Some("ibm,random"));
    }
}
