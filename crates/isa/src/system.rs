//! System linkage, storage control and processor control instructions (Book III chapters 4 to 6, 10).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{Builder, Helper, Insn};

macro_rules! system_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* system {
        Sc      "sc"       sc(2)       V2_06 "LEV"          sc;
        Scv     "scv"      sc(1)       V3_0  "LEV"          scv;
        Rfid    "rfid"     x(19, 18)   V2_06 ""             rfid;
        Rfscv   "rfscv"    x(19, 82)   V3_0  ""             rfscv;
        Rfebb   "rfebb"    x(19, 146)  V2_07 "S"            rfebb;
        Hrfid   "hrfid"    x(19, 274)  V2_06 ""             hypervisor;
        Urfid   "urfid"    x(19, 306)  V3_0  ""             hypervisor;
        Stop    "stop"     x(19, 370)  V3_0  ""             hypervisor;
        Doze    "doze"     x(19, 402)  V2_06 ""             power_saving;
        Nap     "nap"      x(19, 434)  V2_06 ""             power_saving;
        Sleep   "sleep"    x(19, 466)  V2_06 ""             power_saving;
        Rvwinkle "rvwinkle" x(19, 498) V2_06 ""             power_saving;
        Wait    "wait"     x(31, 30)   V3_0  "WC,PL"        wait;
        Slbie   "slbie"    x(31, 434)  V2_06 "RB"           slbie;
        Slbieg  "slbieg"   x(31, 466)  V3_0  "RS,RB"        slbieg;
        Slbia   "slbia"    x(31, 498)  V2_06 "IH"           slbia;
        Slbiag  "slbiag"   x(31, 850)  V3_0  "RS,L"         slbiag;
        Slbmte  "slbmte"   x(31, 402)  V2_06 "RS,RB"        slbmte;
        Slbmfev "slbmfev"  x(31, 851)  V2_06 "RT,RB,L"      slbmfev;
        Slbmfee "slbmfee"  x(31, 915)  V2_06 "RT,RB,L"      slbmfee;
        Slbfee  "slbfee."  x_rc(31, 979, 1) V2_06 "RT,RB"   slbfee;
        Slbsync "slbsync"  x(31, 338)  V3_0  ""             slbsync;
        Tlbie   "tlbie"    x(31, 306)  V2_06 "RB,RS,RIC,PRS,R" tlbie;
        Tlbiel  "tlbiel"   x(31, 274)  V2_06 "RB,RS,RIC,PRS,R" tlbiel;
        Tlbsync "tlbsync"  x(31, 566)  V2_06 ""             tlbsync;
        Tlbia   "tlbia"    x(31, 370)  V2_06 ""             absent_here;
        Msgsnd  "msgsnd"   x(31, 206)  V2_07 "RB"           hypervisor;
        Msgclr  "msgclr"   x(31, 238)  V2_07 "RB"           hypervisor;
        Msgsndp "msgsndp"  x(31, 142)  V2_07 "RB"           msgsndp;
        Msgclrp "msgclrp"  x(31, 174)  V2_07 "RB"           msgclrp;
        Msgsync "msgsync"  x(31, 886)  V3_0  ""             hypervisor;
        Msgsndu "msgsndu"  x(31, 78)   V3_0  "RB"           hypervisor;
        Msgclru "msgclru"  x(31, 110)  V3_0  "RB"           hypervisor;
        Darn    "darn"     x(31, 755)  V3_0  "RT,L"         darn;
        Lbzcix  "lbzcix"   x(31, 853)  V2_06 "RT,RA,RB"     hypervisor;
        Lhzcix  "lhzcix"   x(31, 821)  V2_06 "RT,RA,RB"     hypervisor;
        Lwzcix  "lwzcix"   x(31, 789)  V2_06 "RT,RA,RB"     hypervisor;
        Ldcix   "ldcix"    x(31, 885)  V2_06 "RT,RA,RB"     hypervisor;
        Stbcix  "stbcix"   x(31, 981)  V2_06 "RS,RA,RB"     hypervisor;
        Sthcix  "sthcix"   x(31, 949)  V2_06 "RS,RA,RB"     hypervisor;
        Stwcix  "stwcix"   x(31, 917)  V2_06 "RS,RA,RB"     hypervisor;
        Stdcix  "stdcix"   x(31, 1013) V2_06 "RS,RA,RB"     hypervisor;
        Attn    "attn"     raw(0xfc00_07fe, 256 << 1) V2_06 ""   attn;
        Clrbhrb "clrbhrb"  x(31, 430)  V2_07 ""             clrbhrb;
        Mfbhrbe "mfbhrbe"  x(31, 302)  V2_07 "RT,BHRBE"     mfbhrbe;
        Tbegin  "tbegin."  x(31, 654)  V2_07 "R"            tm;
        Tend    "tend."    x(31, 686)  V2_07 "A"            tm;
        Tabort  "tabort."  x(31, 910)  V2_07 "RA"           tm;
        Tabortwc "tabortwc." x(31, 782) V2_07 "TO,RA,RB"    tm;
        Tabortwci "tabortwci." x(31, 846) V2_07 "TO,RA,SI"  tm;
        Tabortdc "tabortdc." x(31, 814) V2_07 "TO,RA,RB"    tm;
        Tabortdci "tabortdci." x(31, 878) V2_07 "TO,RA,SI"  tm;
        Tsr     "tsr."     x(31, 750)  V2_07 "L"            tm;
        Tcheck  "tcheck"   x(31, 718)  V2_07 "BF"           tm;
        Treclaim "treclaim." x(31, 942) V2_07 "RA"          tm;
        Trechkpt "trechkpt." x(31, 1006) V2_07 ""           tm;
    } } } };
}
pub(crate) use system_rows;

