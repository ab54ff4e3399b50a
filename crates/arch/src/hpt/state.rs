//! Saving and restoring.

use serde::{Deserialize, Serialize};

use super::entry::{pteh, ptel};
use super::ops::HIGH;
use super::{Hpt, HpteError};

/// A table's contents: valid entries only, in runs of neighbours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HptState {
    /// log2 of the size in bytes.
    pub shift: u32,
    /// Runs of valid entries.
    pub runs: Vec<Run>,
}

/// Neighbouring valid entries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Index of the first.
    pub first: u64,
    /// Both doublewords of each, as H_READ shows them.
    pub entries: Vec<(u64, u64)>,
}

impl Hpt {
    /// The contents, taken while the processors stand still.
    pub fn save(&self) -> HptState {
        // What is not contents: a restored table is in force and nobody has used it.
        let Hpt { groups: _, users: _, shift, retired: _ } = self;
        let mut runs: Vec<Run> = Vec::new();
        let mut next = u64::MAX;
        for index in 0..self.entries() {
            let (h, l) = self.pair(index);
            if h & pteh::V == 0 {
                continue;
            }
            match runs.last_mut() {
                Some(run) if index == next => run.entries.push((h, l)),
                _ => runs.push(Run { first: index, entries: vec![(h, l)] }),
            }
            next = index + 1;
        }
        HptState { shift: *shift, runs }
    }

    /// A table with saved contents. The TLBs must hold nothing translated. `max_shift` is the largest table to make.
    ///
    /// `Parameter` for sizes and indices no table has, `Resource` for a table too large.
    pub fn restore(state: &HptState, max_shift: u32) -> Result<Self, HpteError> {
        let HptState { shift, runs } = state;
        if *shift > max_shift {
            return Err(HpteError::Resource);
        }
        let hpt = Hpt::new(*shift)?;
        for Run { first, entries } in runs {
            for (n, &(h, l)) in entries.iter().enumerate() {
                let index = first.checked_add(n as u64).filter(|&i| i < hpt.entries());
                let index = index.ok_or(HpteError::Parameter)?;
                if h >> 63 != 0 {
                    return Err(HpteError::Parameter);
                }
                hpt.fill(index, h & HIGH | pteh::V, l & !ptel::RESERVED);
            }
        }
        Ok(hpt)
    }
}
