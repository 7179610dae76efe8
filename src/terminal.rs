//! Progress on a terminal: one line on standard error while layers are unpacked, gone when they are. Elsewhere, nothing.
//! Only numbers are shown: no text of an image ever reaches the terminal from here.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::image::Progress;

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// Where standard error is a terminal.
    #[default]
    OnTerminals,
    /// Nowhere.
    Never,
}

/// The first line comes after this time: most images are unpacked before.
const QUIET: Duration = Duration::from_millis(300);

const INTERVAL: Duration = Duration::from_millis(100);

const LINE: &str = "unpacking {bar:30} {percent}% of {total_bytes}, {msg} {elapsed}";

/// Does the work and shows how far it has come. The thread that draws has ended when this returns.
pub fn watch<T>(shown: Shown, work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if shown == Shown::Never || !stderr().is_terminal() {
        return work(&progress);
    }
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let seen = &progress;
        let showing = scope.spawn(move || show(seen, &is_done));
        let result = work(&progress);
        drop(done);
        // Until the kernel has forgotten the thread.
        drop(showing.join());
        result
    })
}

fn show(progress: &Progress, is_done: &Receiver<()>) {
    let mut wait = QUIET;
    let mut bar = None;
    while is_done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        draw(bar.get_or_insert_with(new_bar), progress);
        wait = INTERVAL;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template(LINE).expect("a template that is right");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.with_style(style.progress_chars("=> "))
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    let (layers, of_layers) = (progress.layers(), progress.of_layers());
    bar.set_length(progress.of_bytes());
    bar.set_position(progress.bytes());
    bar.set_message(format!("{layers} of {of_layers} layers"));
}
