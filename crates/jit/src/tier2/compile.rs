//! From a request to code: the compiler and the frame of a region's function.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::types::{F32, F64, I8X16, I64};
use cranelift_codegen::ir::{AbiParam, AliasRegionData, Function, InstBuilder, Signature, UserFuncName};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, isa as target};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use isa::Insn;
use isa::audit::Regs;

use super::group::Groups;
use super::lower::{BASE, CrVars, Lower, Tables, Vars, Windows};
use super::places::{CALLED, SLOTS};
use super::region::{Block, Item, Limits, Page, Region};
use super::strip::Strip;
use super::{Code, Refusal, Request};

/// Times a region is formed anew because of instructions that the compiler does not do.
const ROUNDS: u32 = 12;

/// A compiler and its memory.
pub struct Compiler {
    isa: OwnedTargetIsa,
    ctx: Context,
    names: FunctionBuilderContext,
}

impl Compiler {
    /// A compiler for this machine; `verify`: check the intermediate code.
    pub fn new(verify: bool) -> Option<Self> {
        let mut flags = settings::builder();
        let on = |b| if b { "true" } else { "false" };
        let options = [
            ("opt_level", "speed"),
            ("enable_verifier", on(verify)),
            ("enable_probestack", "false"),
            ("unwind_info", "false"),
            ("is_pic", "true"),
        ];
        for (k, v) in options {
            flags.set(k, v).ok()?;
        }
        let mut b = target::lookup_by_name("x86_64").ok()?;
        macro_rules! feature {
            ($($f:tt $name:literal,)*) => {
                $(if std::arch::is_x86_feature_detected!($f) { b.enable($name).ok()?; })*
            };
        }
        feature! {
            "sse3" "has_sse3", "ssse3" "has_ssse3", "sse4.1" "has_sse41", "sse4.2" "has_sse42",
            "popcnt" "has_popcnt", "lzcnt" "has_lzcnt", "bmi1" "has_bmi1", "bmi2" "has_bmi2",
            "avx" "has_avx", "avx2" "has_avx2", "fma" "has_fma", "avx512f" "has_avx512f",
            "avx512vl" "has_avx512vl", "avx512dq" "has_avx512dq",
        }
        let isa = b.finish(settings::Flags::new(flags)).ok()?;
        Some(Compiler { isa, ctx: Context::new(), names: FunctionBuilderContext::new() })
    }

    /// Form the region and compile it.
    pub fn compile(&mut self, r: &Request) -> Result<Code, Refusal> {
        let mut left_out = BTreeSet::new();
        let (mut pairs, mut wide, mut too_large) = (0, 0, false);
        let (mut calls, own) = (true, if r.all { BTreeSet::new() } else { r.own.clone() });
        for _ in 0..ROUNDS {
            let all = Page {
                bytes: &r.words,
                places: r.places(),
                mode: r.key.mode,
                left_out: &left_out,
                begun: (!r.all).then_some(&*r.begun),
                narrow: false,
                calls,
                own: &own,
                targets: r.ticket.targets,
                limits: if r.ticket.large { Limits::LARGE } else { Limits::USUAL },
                too_large: Cell::default(),
                found: OnceCell::new(),
            };
            let form = |page: &Page| {
                let inner = if r.ticket.inner && !r.all { page.region(r.head, false, true) } else { None };
                inner.or_else(|| page.region(r.head, r.all, false))
            };
            // Ways that nobody went so far are left out of what is too large with them.
            let narrow = Page { narrow: true, too_large: Cell::default(), found: OnceCell::new(), ..all };
            let (page, region) = match form(&all) {
                Some(region) => (&all, Some(region)),
                None => (&narrow, form(&narrow)),
            };
            too_large |= all.too_large.get() || narrow.too_large.get();
            let mut known: Vec<i32> = page.places.0.into_iter().skip(CALLED).flatten().collect();
            if r.ticket.rounds > 0 && calls && page.follows() && known.len() < SLOTS - CALLED {
                let more = page.called(r.head, region.as_ref());
                if !more.is_empty() {
                    known.extend(more);
                    known.truncate(SLOTS - CALLED);
                    return Err(Refusal::More(known));
                }
            }
            let Some(region) = region else {
                if !std::mem::take(&mut calls) {
                    return Err(if too_large { Refusal::TooLarge } else { Refusal::NoLoop });
                }
                continue;
            };
            if let Some(at) = page.entry(&region).filter(|_| !r.all && !r.ticket.moved) {
                return Err(Refusal::Entry(at));
            }
            if region.carries() && !r.all {
                return Err(Refusal::Carries);
            }
            self.ctx.clear();
            let made = self.lower(r, &region, pairs, wide, page.follows());
            let Made { exits, failed, pairs: more, wide: vectors } = made;
            if failed.is_empty() && more == 0 && vectors == 0 {
                let inner = r.ticket.inner
                    && !r.all
                    && page.region(r.head, false, false).is_none_or(|all| all.len() > region.len());
                let windowed = r.ticket.windowed && region.accesses > 0;
                return self.finish(&region, exits, inner, windowed);
            }
            pairs |= more;
            wide = super::vec::spread(&region, r.key.mode, wide | vectors);
            if failed.contains(&r.head) {
                return Err(Refusal::Instruction);
            }
            left_out.extend(failed);
        }
        Err(Refusal::Instruction)
    }

