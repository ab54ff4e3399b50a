//! Rare whole instructions that the processor crate carries out by name.

/// A named helper. The instruction word tells it its operands; what it may read and write is what the manual says of
/// the instruction of that name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Helper {
    // branches that change the machine state
    Sc,
    Scv,
    Rfid,
    Rfscv,
    Hrfid,
    Stop,
    /// `wait`, and the lower priorities (`or 1,1,1`, `or 31,31,31`) that loops take while they wait.
    Pause,
    // state
    Mtmsr,
    Mtmsrd,
    Mfmsr,
    Mfspr,
    Mtspr,
    Mftb,
    // storage control
    Slbie,
    Slbieg,
    Slbia,
    Slbiag,
    Slbmte,
    Slbmfev,
    Slbmfee,
    Slbfee,
    Slbsync,
    Tlbie,
    Tlbiel,
    Tlbsync,
    Icbi,
    // doorbells
    Msgsnd,
    Msgclr,
    Msgsndp,
    Msgclrp,
    Msgsync,
    // fixed point
    Lswx,
    Stswx,
    Darn,
    Amo,
    Copy,
    Paste,
    CpAbort,
    Attn,
    HashSt,
    HashChk,
    HashStP,
    HashChkP,
    ClrBhrb,
    MfBhrbe,
    Rfebb,
    Tm,
    // vector and floating point whose semantics are long
    Mfvscr,
    Mtvscr,
}
