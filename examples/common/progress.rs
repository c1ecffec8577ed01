//! A progress bar on standard error, if that is a terminal.

use std::{ops::ControlFlow, time::Duration};

use cipherfold::federated::report::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar for the ciphertexts of a round.
pub(crate) fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    let style = "{prefix}{msg:15} {wide_bar} {pos}/{len} ciphertexts, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of known keys"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A callback for an executor's `on_progress`: updates the bar.
pub(crate) fn shown_on(bar: &ProgressBar) -> impl Fn(&Progress) -> ControlFlow<()> + Send + Sync + 'static {
    let bar = bar.clone();
    move |progress| {
        bar.set_message(if progress.phase == Phase::Decryption { "decrypting" } else { "encrypting" });
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    }
}