    fn finish(
        &mut self,
        region: &Region,
        exits: Vec<super::Exit>,
        inner: bool,
        windowed: bool,
    ) -> Result<Code, Refusal> {
        let code = self.ctx.compile(&*self.isa, &mut ControlPlane::default()).map_err(|e| {
            tracing::warn!("tier 2: {:?}", e.inner);
            Refusal::Compiler
        })?;
        if !code.buffer.relocs().is_empty() {
            return Err(Refusal::Compiler);
        }
        let mut bytes = code.buffer.data().to_vec();
        super::inline::inline_pieces(&mut bytes, code.buffer.call_sites().map(|c| c.ret_addr as usize));
        Ok(Code {
            bytes,
            exits,
            pages: region.pages(),
            inner,
            windowed,
            blocks: region.blocks.len() as u32,
            instructions: region.len() as u32,
            accesses: region.accesses as u32,
        })
    }

    /// Make the intermediate code; exits, and the instructions that can not be done.
    fn lower(&mut self, r: &Request, region: &Region, pairs: u64, wide: u64, follows: bool) -> Made {
        let mut sig = Signature::new(CallConv::SystemV);
        sig.params.extend([AbiParam::new(I64); 3]);
        sig.returns.extend([AbiParam::new(I64); 2]);
        self.ctx.func = Function::with_name_signature(UserFuncName::default(), sig);
        let mut f = FunctionBuilder::new(&mut self.ctx.func, &mut self.names);
        let mut window = Signature::new(CallConv::PreserveAll);
        window.params.push(AbiParam::new(I64));
        let window_sig = f.import_signature(window);
        let mut piece = Signature::new(CallConv::PreserveAll);
        piece.params.extend([AbiParam::new(I64), AbiParam::new(I8X16), AbiParam::new(I8X16)]);
        let piece_sig = f.import_signature(piece);
        let mut var = |ty| f.declare_var(ty);
        let vars = Vars {
            gpr: std::array::from_fn(|_| var(I64)),
            lr: var(I64),
            ctr: var(I64),
            cr: std::array::from_fn(|_| CrVars { of: [var(I64), var(I64)], kind: var(I64), so: var(I64) }),
            xer: std::array::from_fn(|_| var(I64)),
            fpr: std::array::from_fn(|_| var(F64)),
            single: std::array::from_fn(|_| var(F32)),
            lo: std::array::from_fn(|_| var(I64)),
            vec: std::array::from_fn(|_| var(I8X16)),
            last: (var(I64), std::array::from_fn(|_| var(F64))),
            after: var(I64),
            left: var(I64),
            turns: var(I64),
        };
        let entry = f.create_block();
        f.append_block_params_for_function_params(entry);
        f.switch_to_block(entry);
        let (st, tlb, left) = match *f.block_params(entry) {
            [a, b, c] => (a, b, c),
            _ => unreachable!("three parameters"),
        };
        let regions = |f: &mut FunctionBuilder, n: u32| {
            Some(f.func.dfg.alias_regions.insert(AliasRegionData { user_id: n, description: "".into() }))
        };
        let state_region = regions(&mut f, 0);
        let tlb_region = regions(&mut f, 1);
        let guest_region = regions(&mut f, 2);
        let blocks: BTreeMap<u32, _> = region.blocks.keys().map(|&k| (k, f.create_block())).collect();
        let touched = region.touched();
        let small = std::array::from_fn(|n| f.ins().iconst(I64, n as i64));
        let mut l = Lower {
            f,
            mode: r.key.mode,
            tables: Tables { data: r.tables, window: r.window },
            vars,
            st,
            tlb,
            base: st,
            state_region,
            tlb_region,
            guest_region,
            window_sig,
            pieces: r.pieces,
            piece_sig,
            blocks,
            small,
            ways: Vec::new(),
            exits: Vec::new(),
            gate: None,
            gates: Vec::new(),
            head: r.head,
            places: r.places(),
            follows,
            targets: r.ticket.targets,
            returns: Vec::new(),
            has_fp: touched.fpscr,
            pairs,
            more_pairs: 0,
            wide,
            more_wide: 0,
            written: region.written(),
            singles: HashMap::new(),
            tested: None,
            windows: Windows::default(),
            groups: Groups::default(),
            seen: HashMap::new(),
            plans: BTreeMap::new(),
            fast: None,
            masks: HashMap::new(),
            only_singles: region.only_singles() & !pairs & !wide,
            dirty: Regs::NONE,
            fields: [None; 8],
            spends: region.spent(),
            spent: 0,
            turns: region.turns.clone(),
            block: r.head,
            item: Item { off: r.head, op: isa::Op::Invalid, insn: Insn::new(0) },
            done: 0,
            ended: false,
            failed: false,
        };
        l.take_budget(left, 0);
        l.base = l.state_load(I64, Lower::engine_at(BASE));
        for (p, used) in r.ticket.others.iter().zip(region.pages()) {
            if let (Some(p), true) = (p, used) {
                l.check_page(4096 * p.delta as i64, p.host, r.exec_table);
            }
        }
        l.enter_fp(touched, region.written());
        l.load_variables(touched);
        l.close_windows(r.number, if r.ticket.windowed { region.accesses } else { 0 });
        let head = l.blocks[&r.head];
        l.f.ins().jump(head, &[]);
        let failed = blocks_of(&mut l, region, r.grouped);
        l.fill_out();
        l.f.seal_all_blocks();
        let exits = std::mem::take(&mut l.exits);
        let (more, vectors) = (l.more_pairs & !l.wide & !l.more_wide, l.more_wide);
        l.f.finalize(self.isa.frontend_config());
        Made { exits, failed, pairs: more, wide: vectors }
    }
}

