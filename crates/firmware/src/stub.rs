//! Instructions that stand in guest memory for firmware: the entry of the client interface and RTAS.
//!
//! Both entries follow the 32-bit PowerPC calling convention (IEEE 1275 PowerPC binding section 8, LoPAR
//! section 7.2.1): argument address in r3, result in r3, return through LR, non-volatile registers kept.
//! They are called in big-endian mode with translation off, in 32-bit or 64-bit mode; each hands its
//! argument on in r4 of a private hypercall, which changes no register but r3. The code does not depend on
//! where it stands.

use device::{DeviceTree, NodeId};

/// Private hypercall of the RTAS stub: r4 = real address of the RTAS argument block.
pub const H_RTAS: u64 = 0xF000;
/// Private hypercall of the client interface stub: r4 = real address of the argument array; r3 on return
/// is 0, or -1 if the service could not be called.
pub const H_OF_CLIENT: u64 = 0xF005;

/// First bytes of real memory that belong to interrupt vectors and firmware while the client interface is
/// in use; claimed from the start.
pub const FIRMWARE_SIZE: u64 = 0x4000;
/// Where the client interface's entry stands: above the vectors, inside [`FIRMWARE_SIZE`].
pub const OF_CLIENT_ADDR: u64 = 0x3F00;

/// Bytes that `rtas-size` asks the client to set aside: the stub, then the error log area.
pub const RTAS_SIZE: u32 = 0x1000;
/// Offset of the firmware-assisted NMI error log area within RTAS.
pub const RTAS_ERROR_LOG_OFFSET: u64 = 0x30;
/// Size of that area in bytes.
pub const RTAS_ERROR_LOG_SIZE: u64 = 2048;

/// `clrldi r4, r3, 32`: in 32-bit mode the upper half of r3 is undefined.
const CLRLDI_R4_R3_32: u32 = 0x7864_0020;
/// `mr r4, r3`
const MR_R4_R3: u32 = 0x7C64_1B78;
/// `li r3, 0`
const LI_R3_0: u32 = 0x3860_0000;
/// `ori r3, r3, 0`; the low half takes the operand.
const ORI_R3_R3: u32 = 0x6063_0000;
/// `sc 1`
const SC_1: u32 = 0x4400_0022;
/// `blr`
const BLR: u32 = 0x4E80_0020;

fn code(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// The client interface's entry, whose address a client gets in r5.
pub fn stub_of_client() -> Vec<u8> {
    code(&[CLRLDI_R4_R3_32, LI_R3_0, ORI_R3_R3 | H_OF_CLIENT as u32, SC_1, BLR])
}

/// The RTAS entry. It stands at the start of the area a client gave to `instantiate-rtas`; the argument
/// block may lie anywhere below 4 GiB. At most [`RTAS_ERROR_LOG_OFFSET`] bytes long.
pub fn stub_rtas() -> Vec<u8> {
    code(&[MR_R4_R3, LI_R3_0, ORI_R3_R3 | H_RTAS as u32, SC_1, BLR])
}

/// Adds to an `/rtas` node what a client needs to instantiate RTAS.
pub fn describe_rtas(tree: &mut DeviceTree, rtas: NodeId) {
    tree.set_u32(rtas, "rtas-size", RTAS_SIZE);
}

/// Adds to an `/rtas` node what a kernel reads that is entered with a flattened tree: RTAS stands at `base`
/// (below 4 GiB) already.
pub fn describe_placed_rtas(tree: &mut DeviceTree, rtas: NodeId, base: u32) {
    tree.set_u32(rtas, "linux,rtas-base", base);
    tree.set_u32(rtas, "linux,rtas-entry", base);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `objdump -d -M power9` prints for these words.
    #[test]
    fn encodings() {
        let word = |w: u32| w.to_be_bytes().to_vec();
        let of: Vec<u8> = [0x7864_0020, 0x3860_0000, 0x6063_f005, 0x4400_0022, 0x4e80_0020]
            .into_iter()
            .flat_map(word)
            .collect();
        assert_eq!(stub_of_client(), of);
        let rtas: Vec<u8> = [0x7c64_1b78, 0x3860_0000, 0x6063_f000, 0x4400_0022, 0x4e80_0020]
            .into_iter()
            .flat_map(word)
            .collect();
        assert_eq!(stub_rtas(), rtas);
    }

    #[test]
    fn places() {
        assert!(OF_CLIENT_ADDR + stub_of_client().len() as u64 <= FIRMWARE_SIZE);
        assert!(stub_rtas().len() as u64 <= RTAS_ERROR_LOG_OFFSET);
        assert!(RTAS_ERROR_LOG_OFFSET + RTAS_ERROR_LOG_SIZE <= u64::from(RTAS_SIZE));
        let mut t = DeviceTree::new();
        let rtas = t.add_node(DeviceTree::ROOT, "rtas");
        describe_rtas(&mut t, rtas);
        describe_placed_rtas(&mut t, rtas, 0x1000);
        assert_eq!(t.prop_u32(rtas, "rtas-size"), Some(4096));
        assert_eq!(t.prop_u32(rtas, "linux,rtas-entry"), Some(0x1000));
    }
}
