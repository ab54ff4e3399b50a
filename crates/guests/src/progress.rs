//! Telling the user what is being fetched: a bar on a terminal, plain lines elsewhere, always on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bars that redraw themselves; for terminals.
    Bars,
    /// One line when a step begins; for logs and pipes.
    Lines,
    /// Nothing at all.
    Silent,
}

impl Progress {
    /// Bars if standard error is a terminal, lines otherwise.
    pub fn auto() -> Self {
        if std::io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }

    /// Begins a step; it is over when the returned value is dropped.
    pub fn step(self, what: &str) -> Step {
        match self {
            Self::Bars => {
                let bar = ProgressBar::new(1000);
                let style = ProgressStyle::with_template("{msg:42} {bar:28} {percent:>3}%  {elapsed}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_message(what.to_owned());
                bar.enable_steady_tick(Duration::from_millis(200));
                Step { bar: Some(bar) }
            }
            Self::Lines => {
                eprintln!("{what} ...");
                Step { bar: None }
            }
            Self::Silent => Step { bar: None },
        }
    }

    /// Says one thing that is no step.
    pub(crate) fn note(self, what: &str) {
        if self != Self::Silent {
            eprintln!("{what}");
        }
    }
}

/// One step under way.
pub struct Step {
    bar: Option<ProgressBar>,
}

impl Step {
    /// Sets how far the step is, in percent (0 to 100; other values are clamped).
    pub fn percent(&self, percent: f64) {
        if let Some(bar) = &self.bar {
            bar.set_position((percent.clamp(0.0, 100.0) * 10.0) as u64);
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