/// Intermediate code and what was found out in making it.
struct Made {
    exits: Vec<super::Exit>,
    /// Instructions that can not be done.
    failed: Vec<u32>,
    /// VSRs that must be done as pairs.
    pairs: u64,
    /// VSRs that must be vectors.
    wide: u64,
}

fn blocks_of(l: &mut Lower, region: &Region, grouped: bool) -> Vec<u32> {
    let mut failed = Vec::new();
    let mut ends = BTreeMap::new();
    // Loops of floating point have no registers to spare for it.
    let strips = if l.has_fp { Vec::new() } else { Strip::all(region, &l.places, l.mode) };
    // What is known at the end of a block that is there twice is not known after it.
    let apart =
        |from: u32, to: u32| strips.iter().any(|s| s.chain.contains(&from) && (!s.chain[1..].contains(&to)));
    l.groups = if grouped { Groups::of(region, apart, l.mode) } else { Groups::default() };
    for s in &strips {
        let b = l.f.create_block();
        l.plans.insert(s.chain[0], b);
    }
    for b in region.blocks.values() {
        l.f.switch_to_block(l.blocks[&b.off]);
        // What is known of the CR where the only way here is from a block emitted before.
        (l.fields, l.gate) = match b.from[..] {
            [from] if b.off != region.head && !apart(from, b.off) => {
                ends.get(&from).copied().unwrap_or_default()
            }
            _ => Default::default(),
        };
        // Only these are among the ways to where they lead.
        l.returns = b.next.iter().copied().filter(|n| region.returns.contains(n)).collect();
        block_of(l, b, &mut failed);
        ends.insert(b.off, (l.fields, l.gate));
    }
    for s in &strips {
        copy_of(l, s, region, &mut failed);
    }
    failed
}

/// The copy of a loop that looks at no windows.
fn copy_of(l: &mut Lower, s: &Strip, region: &Region, failed: &mut Vec<u32>) {
    let (off, head) = (s.chain[0], l.blocks[&s.chain[0]]);
    let plan = l.plans[&off];
    l.f.switch_to_block(plan);
    let Some((fast, first)) = l.plan(s, head) else { return };
    let (latch, stop) = (fast.latch, fast.stop);
    l.fast = Some(fast);
    l.groups.forget();
    l.fields = [None; 8];
    l.gate = None;
    let mut here = first;
    for (n, off) in s.chain.iter().enumerate() {
        let next = s.chain.get(n + 1).map(|&o| (o, l.f.create_block()));
        if let Some(f) = &mut l.fast {
            f.next = next;
        }
        l.f.switch_to_block(here);
        block_of(l, &region.blocks[off], failed);
        here = next.map_or(latch, |(_, b)| b);
    }
    l.fast = None;
    l.f.switch_to_block(latch);
    // Loads of the next turn are not those of this one.
    l.f.ins().sequence_point();
    let turns = l.f.use_var(l.vars.turns);
    let turns = l.f.ins().iadd_imm_s(turns, -1);
    l.f.def_var(l.vars.turns, turns);
    let slow = l.f.create_block();
    l.f.ins().brif(turns, first, &[], slow, &[]);
    l.f.switch_to_block(slow);
    l.turn(slow, off, plan, stop);
}

fn block_of(l: &mut Lower, b: &Block, failed: &mut Vec<u32>) {
    l.block = b.off;
    l.dirty = b.dirty;
    l.spent = l.spends.get(&b.off).copied().unwrap_or(0);
    l.done = 0;
    l.ended = false;
    l.singles.clear();
    for i in &b.items {
        l.item = *i;
        l.failed = false;
        let ok = isa::exec(i.op, l, i.insn).is_ok() && !l.failed;
        if !ok {
            failed.push(i.off);
            // The code is thrown away: let it be well-formed.
            if !l.ended {
                l.leave(super::Exit::Head, 0);
                l.ended = true;
            }
        }
        l.done += 1;
        if l.ended {
            break;
        }
    }
    if !l.ended {
        l.go_on(b.end, 0);
    }
}
