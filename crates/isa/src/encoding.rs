//! Encodings as mask and value, by the manual's instruction forms (Book I, 1.6). Reserved fields are ignored by the
//! processor (Book I, 1.3.3) and so are left out of the masks.

/// Which words an instruction matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Enc {
    /// Bits of the (suffix) word that matter.
    pub mask: u32,
    /// Their value.
    pub value: u32,
    /// Bits of the prefix word that matter; 0: not prefixed.
    pub pmask: u32,
    /// Their value.
    pub pvalue: u32,
}

const fn enc(mask: u32, value: u32) -> Enc {
    Enc { mask, value, pmask: 0, pvalue: 0 }
}
const PO: u32 = 0x3f << 26;

/// Any mask and value.
pub const fn raw(mask: u32, value: u32) -> Enc {
    enc(mask, value)
}
/// Primary opcode only: D, I, B, M forms.
pub const fn d(po: u32) -> Enc {
    enc(PO, po << 26)
}
/// DS-form and others with a 2-bit extended opcode in bits 30..31.
pub const fn ds(po: u32, xo: u32) -> Enc {
    enc(PO | 3, po << 26 | xo)
}
/// DQ-form with a 3-bit extended opcode in bits 29..31.
pub const fn dq(po: u32, xo: u32) -> Enc {
    enc(PO | 7, po << 26 | xo)
}
/// X, XL, XX1, XFX, XFL forms: 10 bits 21..30; bit 31 is free (Rc, LK, TX or reserved).
pub const fn x(po: u32, xo: u32) -> Enc {
    enc(PO | 0x7fe, po << 26 | xo << 1)
}
/// X-form with bit 31 part of the opcode.
pub const fn x_rc(po: u32, xo: u32, rc: u32) -> Enc {
    enc(PO | 0x7ff, po << 26 | xo << 1 | rc)
}
/// X-form with an extra selector in the A field (bits 11..15).
pub const fn x_a(po: u32, xo: u32, a: u32) -> Enc {
    enc(PO | 0x1f_07fe, po << 26 | a << 16 | xo << 1)
}
/// XO-form: 9 bits 22..30, OE at 21, Rc at 31.
pub const fn xo(po: u32, xo: u32) -> Enc {
    enc(PO | 0x3fe, po << 26 | xo << 1)
}
/// A-form: 5 bits 26..30.
pub const fn a(po: u32, xo: u32) -> Enc {
    enc(PO | 0x3e, po << 26 | xo << 1)
}
/// DX-form (`addpcis`): 5 bits 26..30.
pub const fn dx(po: u32, xo: u32) -> Enc {
    enc(PO | 0x3e, po << 26 | xo << 1)
}
/// MD-form: 3 bits 27..29.
pub const fn md(po: u32, xo: u32) -> Enc {
    enc(PO | 0x1c, po << 26 | xo << 2)
}
/// MDS-form: 4 bits 27..30.
pub const fn mds(po: u32, xo: u32) -> Enc {
    enc(PO | 0x1e, po << 26 | xo << 1)
}
/// XS-form: 9 bits 21..29.
pub const fn xs(po: u32, xo: u32) -> Enc {
    enc(PO | 0x7fc, po << 26 | xo << 2)
}
/// VA-form: 6 bits 26..31.
pub const fn va(xo: u32) -> Enc {
    enc(PO | 0x3f, 4 << 26 | xo)
}
/// VX-form: 11 bits 21..31.
pub const fn vx(xo: u32) -> Enc {
    enc(PO | 0x7ff, 4 << 26 | xo)
}
/// VX-form with a selector in bits 11..15.
pub const fn vx_a(xo: u32, a: u32) -> Enc {
    enc(PO | 0x1f_07ff, 4 << 26 | a << 16 | xo)
}
/// VX-form of BCD: bits 21 and 23..31 (bit 22 is PS).
pub const fn vx_bcd(xo: u32) -> Enc {
    enc(PO | 0x5ff, 4 << 26 | xo)
}
/// VX-form of BCD with a selector in bits 11..15 (bit 22 is PS).
pub const fn vx_bcd_a(xo: u32, a: u32) -> Enc {
    enc(PO | 0x1f_05ff, 4 << 26 | a << 16 | xo)
}
/// VC-form: 10 bits 22..31, Rc at 21.
pub const fn vc(xo: u32) -> Enc {
    enc(PO | 0x3ff, 4 << 26 | xo)
}
/// XX2-form: 9 bits 21..29.
pub const fn xx2(xo: u32) -> Enc {
    enc(PO | 0x7fc, 60 << 26 | xo << 2)
}
/// XX2-form with a selector in bits 11..15.
pub const fn xx2_a(xo: u32, a: u32) -> Enc {
    enc(PO | 0x1f_07fc, 60 << 26 | a << 16 | xo << 2)
}
/// XX3-form: 8 bits 21..28.
pub const fn xx3(xo: u32) -> Enc {
    enc(PO | 0x7f8, 60 << 26 | xo << 3)
}
/// XX3-form with DM or SHW in bits 22..23: bit 21 and bits 24..28 given.
pub const fn xx3_dm(xo: u32) -> Enc {
    enc(PO | 0x4f8, 60 << 26 | xo << 3)
}
/// XX3-form compare with Rc at bit 21: 7 bits 22..28.
pub const fn xx3_rc(xo: u32) -> Enc {
    enc(PO | 0x3f8, 60 << 26 | xo << 3)
}
/// XX4-form: 2 bits 26..27.
pub const fn xx4(xo: u32) -> Enc {
    enc(PO | 0x30, 60 << 26 | xo << 4)
}
/// Z22-form: 9 bits 22..30.
pub const fn z22(po: u32, xo: u32) -> Enc {
    enc(PO | 0x3fe, po << 26 | xo << 1)
}
/// Z23-form: 8 bits 23..30.
pub const fn z23(po: u32, xo: u32) -> Enc {
    enc(PO | 0x1fe, po << 26 | xo << 1)
}
/// SC-form: primary 17 and bits 30..31.
pub const fn sc(low: u32) -> Enc {
    enc(PO | 3, 17 << 26 | low)
}
/// A prefixed instruction: `ptype` (bits 6..7 of the prefix), `st` the bits 8..11 with their mask `stm`, and the
/// suffix's encoding.
pub const fn prefixed(ptype: u32, stm: u32, st: u32, suffix: Enc) -> Enc {
    Enc {
        mask: suffix.mask,
        value: suffix.value,
        pmask: PO | 3 << 24 | stm << 20,
        pvalue: 1 << 26 | ptype << 24 | st << 20,
    }
}

impl Enc {
    /// Whether the words match.
    #[inline]
    pub const fn matches(self, i: crate::Insn) -> bool {
        i.raw & self.mask == self.value
            && (if self.pmask == 0 { i.prefix == 0 } else { i.prefix & self.pmask == self.pvalue })
    }
}