type R<B> = Result<(), <B as Builder>::Stop>;

macro_rules! helpers {
    ($($(#[$doc:meta])* $name:ident $helper:ident $($privileged:ident)?;)*) => { $(
        $(#[$doc])*
        pub fn $name<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            $(let _ = stringify!($privileged); b.need_privilege()?;)?
            b.helper(Helper::$helper, i)
        }
    )* };
}
helpers! {
    sc Sc; scv Scv; wait Pause; darn Darn;
    rfid Rfid privileged; rfscv Rfscv privileged;
    rfebb Rfebb;
    slbie Slbie privileged; slbieg Slbieg privileged; slbia Slbia privileged; slbiag Slbiag privileged;
    slbmte Slbmte privileged; slbmfev Slbmfev privileged; slbmfee Slbmfee privileged; slbfee Slbfee privileged;
    slbsync Slbsync privileged;
    tlbie Tlbie privileged; tlbiel Tlbiel privileged; tlbsync Tlbsync privileged;
    msgsndp Msgsndp privileged; msgclrp Msgclrp privileged;
    clrbhrb ClrBhrb; mfbhrbe MfBhrbe; tm Tm;
}

/// Hypervisor instructions: a partition never has MSR[HV], so they are privileged for everybody in it.
pub fn hypervisor<B: Builder>(b: &mut B, _: Insn) -> R<B> {
    Err(b.program(crate::Program::Privileged))
}

/// The power-saving instructions of ISA 2.07, which `stop` replaced in 3.0: hypervisor instructions, later illegal.
pub fn power_saving<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    if b.mode().level >= crate::Level::V3_0 { b.illegal() } else { hypervisor(b, i) }
}

/// `tlbia` is optional (Book III, 5.9.3.3) and on none of the models offered.
pub fn absent_here<B: Builder>(b: &mut B, _: Insn) -> R<B> {
    b.illegal()
}

/// `attn` is a service-processor stop where enabled and illegal otherwise; a partition never has it enabled.
pub fn attn<B: Builder>(b: &mut B, _: Insn) -> R<B> {
    b.illegal()
}
