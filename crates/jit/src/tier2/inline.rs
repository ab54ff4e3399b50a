//! What pieces compute ([`crate::thunk::piece`]), in place of calls of them.
//!
//! The compiler does not know these operations of the host, so it calls a piece that leaves the result in a place of its
//! own, and loads it. Where the load follows the call, both become the operation.

use crate::thunk::{piece, slot};

/// Displacement off the processor's registers of what piece `n` computed.
pub fn result_of(n: usize) -> i32 {
    super::lower::Lower::engine_at(slot::PIECES + 2 * n)
}

/// An operand-size prefix and a nop, which may stand behind a prefix of the call's register.
const NOP2: [u8; 2] = [0x66, 0x90];
const NOP3: [u8; 3] = [0x0f, 0x1f, 0x00];

/// Replace the calls that return at `returns`, as far as they are such. How many were.
pub fn inline_pieces(code: &mut [u8], returns: impl Iterator<Item = usize>) -> usize {
    returns.filter(|&at| inline(code, at).is_some()).count()
}

fn inline(code: &mut [u8], at: usize) -> Option<()> {
    let here = code.get_mut(at.checked_sub(2)?..at + 8)?;
    // call r64; vmovdqu xmm, [rdi + disp32]
    let &mut [0xff, call @ 0xd0..=0xd7, 0xc5, vex @ (0xfa | 0x7a), 0x6f, modrm, d0, d1, d2, d3] = here else {
        return None;
    };
    let disp = i32::from_le_bytes([d0, d1, d2, d3]);
    let n = (0..piece::ALL.len()).find(|&n| result_of(n) == disp).filter(|_| modrm & 0xc7 == 0x87)?;
    let (wide, op) = piece::ALL[n];
    debug_assert!(call & 0xf8 == 0xd0);
    here[..2].copy_from_slice(&NOP2);
    // The operation of the map 0f 38 with the prefix 66: xmm = xmm0 op xmm1.
    let to = [0xc4, vex & 0x80 | 0x62, u8::from(wide) << 7 | 0x79, op, 0xc1 | modrm & 0x38];
    here[2..7].copy_from_slice(&to);
    here[7..].copy_from_slice(&NOP3);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(n: usize, vex: u8, modrm: u8) -> Vec<u8> {
        [&[0xc5, vex, 0x6f, modrm][..], &result_of(n).to_le_bytes()].concat()
    }

    #[test]
    fn a_call_and_its_load_become_the_operation() {
        // call r9; vmovdqu xmm13, [rdi + result]
        let mut code = [&[0x90, 0x41, 0xff, 0xd1][..], &load(piece::CIPHER, 0x7a, 0xaf), &[0xc3]].concat();
        assert_eq!(inline_pieces(&mut code, [4].into_iter()), 1);
        // vaesenc xmm13, xmm0, xmm1
        let to = [0x90, 0x41, 0x66, 0x90, 0xc4, 0x62, 0x79, 0xdc, 0xe9, 0x0f, 0x1f, 0x00, 0xc3];
        assert_eq!(code, to);
        // call rax; vmovdqu xmm2, [rdi + result]: vpsllvq xmm2, xmm0, xmm1
        let mut code = [&[0xff, 0xd0][..], &load(piece::SHL_D, 0xfa, 0x97)].concat();
        assert_eq!(inline_pieces(&mut code, [2].into_iter()), 1);
        assert_eq!(code, [0x66, 0x90, 0xc4, 0xe2, 0xf9, 0x47, 0xd1, 0x0f, 0x1f, 0x00]);
    }

    #[test]
    fn what_is_anything_else_stays() {
        let good = [&[0xff, 0xd0][..], &load(0, 0xfa, 0x97)].concat();
        let mut others = Vec::new();
        // Another call, another base, another place, another load; the end of the code.
        for (at, byte) in [(1, 0x10), (5, 0x96), (6, good[6] ^ 1), (4, 0x7f)] {
            let mut code = good.clone();
            code[at] = byte;
            others.push(code);
        }
        others.push(good[..9].to_vec());
        for code in others {
            let mut now = code.clone();
            assert_eq!(inline_pieces(&mut now, [2, 0, 1].into_iter()), 0);
            assert_eq!(now, code);
        }
    }
}
